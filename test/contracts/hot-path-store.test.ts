/** The hot path on real tables and blobs: effectively once, rebuilt after damage, queried, exported, archived, forgotten. */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { pointsMax, readPoints, widthFor } from '../../cloud-functions/api/points.ts'
import { zlibCompression } from '../../cloud-functions/hot-path/compression.ts'
import { encodeSnapshot, newDeviceState } from '../../cloud-functions/hot-path/device-state.ts'
import type { LoggedMessage } from '../../cloud-functions/hot-path/fold.ts'
import { appliedUpToMs, stalledPartitions } from '../../cloud-functions/hot-path/log-ends.ts'
import { PartitionOwner } from '../../cloud-functions/hot-path/partition-owner.ts'
import { archivedUpTo, archiveHour, archiveSettledHours } from '../../cloud-functions/store/archive.ts'
import { appliedMessages } from '../../cloud-functions/store/hot-path-store.ts'
import type { ExportJob } from '../../cloud-functions/store/export-store.ts'
import { exportFileOf, readExport, runExport, writeExport } from '../../cloud-functions/store/export-store.ts'
import { openFiles, writeRows } from '../../cloud-functions/store/files.ts'
import type { Files } from '../../cloud-functions/store/files.ts'
import { listDevices, readDevice } from '../../cloud-functions/store/latest-store.ts'
import { storedReadings } from '../../cloud-functions/store/reading-rows.ts'
import type { ReadingRow } from '../../cloud-functions/store/reading-rows.ts'
import { deleteExpired, retentionMs } from '../../cloud-functions/store/retention.ts'
import { bytesFromProperties, bytesToProperties } from '../../cloud-functions/store/row-bytes.ts'
import { timeKey } from '../../cloud-functions/store/table-keys.ts'
import { openTables } from '../../cloud-functions/store/tables.ts'
import type { Tables } from '../../cloud-functions/store/tables.ts'
import { cloudForTests } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { eventually } from '../support/eventually.ts'
import { telemetryLimits } from '../../contract/telemetry/telemetry.ts'
import { randomOf } from '../../device-sim/random.ts'
import { batchesOf, plantLog, readerOf } from '../support/log.ts'

let cloud: CloudForTests
let tables: Tables
let files: Files
const folder = mkdtempSync(join(tmpdir(), 'store-'))

beforeAll(async () => {
  cloud = await cloudForTests()
  tables = await openTables(cloud.connection.storage)
  files = await openFiles(cloud.connection.storage)
}, 60_000)
afterAll(async () => {
  await cloud?.stop()
  rmSync(folder, { recursive: true, force: true })
})
beforeEach(async () => {
  for (const table of Object.values(tables))
    for await (const { partitionKey, rowKey } of table.listEntities({ queryOptions: { select: ['PartitionKey', 'RowKey'] } }))
      await table.deleteEntity(partitionKey!, rowKey!)
})

/** Every row of every table but for what the store itself stamps. State is left out: it may lag behind. */
async function contents(): Promise<string[]> {
  const rows: string[] = []
  for (const [name, table] of Object.entries(tables)) {
    if (name === 'hotPathState') continue
    for await (const { etag: _etag, timestamp: _timestamp, partitionKey, rowKey, ...row } of table.listEntities())
      rows.push(`${name} ${partitionKey} ${rowKey} ${createHash('sha256').update(JSON.stringify(row)).digest('hex')}`)
  }
  return rows.sort()
}

const startMs = 1_700_000_000_000
const log = plantLog({
  seconds: 900,
  faults: [
    { deviceId: 'pump-001', kind: 'level-shift', signal: 'flowM3PerH', onsetS: 300, rampS: 1, endS: 400 },
    { deviceId: 'oven-001', kind: 'spike', signal: 'fanCurrentA', onsetS: 600, rampS: 1, endS: 605 },
  ],
})
log.splice(700, 0, { ...log[700]!, body: Buffer.from('not telemetry'), properties: {} })
for (const [index, message] of log.entries()) log[index] = { ...message, sequenceNumber: index }

describe('where the log is', () => {
  const end = (partitionId: string, lastSequence: number, firstSequence = 0) => ({
    partitionId,
    firstSequence,
    lastSequence,
    lastEnqueuedMs: 9_000,
  })
  const applied = new Map([
    ['0', { sequence: 7, arrivedMs: 5_000, writtenMs: 20_000 }],
    ['1', { sequence: 3, arrivedMs: 4_000, writtenMs: 5_000 }],
  ])

  test('it is applied up to where its slowest partition is; one that has nothing left holds nothing back', () => {
    const upToMs = (...ends: ReturnType<typeof end>[]) => appliedUpToMs({ ends, applied })
    expect(upToMs(end('0', 7), end('1', 3), end('2', -1))).toBe(Infinity)
    expect(upToMs(end('0', 8), end('1', 3))).toBe(5_000)
    expect(upToMs(end('0', 8), end('1', 4))).toBe(4_000)
    expect(upToMs(end('0', 7), end('2', 0))).toBe(-Infinity)
  })

  test('a partition is stalled when it has something left and nobody has sent or written anything of it for ten seconds', () => {
    const stalled = (nowMs: number, ...ends: ReturnType<typeof end>[]) => stalledPartitions({ ends, applied }, nowMs)
    const behind = [end('0', 8), end('1', 4), end('2', 0)]
    expect(stalled(19_000, ...behind)).toEqual([])
    expect(stalled(30_000, ...behind).map(({ partitionId }) => partitionId)).toEqual(['1', '2'])
    expect(stalled(30_001, ...behind).map(({ partitionId }) => partitionId)).toEqual(['0', '1', '2'])
    expect(stalled(99_000, end('0', 7), end('1', 3), end('2', -1))).toEqual([])
    // By stretches, of what the log still has.
    expect(stalled(99_000, end('0', 9_000), end('1', 9_000, 5_000), end('2', 2))).toEqual([
      { partitionId: '0', beforeSequence: 2_008 },
      { partitionId: '1', beforeSequence: 7_000 },
      { partitionId: '2', beforeSequence: 3 },
    ])
  })
})

type Owner = Pick<PartitionOwner, 'process' | 'catchUp' | 'flush' | 'close'>

// An owner shows all it knows once more after some seconds, which is no business of the next test's tables.
const opened: PartitionOwner[] = []
afterEach(async () => {
  for (const owner of opened.splice(0)) await owner.close()
})

/** @param stepMs by how much the owner's clock moves each time it looks: state is written every two seconds of it */
function ownerOf(readLog = readerOf(log), stepMs = 1_000): { owner: Owner; warnings: string[] } {
  const warnings: string[] = []
  let nowMs = startMs
  const owner = new PartitionOwner({
    partitionId: '0',
    tables,
    readLog,
    compression: zlibCompression,
    nowMs: () => (nowMs += stepMs),
    warn: (text) => void warnings.push(text),
  })
  opened.push(owner)
  return { owner, warnings }
}

async function processAll(owner: Owner, batches: readonly (readonly LoggedMessage[])[]): Promise<string[]> {
  const alertIds: string[] = []
  for (const batch of batches) alertIds.push(...(await owner.process(batch)))
  await owner.flush()
  return alertIds
}

describe('effectively once', () => {
  let expected: string[]

  beforeEach(async () => {
    if (expected) return
    await processAll(ownerOf().owner, batchesOf(log, 200))
    expected = await contents()
    for (const table of Object.values(tables))
      for await (const { partitionKey, rowKey } of table.listEntities()) await table.deleteEntity(partitionKey!, rowKey!)
  }, 60_000)

  test('the log has alerts, dead letters, segments and rollups to get wrong', () => {
    for (const name of ['alertEvents', 'deadLetters', 'readings', 'rollups', 'latest'])
      expect(
        expected.some((row) => row.startsWith(name)),
        name,
      ).toBe(true)
  })

  test('however the log is cut into batches', async () => {
    await processAll(ownerOf().owner, batchesOf(log, 333))
    expect(await contents()).toEqual(expected)
  }, 60_000)

  test('when every batch comes twice, and again in part', async () => {
    const batches = batchesOf(log, 200).flatMap((batch) => [batch, batch, batch.slice(120)])
    await processAll(ownerOf().owner, batches)
    expect(await contents()).toEqual(expected)
  }, 60_000)

  test('when batches are lost on the way, as after a throwing handler: the log is read again', async () => {
    const batches = batchesOf(log, 200).filter((_, index) => index % 3 !== 1)
    batches.push(log.slice(-1))
    await processAll(ownerOf().owner, batches)
    expect(await contents()).toEqual(expected)
  }, 60_000)

  test('when an owner dies and no batch follows: what nobody has applied is read from the log, by stretches', async () => {
    const last = log.length
    const { owner: dead } = ownerOf(readerOf(log), 1)
    for (const batch of batchesOf(log, 200)) await dead.process(batch)
    // State was written with its first batch only; then the process ended.
    const { sequence } = (await appliedMessages(tables)).get('0')!
    expect(sequence).toBeLessThan(last - 1)
    for (const beforeSequence of [sequence + 500, sequence + 500, last]) {
      const { owner, warnings } = ownerOf()
      await owner.catchUp(beforeSequence)
      expect(warnings).toEqual([])
      expect((await appliedMessages(tables)).get('0')).toMatchObject({ sequence: beforeSequence - 1 })
    }
    await dead.flush()
    expect(await contents()).toEqual(expected)
  }, 60_000)

  test('when somebody else has caught up for an owner that still lives: it is fenced, and goes on from there', async () => {
    const { owner } = ownerOf()
    const batches = batchesOf(log, 200)
    for (const batch of batches.slice(0, 8)) await owner.process(batch)
    await ownerOf().owner.catchUp(2_000)
    for (const batch of batches.slice(8)) await owner.process(batch).catch(() => owner.process(batch))
    await owner.flush()
    expect(await contents()).toEqual(expected)
  }, 60_000)

  test('when an owner dies and another goes on from an older snapshot', async () => {
    const batches = batchesOf(log, 200)
    await processAll(ownerOf().owner, batches.slice(0, 9))
    await processAll(ownerOf().owner, batches.slice(9))
    expect(await contents()).toEqual(expected)
  }, 60_000)

  test('when two owners work at once: the older one is fenced, and what it wrote is what the other writes', async () => {
    const [one, two] = [ownerOf().owner, ownerOf().owner]
    let fenced = 0
    for (const batch of batchesOf(log, 200))
      for (const owner of [one, two])
        await owner.process(batch).catch(async (error: Error) => {
          expect(error.name).toBe('PartitionLostError')
          fenced++
          await owner.process(batch)
        })
    for (const owner of [one, two]) await owner.flush()
    expect(fenced).toBeGreaterThan(0)
    expect(await contents()).toEqual(expected)
  }, 60_000)

  test('when the store fails now and then', async () => {
    const { owner } = ownerOf()
    const flaky = tables.readings.upsertEntity.bind(tables.readings)
    let [calls, failures] = [0, 0]
    tables.readings.upsertEntity = (...parameters) =>
      ++calls % 4 === 2 && ++failures <= 6 ? Promise.reject(new Error('the store is busy')) : flaky(...parameters)
    try {
      for (const batch of batchesOf(log, 200)) {
        for (let attempt = 0; attempt < 5; attempt++) {
          try {
            await owner.process(batch)
            break
          } catch {
            // The trigger's retry policy gives the batch again.
          }
        }
      }
      await owner.flush()
    } finally {
      delete (tables.readings as { upsertEntity?: unknown }).upsertEntity
    }
    expect(failures).toBeGreaterThan(2)
    expect(await contents()).toEqual(expected)
  }, 60_000)
})

test('the state after the last of a burst is written, though no batch comes after it', async () => {
  const { owner } = ownerOf(readerOf(log), 1)
  for (const batch of batchesOf(log.slice(0, 60), 20)) await owner.process(batch)
  expect((await appliedMessages(tables)).get('0')).toMatchObject({ sequence: 19 })
  const applied = await eventually(async () => {
    const { sequence, arrivedMs } = (await appliedMessages(tables)).get('0')!
    return sequence === 59 ? { sequence, arrivedMs } : undefined
  })
  expect(applied.arrivedMs).toBe(log[59]!.arrivedMs)
  await owner.flush()
})

test('what is flushed is written when that returns, though another writing of it had begun', async () => {
  const { owner } = ownerOf()
  await owner.process(log.slice(0, 20))
  const write = tables.latest.submitTransaction.bind(tables.latest)
  let written = 0
  tables.latest.submitTransaction = async (...parameters) => {
    const response = await write(...parameters)
    written++
    return response
  }
  try {
    const first = owner.flush()
    await owner.flush()
    expect(written).toBe(1)
    await first
  } finally {
    delete (tables.latest as { submitTransaction?: unknown }).submitTransaction
  }
})

test('an owner shows all it knows once more after some seconds, unless it was closed', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const shown = vi.spyOn(tables.latest, 'submitTransaction')
  try {
    const [open, closed] = [ownerOf().owner, ownerOf().owner]
    for (const owner of [open, closed]) {
      await owner.process(log.slice(0, 20))
      await owner.flush()
    }
    await closed.close()
    shown.mockClear()
    await vi.advanceTimersByTimeAsync(20_000)
    expect(shown).toHaveBeenCalledTimes(1)
    await open.close()
  } finally {
    shown.mockRestore()
    vi.useRealTimers()
  }
})

test('a device with as many signals as may be, and readings that do not pack, is stored and read again', async () => {
  const random = randomOf('wide')
  const names = Array.from({ length: telemetryLimits.signalsPerDeviceMax }, (_, n) =>
    `signal ${n} `.padEnd(telemetryLimits.signalNameCharsMax, 'ä'),
  )
  const wide = Array.from({ length: 70 }, (_, index): LoggedMessage => {
    const timeMs = startMs + index * 20_000
    return {
      sequenceNumber: index,
      body: Buffer.from(JSON.stringify({ time: timeMs, ...Object.fromEntries(names.map((name) => [name, random.next() / 3])) })),
      contentType: 'application/json',
      contentEncoding: undefined,
      deviceId: 'wide-1',
      moduleId: undefined,
      properties: { bootId: 'b1', seq: String(index * names.length + 1), count: String(names.length) },
      arrivedMs: timeMs,
    }
  })
  const { owner, warnings } = ownerOf(readerOf(wide))
  await processAll(owner, batchesOf(wide, 20))
  const restarted = ownerOf(readerOf(wide))
  await processAll(restarted.owner, [[{ ...wide[69]!, sequenceNumber: 70 }]])
  expect([...warnings, ...restarted.warnings]).toEqual([])
  const { summary, tail } = (await readDevice(tables, 'wide-1'))!
  expect(summary.ledger).toMatchObject({ stored: 70 * names.length, duplicates: names.length, unexplained: 0 })
  expect(tail!.readings).toBeGreaterThan(1_000)
  const sizes: number[] = []
  for (const table of [tables.hotPathState, tables.readings, tables.rollups, tables.latest])
    for await (const row of table.listEntities()) sizes.push(bytesFromProperties(row).length)
  expect(Math.max(...sizes)).toBeGreaterThan(65_536)
  const seqs = new Set<number>()
  for await (const { seq } of storedReadings(tables, { deviceIds: ['wide-1'], fromMs: startMs, toMs: startMs + 86_400_000 })) seqs.add(seq)
  expect(seqs.size).toBe(70 * names.length)
}, 60_000)

test.each([0, 1, 59_999, 60_000, 60_001, 180_000, 720_000, 720_001, 2_000_000])(
  '%d bytes in a row come back as they were',
  async (length) => {
    const behind = new Uint8Array(length + 200).map((_, index) => (index * 7) % 251)
    // A view into a larger memory, as decoders make them.
    const bytes = behind.subarray(100, 100 + length)
    const row = { partitionKey: 'bytes', rowKey: String(length), ...bytesToProperties(bytes) }
    await tables.latest.upsertEntity(row, 'Replace')
    await tables.readings.submitTransaction([['upsert', row, 'Replace']])
    for (const table of [tables.latest, tables.readings])
      expect(Buffer.compare(bytesFromProperties(await table.getEntity('bytes', String(length))), bytes)).toBe(0)
  },
)

describe('a snapshot that cannot be read', () => {
  const damaged = {
    'is damaged': new Uint8Array([3, 200, 1, 2]),
    'is of a newer version': Uint8Array.of(99, ...encodeSnapshot(newDeviceState('pump-001')).slice(1)),
  }

  test.each(Object.entries(damaged))(
    'because it %s: the state is rebuilt from the log, and says so',
    async (_why, bytes) => {
      const batches = batchesOf(log, 200)
      await processAll(ownerOf().owner, batches.slice(0, 8))
      await tables.hotPathState.upsertEntity({ partitionKey: 'p000', rowKey: 'd-pump-001', ...bytesToProperties(bytes) }, 'Replace')
      const { owner, warnings } = ownerOf()
      await processAll(owner, batches.slice(8))
      expect(warnings.join()).toContain('rebuilding')
      const rebuilt = await contents()
      await Promise.all(
        Object.values(tables).map(async (table) => {
          for await (const { partitionKey, rowKey } of table.listEntities()) await table.deleteEntity(partitionKey!, rowKey!)
        }),
      )
      await processAll(ownerOf().owner, batches)
      expect(rebuilt).toEqual(await contents())
    },
    60_000,
  )
})

test('what is open counts once for who has read it, also when it is closed before the rest is read', async () => {
  const hours = plantLog({ machines: [{ deviceId: 'pump-001', kind: 'pump' }], seconds: 7_200, stepS: 2 })
  const { owner } = ownerOf(readerOf(hours))
  await processAll(owner, batchesOf(hours.slice(0, 2_000), 100))
  const device = (await readDevice(tables, 'pump-001'))!
  const { timesMs } = device.tail!.series.get('flowM3PerH')!
  const toMs = timesMs.at(-1)! + 1
  const points = () =>
    Promise.all(
      [1_000, 60_000, 3_600_000].map((widthMs) =>
        readPoints(tables, device, { signal: 'flowM3PerH', fromMs: toMs - 1_200_000, toMs, widthMs }),
      ),
    )
  const before = await points()
  expect(before[0]!.count.length).toBeGreaterThan(300)
  await processAll(owner, batchesOf(hours.slice(2_000), 100))
  expect((await readDevice(tables, 'pump-001'))!.tail!.firstSeq).toBeGreaterThan(device.tail!.firstSeq)
  expect(await points()).toEqual(before)
}, 60_000)

test('summaries of a recording of years ago are kept as long as those of today', async () => {
  const dayMs = 86_400_000
  const yearsMs = 12 * 365 * dayMs
  const recording = plantLog({ machines: [{ deviceId: 'pump-001', kind: 'pump' }], seconds: 3 * 3_600, stepS: 20 })
  const replayed = recording.map((message) => ({ ...message, arrivedMs: message.arrivedMs + yearsMs }))
  await processAll(ownerOf(readerOf(replayed)).owner, batchesOf(replayed, 100))
  const rollupsAfter = async (days: number) => {
    const nowMs = startMs + yearsMs + days * dayMs
    await deleteExpired(tables, files.exports, { nowMs, readingsMs: 90 * dayMs, archivedMs: 0 })
    const kinds = new Set<string>()
    for await (const { rowKey } of tables.rollups.listEntities()) kinds.add(rowKey!.slice(0, 2))
    return [...kinds].sort()
  }
  expect(await rollupsAfter(1)).toEqual(['1d', '1h', '1m'])
  expect(await rollupsAfter(91)).toEqual(['1d', '1h'])
  expect(await rollupsAfter(731)).toEqual(['1d'])
  expect(await rollupsAfter(3_651)).toEqual([])
}, 60_000)

describe('the store', () => {
  const signal = 'flowM3PerH'
  // Three days of one pump, a reading every ten seconds.
  const long = plantLog({ machines: [{ deviceId: 'pump-001', kind: 'pump' }], seconds: 3 * 86_400, stepS: 20 })
  const sent = long.map(({ body }) => JSON.parse(Buffer.from(body).toString()) as Record<string, number>)

  beforeEach(async () => {
    await processAll(ownerOf(readerOf(long)).owner, batchesOf(long, 2_000))
  }, 60_000)

  test('answers any span in at most a thousand points, with minimum, maximum and every reading counted', async () => {
    const { summary, tail } = (await readDevice(tables, 'pump-001'))!
    const endMs = startMs + 4 * 86_400_000
    for (const [fromMs, toMs] of [
      [startMs, startMs + 600_000],
      [startMs + 7_000_000, startMs + 30_000_000],
      [startMs, endMs],
      [startMs - 300 * 86_400_000, endMs],
      [startMs - 3_000 * 86_400_000, endMs],
    ] as const) {
      const widthMs = widthFor(toMs - fromMs)
      // Spans on whole points: a point that is cut holds what lies before the span, too.
      const wholeFromMs = Math.floor(fromMs / widthMs) * widthMs
      const wholeToMs = Math.ceil(toMs / widthMs) * widthMs
      const points = await readPoints(tables, { summary, tail }, { signal, fromMs: wholeFromMs, toMs: wholeToMs, widthMs })
      const values = sent.filter(({ time }) => time! >= wholeFromMs && time! < wholeToMs).map((values) => values[signal]!)
      expect(points.timesMs.length).toBeLessThanOrEqual(pointsMax)
      expect(points.count.reduce((sum, count) => sum + count, 0)).toBe(values.length)
      expect([Math.min(...points.min), Math.max(...points.max)]).toEqual([Math.min(...values), Math.max(...values)])
      const mean = points.mean.reduce((sum, value, index) => sum + value * points.count[index]!, 0) / values.length
      expect(mean).toBeCloseTo(values.reduce((sum, value) => sum + value, 0) / values.length, 6)
    }
  }, 60_000)

  test('finds what there is in any span, however little of it there is', async () => {
    const rows: ReadingRow[] = []
    const [fromMs, toMs] = [Date.parse('0001-01-01T00:00:00Z'), Date.parse('9999-12-31T23:59:59Z')]
    for await (const row of storedReadings(tables, { deviceIds: ['pump-001', 'nobody'], signals: [signal], fromMs, toMs })) rows.push(row)
    expect(rows.map(({ timeMs, value }) => [timeMs, value])).toEqual(sent.map((values) => [values.time, values[signal]]))
  }, 60_000)

  test('exports readings as CSV, NDJSON and Parquet, which DuckDB reads alike', async () => {
    const wanted = { deviceIds: ['pump-001'], signals: [signal], fromMs: startMs + 3_600_000, toMs: startMs + 4 * 3_600_000 }
    const expected = sent.filter(({ time }) => time! >= wanted.fromMs && time! < wanted.toMs)
    const database = await DuckDBInstance.create(':memory:')
    const connection = await database.connect()
    // Otherwise it casts times to those of this computer's zone.
    await connection.run("set TimeZone = 'UTC'")
    for (const format of ['csv', 'ndjson', 'parquet'] as const) {
      const written = await writeRows(files.exports, `test.${format}`, format, storedReadings(tables, wanted))
      expect(written.rows).toBe(expected.length)
      const file = join(folder, `export.${format}`)
      writeFileSync(file, await files.exports.getBlockBlobClient(`test.${format}`).downloadToBuffer())
      const source =
        format === 'parquet' ? `'${file}'` : format === 'csv' ? `read_csv('${file}')` : `read_json('${file}', format='newline_delimited')`
      const result = await connection.runAndReadAll(
        `select count(*)::int as n, count(distinct device || signal)::int as series, min(epoch_ms(time::timestamp))::double as first, sum(value)::double as total, max(seq)::int as seq from ${source}`,
      )
      const [row] = result.getRowObjects()
      expect(row, format).toMatchObject({ n: expected.length, series: 1, first: expected[0]!.time })
      expect(Number(row!.total)).toBeCloseTo(
        expected.reduce((sum, values) => sum + values[signal]!, 0),
        6,
      )
    }
    connection.closeSync()
  }, 60_000)

  test('archives an hour as Parquet, the same bytes however often', async () => {
    const hourStartMs = Math.floor((startMs + 10 * 3_600_000) / 3_600_000) * 3_600_000
    const archived = await archiveHour(tables, files.archive, hourStartMs)
    expect(archived).toBeGreaterThan(500)
    const name = `date=${new Date(hourStartMs).toISOString().slice(0, 10)}/hour=${new Date(hourStartMs).toISOString().slice(11, 13)}/part-000.parquet`
    const first = await files.archive.getBlockBlobClient(name).downloadToBuffer()
    await archiveHour(tables, files.archive, hourStartMs)
    expect((await files.archive.getBlockBlobClient(name).downloadToBuffer()).equals(first)).toBe(true)
    const file = join(folder, 'archive.parquet')
    writeFileSync(file, first)
    const connection = await (await DuckDBInstance.create(':memory:')).connect()
    const [row] = (
      await connection.runAndReadAll(`select count(*)::int as n, count(distinct signal)::int as signals from '${file}'`)
    ).getRowObjects()
    expect(row).toEqual({ n: archived, signals: 5 })
    connection.closeSync()
  }, 60_000)

  test('archives every reading once, those of a device that fell silent included', async () => {
    const hourMs = 3_600_000
    let archived = 0
    for (let hour = Math.floor(startMs / hourMs); hour * hourMs <= startMs + 3 * 86_400_000; hour++)
      archived += await archiveHour(tables, files.archive, hour * hourMs)
    expect(archived).toBe(5 * sent.length)
  }, 60_000)

  test('archives hour after hour, however long it was away, and no hour before all of it is applied', async () => {
    const hourMs = 3_600_000
    const hour = (count: number) => Math.floor(startMs / hourMs) * hourMs + count * hourMs
    const { archive } = files
    const isArchived = (count: number) => {
      const [date, time] = new Date(hour(count)).toISOString().split('T')
      return archive.getBlockBlobClient(`date=${date}/hour=${time!.slice(0, 2)}/_SUCCESS`).exists()
    }
    for await (const { name } of archive.listBlobsFlat()) await archive.deleteBlob(name)
    const settled = 21 * 60_000
    expect(await archiveSettledHours(tables, archive, hour(3) + settled, -Infinity)).toBe(0)
    expect(await archiveSettledHours(tables, archive, hour(3) + settled, Infinity)).toBe(48)
    expect([await isArchived(2), await isArchived(3)]).toEqual([true, false])
    // The app is away for days; then it comes back, and the last hours of its log are yet to be applied.
    expect(await archiveSettledHours(tables, archive, hour(90), hour(80) + settled)).toBe(77)
    expect([await isArchived(79), await isArchived(80)]).toEqual([true, false])
    expect(await archiveSettledHours(tables, archive, hour(90), -Infinity)).toBe(0)
    expect(await archiveSettledHours(tables, archive, hour(90) + settled, Infinity)).toBe(10)
    expect(await archiveSettledHours(tables, archive, hour(90) + settled, Infinity)).toBe(0)
    expect(await archivedUpTo(archive, hour(90) + settled)).toBe(hour(90))
    // The clock was ahead until now.
    expect(await archivedUpTo(archive, hour(60))).toBeUndefined()
    expect(await archiveSettledHours(tables, archive, hour(60) + settled, Infinity)).toBe(48)
    expect(await archivedUpTo(archive, hour(60) + settled)).toBe(hour(60))
  }, 120_000)

  const readingsMs = 90 * 86_400_000
  const expire = (nowMs: number, archivedMs = nowMs) => deleteExpired(tables, files.exports, { nowMs, readingsMs, archivedMs })

  test('forgets what is past its retention, and nothing else', async () => {
    const rowsOf = async (name: 'readings' | 'rollups') => {
      let rows = 0
      for await (const _row of tables[name].listEntities()) rows++
      return rows
    }
    const before = { readings: await rowsOf('readings'), rollups: await rowsOf('rollups') }
    expect(await expire(startMs + 4 * 86_400_000)).toBe(0)
    const letter = { partitionKey: 'p000', rowKey: 'letter', arrivedMs: startMs }
    await tables.deadLetters.upsertEntity(letter, 'Replace')
    expect(await expire(startMs + retentionMs.deadLetters)).toBe(0)
    expect(await expire(startMs + retentionMs.deadLetters + 1)).toBe(1)
    // What is not in the archive yet waits for it.
    const readings = await rowsOf('readings')
    await expire(startMs + readingsMs + 86_400_000, 0)
    await expire(startMs + readingsMs + 86_400_000, startMs)
    expect(await rowsOf('readings')).toBe(readings)
    await expire(startMs + readingsMs + 86_400_000)
    const after = { readings: await rowsOf('readings'), rollups: await rowsOf('rollups') }
    expect(after.readings).toBeLessThan(before.readings)
    expect(after.readings).toBeGreaterThan(before.readings / 2)
    expect(await listDevices(tables)).toHaveLength(1)
    await expire(startMs + 11 * 365 * 86_400_000 + 40 * 86_400_000)
    expect(await rowsOf('rollups')).toBe(0)
  }, 60_000)

  describe('an export', () => {
    const job: ExportJob = {
      exportId: '7f1c8a52-0000-4000-8000-000000000001',
      // As many and as long names as may be asked for.
      request: {
        devices: ['pump-001', ...Array.from({ length: 999 }, (_, index) => `${index}-`.padEnd(128, 'x'))],
        signals: [signal],
        from: new Date(startMs).toISOString(),
        to: new Date(startMs + 3_600_000).toISOString(),
        format: 'csv',
      },
      status: 'waiting',
      requestedAtMs: startMs,
      readings: 0,
      bytes: 0,
      problem: '',
    }

    test('is kept with all it was asked for, and goes with its file', async () => {
      const small = { ...job, request: { ...job.request, devices: ['pump-001'] } }
      await writeExport(tables, await runExport(tables, files.exports, small, { isLastAttempt: false }))
      const kept = await readExport(tables, job.exportId)
      expect(kept).toMatchObject({
        request: small.request,
        status: 'finished',
        readings: sent.filter(({ time }) => time! < startMs + 3_600_000).length,
      })
      const file = files.exports.getBlobClient(exportFileOf(kept!))
      expect(await file.exists()).toBe(true)
      await expire(startMs + retentionMs.exports)
      expect(await file.exists()).toBe(true)
      await expire(startMs + retentionMs.exports + 1)
      expect([await file.exists(), await readExport(tables, job.exportId)]).toEqual([false, undefined])
      await writeExport(tables, job)
      expect(await readExport(tables, job.exportId)).toEqual(job)
      // It never had a file.
      await expire(startMs + retentionMs.exports + 1)
      expect(await readExport(tables, job.exportId)).toBeUndefined()
    })

    test('that cannot be made is tried again, and its last attempt says why', async () => {
      const small = { ...job, request: { ...job.request, devices: ['pump-001'] } }
      await tables.readings.upsertEntity({
        partitionKey: 'pump-001',
        rowKey: timeKey(startMs),
        readings: 5,
        firstMs: startMs,
        lastMs: startMs,
        ...bytesToProperties(Uint8Array.of(255, 1)),
      })
      await expect(runExport(tables, files.exports, small, { isLastAttempt: false })).rejects.toThrow()
      const ended = await runExport(tables, files.exports, small, { isLastAttempt: true })
      expect([ended.status, ended.problem]).toEqual(['failed', expect.stringMatching(/./)])
    })
  })
})
