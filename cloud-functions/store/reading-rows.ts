/** Stored readings as rows, one after the other: what exports and the cold path write. */
import type { Segment } from '../hot-path/open-segment.ts'
import { readDevice } from './latest-store.ts'
import { segmentsHolding } from './segment-store.ts'
import type { Tables } from './tables.ts'

export type ReadingRow = {
  readonly deviceId: string
  readonly signal: string
  readonly timeMs: number
  readonly value: number
  readonly bootId: string
  readonly seq: number
}

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
    for await (const segment of segmentsHolding(tables, device, wanted)) yield* rowsOf(deviceId, segment, wanted)
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
