/**
 * Readings gather per device until a segment is worth a row. Where a segment is cut depends only on the log, never on
 * how the log was cut into batches, so that replaying it writes the same rows again.
 */
import { readColumns, writeColumns } from '../../contract/telemetry/columns.ts'
import { ByteReader, ByteWriter } from '../../contract/telemetry/varint.ts'

export const segmentLimits = {
  readingsMax: 2_000,
  /** Hub time a segment may span. */
  spanMsMax: 600_000,
} as const

export type SegmentSeries = { readonly signal: string; readonly timesMs: number[]; readonly seqs: number[]; readonly values: number[] }

export type Segment = {
  readonly bootId: string
  readonly firstSeq: number
  /** Hub time of its first message. */
  readonly openedMs: number
  readings: number
  readonly series: Map<string, SegmentSeries>
}

export function openSegment(bootId: string, firstSeq: number, openedMs: number): Segment {
  return { bootId, firstSeq, openedMs, readings: 0, series: new Map() }
}

export function isFull(segment: Segment, nowMs: number): boolean {
  return segment.readings >= segmentLimits.readingsMax || nowMs - segment.openedMs >= segmentLimits.spanMsMax
}

export function addReading(segment: Segment, signal: string, timeMs: number, seq: number, value: number): void {
  let series = segment.series.get(signal)
  if (!series) segment.series.set(signal, (series = { signal, timesMs: [], seqs: [], values: [] }))
  series.timesMs.push(timeMs)
  series.seqs.push(seq)
  series.values.push(value)
  segment.readings++
}

export function encodeSegment(segment: Segment): Uint8Array {
  const writer = new ByteWriter()
  writer.uint(segment.openedMs)
  writer.text(segment.bootId)
  writer.uint(segment.firstSeq)
  writer.uint(segment.series.size)
  let previousTimesMs: readonly number[] | undefined
  for (const series of segment.series.values()) {
    writer.text(series.signal)
    writeColumns(writer, series, { timeMs: segment.openedMs, seq: segment.firstSeq, previousTimesMs })
    previousTimesMs = series.timesMs
  }
  return writer.finish()
}

export function decodeSegment(bytes: Uint8Array): Segment {
  const reader = new ByteReader(bytes)
  const openedMs = reader.uint()
  const segment = openSegment(reader.text(), reader.uint(), openedMs)
  let previousTimesMs: readonly number[] | undefined
  for (let count = reader.count(); count > 0; count--) {
    const signal = reader.text()
    const { timesMs, seqs, values } = readColumns(reader, { timeMs: openedMs, seq: segment.firstSeq, previousTimesMs })
    // An open segment grows on: its columns are its own.
    segment.series.set(signal, { signal, timesMs: [...timesMs], seqs: [...seqs], values: [...values] })
    segment.readings += values.length
    previousTimesMs = timesMs
  }
  return segment
}
