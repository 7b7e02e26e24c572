/**
 * The columns of one series as bytes: times and seqs as deltas of deltas, values as deltas of decimal-scaled
 * integers. Regular sampling costs one byte for the time and one for the seq, before any deflate.
 * Values that are not short decimals are kept as raw doubles, so that decoding always gives back what went in.
 */
import { MalformedTelemetryError } from './malformed.ts'
import { telemetryLimits } from './telemetry.ts'
import type { ByteReader, ByteWriter } from './varint.ts'

const decimalsMax = 9
/** In place of the number of decimals: the values follow as doubles. */
const rawDoubles = 15

/** The fewest decimals that represent every value exactly, or `rawDoubles`. */
function exactDecimals(values: readonly number[]): number {
  let decimals = 0
  for (const value of values) {
    while (!isExact(value, decimals)) {
      if (++decimals > decimalsMax) return rawDoubles
    }
  }
  return decimals
}

function isExact(value: number, decimals: number): boolean {
  const factor = 10 ** decimals
  const scaled = Math.round(value * factor)
  // 2^51 leaves room for the difference of two of them. -0 has no integer form.
  return Math.abs(scaled) < 2 ** 51 && Object.is(scaled / factor, value)
}

function writeDeltasOfDeltas(writer: ByteWriter, column: readonly number[]): void {
  let previous = 0
  let delta = 0
  for (const value of column) {
    const step = value - previous
    writer.int(step - delta)
    delta = step
    previous = value
  }
}

function readDeltasOfDeltas(reader: ByteReader, count: number): number[] {
  const column: number[] = []
  let value = 0
  let delta = 0
  for (let i = 0; i < count; i++) {
    delta += reader.int()
    value += delta
    if (!Number.isSafeInteger(value)) throw new MalformedTelemetryError('malformed-batch', 'a column leaves the safe integers')
    column.push(value)
  }
  return column
}

export type Columns = { readonly timesMs: number[]; readonly seqs: number[]; readonly values: number[] }

/** `timesMs` and `seqs` must be integers; `values` finite. */
export function writeColumns(writer: ByteWriter, columns: Columns, baseTimeMs: number): void {
  const { timesMs, seqs, values } = columns
  writer.uint(values.length)
  if (values.length === 0) return
  writeDeltasOfDeltas(
    writer,
    timesMs.map((time) => time - baseTimeMs),
  )
  writeDeltasOfDeltas(writer, seqs)
  const decimals = exactDecimals(values)
  writer.byte(decimals)
  if (decimals === rawDoubles) {
    for (const value of values) writer.float64(value)
    return
  }
  const factor = 10 ** decimals
  let previous = 0
  for (const value of values) {
    const scaled = Math.round(value * factor)
    writer.int(scaled - previous)
    previous = scaled
  }
}

export function readColumns(reader: ByteReader, baseTimeMs: number): Columns {
  const count = reader.count()
  if (count > telemetryLimits.readingsMax) throw new MalformedTelemetryError('too-large', `a series of ${count} readings`)
  if (count === 0) return { timesMs: [], seqs: [], values: [] }
  const timesMs = readDeltasOfDeltas(reader, count).map((time) => time + baseTimeMs)
  const seqs = readDeltasOfDeltas(reader, count)
  const decimals = reader.byte()
  const values: number[] = []
  if (decimals === rawDoubles) {
    for (let i = 0; i < count; i++) values.push(reader.float64())
  } else {
    if (decimals > decimalsMax) throw new MalformedTelemetryError('malformed-batch', `${decimals} decimals`)
    const factor = 10 ** decimals
    let scaled = 0
    for (let i = 0; i < count; i++) {
      scaled += reader.int()
      values.push(scaled / factor)
    }
  }
  if (!values.every(Number.isFinite)) throw new MalformedTelemetryError('not-finite', 'a value is NaN or infinite')
  return { timesMs, seqs, values }
}
