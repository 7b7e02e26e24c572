/**
 * The columns of one series as bytes: times and seqs as deltas of deltas, values as deltas of decimal-scaled
 * integers. Regular sampling costs a few bytes for all times and all seqs together, before any deflate.
 * Values that are not short decimals are kept as raw doubles, so that decoding always gives back what went in.
 */
import { MalformedTelemetryError } from './malformed.ts'
import { telemetryLimits } from './telemetry.ts'
import type { ByteReader, ByteWriter } from './varint.ts'

const decimalsMax = 9
const powersOfTen = Array.from({ length: decimalsMax + 1 }, (_, decimals) => 10 ** decimals)
/** In place of the number of decimals: the values follow as doubles. */
const rawDoubles = 15
const scaledMax = 2 ** 51

/** The byte before the columns: decimals in the low bits, and what follows. */
const decimalsMask = 0x0f
const sameTimesFlag = 0x10
export const filteredFlag = 0x20

/** Values as integers of the fewest decimals that represent each of them exactly; grows to the longest series seen. */
let scaled = new Float64Array(1024)

/** Writes values as compactly as they can be read back exactly. @returns the number of decimals, or `rawDoubles` */
function writeExactly(writer: ByteWriter, values: readonly number[]): number {
  // Too few decimals are noticed at the first value that has more, usually the very first.
  for (let decimals = 0; decimals <= decimalsMax; decimals++) if (writer.scaledDeltas(values, powersOfTen[decimals]!)) return decimals
  if (scaled.length < values.length) scaled = new Float64Array(values.length * 2)
  for (let decimals = 0; decimals <= decimalsMax; decimals++) {
    if (!fits(values, powersOfTen[decimals]!, scaled)) continue
    writer.deltas(scaled, values.length)
    return decimals
  }
  for (const value of values) writer.float64(value)
  return rawDoubles
}

/** Fills `integers`, unless a value has more decimals. */
function fits(values: readonly number[], factor: number, integers: Float64Array): boolean {
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!
    const integer = Math.round(value * factor)
    // Less than 2^51 leaves room for the difference of two of them. -0 has no integer form.
    if (integer / factor !== value || Math.abs(integer) >= scaledMax || (integer === 0 && Object.is(value, -0))) return false
    integers[i] = integer
  }
  return true
}

export type Columns = { readonly timesMs: readonly number[]; readonly seqs: readonly number[]; readonly values: readonly number[] }

/** What the columns are written against: the same for writing and reading. */
export type ColumnBase = {
  readonly timeMs: number
  readonly seq: number
  /** Times of the series before it, which most sensors of one device share. */
  readonly previousTimesMs: readonly number[] | undefined
}

/** `timesMs` and `seqs` must be integers; `values` finite. @param flags of the caller, kept in the byte before the columns */
export function writeColumns(writer: ByteWriter, { timesMs, seqs, values }: Columns, base: ColumnBase, flags = 0): void {
  const count = values.length
  const hasSameTimes = base.previousTimesMs !== undefined && areEqual(timesMs, base.previousTimesMs)
  const headAt = writer.length
  writer.byte(0)
  if (!hasSameTimes) {
    writer.uint(count)
    writer.deltasOfDeltas(timesMs, count, base.timeMs)
  }
  writer.deltasOfDeltas(seqs, count, base.seq)
  writer.setByte(headAt, writeExactly(writer, values) | (hasSameTimes ? sameTimesFlag : 0) | flags)
}

function areEqual(a: readonly number[], b: readonly number[]): boolean {
  if (a === b) return true
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

export function readColumns(reader: ByteReader, base: ColumnBase): Columns & { readonly flags: number } {
  const head = reader.byte()
  let timesMs: readonly number[]
  if (head & sameTimesFlag) {
    if (!base.previousTimesMs) throw new MalformedTelemetryError('malformed-batch', 'the first series has no times')
    timesMs = base.previousTimesMs
  } else {
    // Every value takes a byte at least, so a lying count cannot allocate more than the message holds.
    const count = reader.count()
    if (count > telemetryLimits.readingsMax) throw new MalformedTelemetryError('too-large', `a series of ${count} readings`)
    timesMs = reader.deltasOfDeltas(count, base.timeMs)
  }
  const count = timesMs.length
  if (count > reader.remaining) throw new MalformedTelemetryError('malformed-batch', 'the batch ends in the middle')
  const seqs = reader.deltasOfDeltas(count, base.seq)
  const decimals = head & decimalsMask
  if (decimals !== rawDoubles && decimals > decimalsMax) throw new MalformedTelemetryError('malformed-batch', `${decimals} decimals`)
  const values = decimals === rawDoubles ? reader.float64s(count) : reader.deltas(count, 10 ** decimals)
  if (decimals === rawDoubles && !values.every(Number.isFinite))
    throw new MalformedTelemetryError('not-finite', 'a value is NaN or infinite')
  return { timesMs, seqs, values, flags: head & ~(decimalsMask | sameTimesFlag) }
}

/** A few values by themselves, as exact as a column's. */
export function writeValues(writer: ByteWriter, values: readonly number[]): void {
  const headAt = writer.length
  writer.byte(0)
  writer.setByte(headAt, writeExactly(writer, values))
}

export function readValues(reader: ByteReader, count: number): number[] {
  const decimals = reader.byte()
  if (decimals !== rawDoubles && decimals > decimalsMax) throw new MalformedTelemetryError('malformed-batch', `${decimals} decimals`)
  const values = decimals === rawDoubles ? reader.float64s(count) : reader.deltas(count, 10 ** decimals)
  if (!values.every(Number.isFinite)) throw new MalformedTelemetryError('not-finite', 'a value is NaN or infinite')
  return values
}
