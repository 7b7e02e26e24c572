/**
 * Readings gather per device until a segment is worth a row. Where a segment is cut depends only on the log, never on
 * how the log was cut into batches, so that replaying it writes the same rows again.
 */
import { readColumns, writeColumns } from '../../contract/telemetry/columns.ts'
import type { FilteredSummary } from '../../contract/telemetry/telemetry.ts'
import { ByteReader, ByteWriter } from '../../contract/telemetry/varint.ts'

export const segmentLimits = {
  /** Some kilobytes: each row costs a few requests, and what is open is written again and again for pages to see. */
  readingsMax: 8_000,
  /** Hub time a segment may span. */
  spanMsMax: 600_000,
} as const

export type SegmentSeries = {
  readonly signal: string
  readonly timesMs: number[]
  readonly seqs: number[]
  readonly values: number[]
  /** What the edge held back. */
  readonly filtered: FilteredSummary[]
}

export type Segment = {
  readonly bootId: string
  readonly firstSeq: number
  /** Hub time of its first message. */
  readonly openedMs: number
  /** What was added to the device's times, from a seq on: with it, its own times can be had back. */
  readonly clock: { readonly fromSeq: number; readonly offsetMs: number }[]
  readings: number
  readonly series: Map<string, SegmentSeries>
}

export function openSegment(bootId: string, firstSeq: number, openedMs: number): Segment {
  return { bootId, firstSeq, openedMs, clock: [], readings: 0, series: new Map() }
}

export function isFull(segment: Segment, nowMs: number): boolean {
  return segment.readings >= segmentLimits.readingsMax || nowMs - segment.openedMs >= segmentLimits.spanMsMax
}

export function addReading(segment: Segment, signal: string, timeMs: number, seq: number, value: number): void {
  const series = seriesOf(segment, signal)
  series.timesMs.push(timeMs)
  series.seqs.push(seq)
  series.values.push(value)
  segment.readings++
}

export function noteOffset({ clock }: Segment, fromSeq: number, offsetMs: number): void {
  if ((clock.at(-1)?.offsetMs ?? 0) !== offsetMs) clock.push({ fromSeq, offsetMs })
}

export function addFiltered(segment: Segment, signal: string, summary: FilteredSummary): void {
  seriesOf(segment, signal).filtered.push(summary)
}

function seriesOf(segment: Segment, signal: string): SegmentSeries {
  let series = segment.series.get(signal)
  if (!series) segment.series.set(signal, (series = { signal, timesMs: [], seqs: [], values: [], filtered: [] }))
  return series
}

export function encodeSegment(segment: Segment): Uint8Array {
  const writer = new ByteWriter()
  writer.uint(segment.openedMs)
  writer.text(segment.bootId)
  writer.uint(segment.firstSeq)
  writer.uint(segment.clock.length)
  for (const { fromSeq, offsetMs } of segment.clock) {
    writer.int(fromSeq - segment.firstSeq)
    writer.int(Math.round(offsetMs))
  }
  writer.uint(segment.series.size)
  let previousTimesMs: readonly number[] | undefined
  for (const series of segment.series.values()) {
    writer.text(series.signal)
    writeColumns(writer, series, { timeMs: segment.openedMs, seq: segment.firstSeq, previousTimesMs })
    writeFiltered(writer, series.filtered, segment.openedMs)
    previousTimesMs = series.timesMs
  }
  return writer.finish()
}

export function decodeSegment(bytes: Uint8Array): Segment {
  const reader = new ByteReader(bytes)
  const openedMs = reader.uint()
  const segment = openSegment(reader.text(), reader.uint(), openedMs)
  for (let count = reader.count(); count > 0; count--) {
    const fromSeq = segment.firstSeq + reader.int()
    segment.clock.push({ fromSeq, offsetMs: reader.int() })
  }
  let previousTimesMs: readonly number[] | undefined
  for (let count = reader.count(); count > 0; count--) {
    const signal = reader.text()
    const { timesMs, seqs, values } = readColumns(reader, { timeMs: openedMs, seq: segment.firstSeq, previousTimesMs })
    // An open segment grows on: its columns are its own.
    segment.series.set(signal, {
      signal,
      timesMs: [...timesMs],
      seqs: [...seqs],
      values: [...values],
      filtered: readFiltered(reader, openedMs),
    })
    segment.readings += values.length
    previousTimesMs = timesMs
  }
  return segment
}

function writeFiltered(writer: ByteWriter, filtered: readonly FilteredSummary[], baseMs: number): void {
  writer.uint(filtered.length)
  for (const { count, min, max, mean, lastTimeMs } of filtered) {
    writer.uint(count)
    writer.int(lastTimeMs - baseMs)
    writer.raw(new Uint8Array(Float64Array.of(min, max, mean).buffer))
  }
}

function readFiltered(reader: ByteReader, baseMs: number): FilteredSummary[] {
  return Array.from({ length: reader.count() }, () => {
    const count = reader.uint()
    const lastTimeMs = baseMs + reader.int()
    const [min, max, mean] = reader.float64Array(3)
    return { count, min: min!, max: max!, mean: mean!, lastTimeMs }
  })
}
