/** Whatever a device sent, early, late or twice: any span of it is answered with exactly its readings, by points and by rows. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readPoints, widthFor } from '../../cloud-functions/api/points.ts'
import { zlibCompression } from '../../cloud-functions/hot-path/compression.ts'
import type { LoggedMessage } from '../../cloud-functions/hot-path/fold.ts'
import { PartitionOwner } from '../../cloud-functions/hot-path/partition-owner.ts'
import { readDevice } from '../../cloud-functions/store/latest-store.ts'
import { storedReadings } from '../../cloud-functions/store/reading-rows.ts'
import { openTables } from '../../cloud-functions/store/tables.ts'
import type { Tables } from '../../cloud-functions/store/tables.ts'
import { randomOf } from '../../device-sim/random.ts'
import { cloudForTests } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { batchesOf, readerOf } from '../support/log.ts'

let cloud: CloudForTests
let tables: Tables
beforeAll(async () => {
  cloud = await cloudForTests()
  tables = await openTables(cloud.connection.storage)
}, 60_000)
afterAll(() => cloud?.stop())

type Sent = { readonly bootId: string; readonly seq: number; readonly signal: string; readonly timeMs: number; readonly value: number }
const [secondMs, hourMs, dayMs] = [1_000, 3_600_000, 86_400_000]

/** A device's messages in the order of the hub: most at once, some after hours or days, some of a clock that is fast, some twice. */
function randomLog(deviceId: string, seed: string, usualGapMs: number): { log: LoggedMessage[]; sent: Sent[] } {
  const random = randomOf(seed)
  const log: LoggedMessage[] = []
  const sent: Sent[] = []
  let [arrivedMs, boot, seq] = [1_700_000_000_000 + Math.floor(random.next() * dayMs), 0, 1]
  for (let index = 0; index < 1_500; index++) {
    arrivedMs += Math.floor(random.next() * 2 * usualGapMs)
    if (random.next() < 0.002) [boot, seq] = [boot + 1, 1]
    const kind = random.next()
    const delayMs =
      kind < 0.9 ? random.next() * 2 * secondMs : kind < 0.96 ? random.next() * hourMs : kind < 0.99 ? random.next() * 3 * dayMs : -50_000
    const rows = Array.from({ length: random.next() < 0.2 ? 5 : 1 }, (_, row) => ({
      time: Math.floor(arrivedMs - delayMs) + 100 * row,
      flow: Math.round(random.next() * 1e4) / 100,
      ...(random.next() < 0.5 ? { heat: 7 - Math.round(random.next() * 1_000) } : {}),
    }))
    const bootId = `b${boot}`
    const first = seq
    for (const { time: timeMs, ...values } of rows)
      for (const [signal, value] of Object.entries(values)) sent.push({ bootId, seq: seq++, signal, timeMs, value })
    const message = {
      body: Buffer.from(JSON.stringify(rows)),
      contentType: 'application/json',
      contentEncoding: undefined,
      deviceId,
      moduleId: undefined,
      properties: { bootId, seq: String(first), count: String(seq - first) },
      arrivedMs,
    }
    for (let times = random.next() < 0.05 ? 2 : 1; times > 0; times--) log.push({ ...message, sequenceNumber: log.length })
  }
  return { log, sent }
}

test.each([
  ['points-1', secondMs],
  ['points-2', 20 * secondMs],
  ['points-3', 300 * secondMs],
  ['points-4', secondMs],
])(
  'of %s, a message every %d ms',
  async (deviceId, gapMs) => {
    const { log, sent } = randomLog(deviceId, deviceId, gapMs)
    let nowMs = 0
    const owner = new PartitionOwner({
      partitionId: deviceId.at(-1)!,
      tables,
      readLog: readerOf(log),
      compression: zlibCompression,
      nowMs: () => (nowMs += 700),
      warn: (text) => expect.unreachable(text),
    })
    for (const batch of batchesOf(log, 70)) await owner.process(batch)
    await owner.close()
    const device = (await readDevice(tables, deviceId))!
    expect(device.summary.ledger).toMatchObject({ stored: sent.length, unexplained: 0 })

    const rows: string[] = []
    const text = ({ bootId, seq, signal, timeMs, value }: Sent) => `${bootId} ${seq} ${signal} ${timeMs} ${value}`
    for await (const row of storedReadings(tables, { deviceIds: [deviceId], fromMs: 0, toMs: 8.64e15 })) rows.push(text(row))
    expect(rows.sort()).toEqual(sent.map(text).sort())

    const random = randomOf(`${deviceId} asked`)
    const times = sent.map(({ timeMs }) => timeMs)
    const [oldestMs, newestMs] = [Math.min(...times), Math.max(...times)]
    for (let asked = 0; asked < 120; asked++) {
      // A third of them in what is still open.
      const isNewest = asked % 3 === 0
      const spanMs = 10 ** (3 + random.next() * (isNewest ? 2 : 6))
      const centreMs = isNewest ? newestMs - random.next() * 600 * secondMs : oldestMs + random.next() * (newestMs - oldestMs)
      const widthMs = Math.max(widthFor(spanMs), [60 * secondMs, secondMs, hourMs, dayMs][asked % 4]!)
      const fromMs = Math.floor((centreMs - spanMs / 2) / widthMs) * widthMs
      const toMs = Math.ceil((centreMs + spanMs / 2) / widthMs) * widthMs
      const { timesMs, count, min, max } = await readPoints(tables, device, { signal: 'flow', fromMs, toMs, widthMs })
      const expected = new Map<number, number[]>()
      for (const { signal, timeMs, value } of sent) {
        if (signal !== 'flow' || timeMs < fromMs || timeMs >= toMs) continue
        const startMs = Math.floor(timeMs / widthMs) * widthMs
        expected.set(startMs, [...(expected.get(startMs) ?? []), value])
      }
      expect(timesMs.map((timeMs, index) => [timeMs, count[index], min[index], max[index]])).toEqual(
        [...expected]
          .sort(([a], [b]) => a - b)
          .map(([timeMs, values]) => [timeMs, values.length, Math.min(...values), Math.max(...values)]),
      )
    }
  },
  60_000,
)
