/** Stored readings as rows, one after the other: what exports and the cold path write. Bounded in memory by one span of segments. */
import { segmentLimits } from '../hot-path/open-segment.ts'
import type { Segment } from '../hot-path/open-segment.ts'
import { readDevice, readSegments } from './latest-store.ts'
import type { Tables } from './tables.ts'

export type ReadingRow = {
  readonly deviceId: string
  readonly signal: string
  readonly timeMs: number
  readonly value: number
  readonly bootId: string
  readonly seq: number
}

const pageMs = 6 * 3_600_000

export type RowsWanted = {
  readonly deviceIds: readonly string[]
  /** All of them when absent. */
  readonly signals?: readonly string[] | undefined
  /** Event times. */
  readonly fromMs: number
  readonly toMs: number
}

/** Every stored reading with an event time of the span, device by device, in the order of segments. */
export async function* storedReadings(tables: Tables, wanted: RowsWanted): AsyncGenerator<ReadingRow> {
  for (const deviceId of wanted.deviceIds) {
    const device = await readDevice(tables, deviceId)
    if (!device) continue
    const endMs = Math.max(wanted.toMs, device.summary.lastSeenMs)
    for (let fromMs = wanted.fromMs - segmentLimits.spanMsMax; fromMs < endMs; fromMs += pageMs) {
      const page = { fromMs, toMs: Math.min(fromMs + pageMs, endMs) }
      for (const segment of await readSegments(tables, deviceId, page, 0)) yield* rowsOf(deviceId, segment, wanted)
    }
    if (device.tail) yield* rowsOf(deviceId, device.tail, wanted)
  }
}

export function* rowsOf(deviceId: string, { bootId, series }: Segment, wanted: Omit<RowsWanted, 'deviceIds'>): Generator<ReadingRow> {
  for (const { signal, timesMs, seqs, values } of series.values()) {
    if (wanted.signals && !wanted.signals.includes(signal)) continue
    for (let i = 0; i < values.length; i++) {
      const timeMs = timesMs[i]!
      if (timeMs >= wanted.fromMs && timeMs < wanted.toMs) yield { deviceId, signal, timeMs, value: values[i]!, bootId, seq: seqs[i]! }
    }
  }
}
