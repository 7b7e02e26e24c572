/** What an edge holds back is still known of: statistics in the cloud are those of every reading, whatever the filters are. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { mergeBuckets } from '../../cloud-functions/hot-path/bucket.ts'
import { zlibCompression } from '../../cloud-functions/hot-path/compression.ts'
import { ledgerOf } from '../../cloud-functions/hot-path/device-account.ts'
import { foldMessage, newPartitionState, noEffects } from '../../cloud-functions/hot-path/fold.ts'
import type { Segment } from '../../cloud-functions/hot-path/open-segment.ts'
import { minutesOf } from '../../cloud-functions/hot-path/roll-up.ts'
import type { FilterSpec } from '../../contract/filter-spec.ts'
import { encodePackedBatch, packedBatchContentType } from '../../contract/telemetry/packed-batch.ts'
import { randomOf } from '../../device-sim/random.ts'
import { applyDesired, defaultConfiguration } from '../../edge-module/configuration.ts'
import { EdgeCore } from '../../edge-module/edge-core.ts'
import { decodeEdgeState, encodeEdgeState, newEdgeState } from '../../edge-module/edge-devices.ts'

const startMs = Date.UTC(2026, 0, 5, 6)
const minuteMs = 60_000

/** An edge and the part of the cloud that counts, without what lies between them. */
class EdgeAndCloud {
  #core: EdgeCore
  readonly #filter: FilterSpec
  readonly #partition = newPartitionState()
  readonly #segments: Segment[] = []
  readonly #batches: Uint8Array[] = []

  constructor(filter: FilterSpec) {
    this.#filter = filter
    this.#core = this.#configured(new EdgeCore(newEdgeState('edge'), zlibCompression))
  }

  #configured(core: EdgeCore): EdgeCore {
    const groups = { all: { version: '1', signals: { '*': { filter: this.#filter } } } }
    core.configure(applyDesired(defaultConfiguration, { groups, maxIntervalMs: 600_000 }).configuration)
    return core
  }

  add(boot: number, seq: number, timeMs: number, values: Readonly<Record<string, number>>): void {
    this.#core.add({
      body: Buffer.from(JSON.stringify({ time: timeMs, ...values })),
      contentType: 'application/json',
      contentEncoding: undefined,
      deviceId: 'fan-1',
      moduleId: undefined,
      properties: { bootId: `b${boot}`, seq: String(seq), count: String(Object.keys(values).length) },
      arrivedMs: timeMs,
    })
  }

  cut(nowMs: number): void {
    if (this.#core.batch.isEmpty) return
    const body = encodePackedBatch(this.#core.cut(nowMs), zlibCompression)
    this.#batches.push(body)
    this.#deliver(body, nowMs)
  }

  /** The gateway did not hear that the hub has it. */
  deliverAgain(index: number, nowMs: number): void {
    const body = this.#batches[index % Math.max(1, this.#batches.length)]
    if (body) this.#deliver(body, nowMs)
  }

  #deliver(body: Uint8Array, arrivedMs: number): void {
    const effects = noEffects()
    const message = {
      body,
      contentType: packedBatchContentType,
      contentEncoding: undefined,
      deviceId: 'gateway-1',
      moduleId: 'edge-module',
      properties: {},
      arrivedMs,
      sequenceNumber: this.#partition.appliedSequence + 1,
    }
    foldMessage(this.#partition, message, zlibCompression, effects)
    for (const { segment } of effects.closedSegments) this.#segments.push(segment)
  }

  restart(): void {
    if (this.#core.batch.isEmpty)
      this.#core = this.#configured(new EdgeCore(decodeEdgeState(encodeEdgeState(this.#core.state)), zlibCompression))
  }

  get ledger() {
    return ledgerOf(this.#partition.devices.get('fan-1')!.account)
  }

  minutes(signal: string) {
    const open = this.#partition.devices.get('fan-1')!.segment
    const series = [...this.#segments, ...(open ? [open] : [])].flatMap((segment) => segment.series.get(signal) ?? [])
    return series.flatMap(minutesOf)
  }
}

const filters = fc.constantFrom<FilterSpec>(
  { kind: 'deadband', width: 1 },
  { kind: 'relative-deadband', pct: 5, floor: 0.1 },
  { kind: 'swinging-door', tolerance: 1 },
  { kind: 'aggregate', periodMs: 7_000 },
  { kind: 'on-change' },
  { kind: 'pass' },
)

test('count, least, most and mean are those of all readings', () => {
  fc.assert(
    fc.property(filters, fc.string(), (filter, seed) => {
      const random = randomOf(seed)
      const plant = new EdgeAndCloud(filter)
      const sent = { flow: [] as number[], mode: [] as number[] }
      let [nowMs, boot, seq, flow] = [startMs, 0, 1, 50]
      const add = (values: Readonly<Record<string, number>>, timeMs: number) => {
        plant.add(boot, seq, timeMs, values)
        seq += Object.keys(values).length
      }
      for (let index = 0; index < 300; index++) {
        nowMs += Math.floor(random.next() * 4_000)
        // Of so many boots the cloud knows what it has.
        if (boot < 7 && random.next() < 0.01) [boot, seq] = [boot + 1, 1]
        flow += random.next() < 0.01 ? 30 : random.next() - 0.5
        const values = { flow: Math.round(100 * flow) / 100, ...(random.next() < 0.3 ? { mode: Math.floor(3 * random.next()) } : {}) }
        sent.flow.push(values.flow)
        if (values.mode !== undefined) sent.mode.push(values.mode)
        add(values, random.next() < 0.02 ? nowMs - 200_000 : nowMs)
        if (random.next() < 0.1) plant.cut(nowMs)
        if (random.next() < 0.05) plant.deliverAgain(index, nowMs)
        if (random.next() < 0.05) plant.restart()
      }
      // What may wait a minute for more has waited; `end` is another signal, which the statements of these two must not wait for.
      for (let index = 0; index < 3; index++) {
        nowMs += 2 * minuteMs
        // A swinging door lets go of what it holds when something comes after it.
        const last = index === 0 ? { flow: 1_000, mode: 1_000 } : { end: index }
        if (index === 0) for (const values of Object.values(sent)) values.push(1_000)
        add(last, nowMs)
        plant.cut(nowMs)
      }
      expect(plant.ledger).toMatchObject({ published: plant.ledger.stored + plant.ledger.filtered, unexplained: 0, inFlight: 0 })
      for (const [signal, values] of Object.entries(sent)) {
        const all = mergeBuckets(0, plant.minutes(signal))
        expect([all.count, all.min, all.max]).toEqual([values.length, Math.min(...values), Math.max(...values)])
        expect(all.mean).toBeCloseTo(values.reduce((sum, value) => sum + value, 0) / values.length, 2)
      }
    }),
    { numRuns: 150 },
  )
})

test('the evening’s readings are not the morning’s, when a machine stands still at night', () => {
  const plant = new EdgeAndCloud({ kind: 'deadband', width: 5 })
  const morningMs = startMs + 12 * 60 * minuteMs
  const heats = [...Array.from({ length: 10 }, (_, second) => 180 + second / 10), ...Array.from({ length: 200 }, () => 20)]
  for (const [index, heat] of heats.entries()) {
    const timeMs = index < 10 ? startMs + 1_000 * index : morningMs + 1_000 * index
    plant.add(0, index + 1, timeMs, { heat })
    if (index % 10 === 9) plant.cut(timeMs)
  }
  const minutes = plant.minutes('heat')
  expect(minutes.reduce((sum, { count }) => sum + count, 0)).toBeGreaterThan(100)
  expect(Math.max(...minutes.filter(({ startMs: minute }) => minute >= morningMs).map(({ max }) => max))).toBe(20)
})
