/**
 * The columns of one series as bytes: times and seqs as deltas of deltas, values as deltas of decimal-scaled
 * integers. Regular sampling costs a few bytes for all times and all seqs together, before any deflate.
 * Values that are not short decimals are kept as raw doubles, so that decoding always gives back what went in.
 */
import { MalformedTelemetryError } from './malformed.ts'
import { telemetryLimits } from './telemetry.ts'
import type { ByteReader, ByteWriter } from './varint.ts'

const decimalsMax = 9
/** In place of the number of decimals: the values follow as doubles. */
const rawDoubles = 15

/** Values as integers of the fewest decimals that represent each of them exactly; grows to the longest series seen. */
let scaled = new Float64Array(1024)

/** Fills `scaled` and returns the number of decimals, or `rawDoubles`. */
function scaleExactly(values: readonly number[]): number {
  if (scaled.length < values.length) scaled = new Float64Array(values.length * 2)
  let decimals = 0
  let factor = 1
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!
    let integer = Math.round(value * factor)
    // 2^51 leaves room for the difference of two of them. -0 has no integer form.
    while (integer / factor !== value || integer > 2 ** 51 || integer < -(2 ** 51) || Object.is(value, -0)) {
      if (++decimals > decimalsMax || Object.is(value, -0)) return rawDoubles
      factor = 10 ** decimals
      integer = Math.round(value * factor)
      // Those before it need the same number of decimals; they stay exact.
      for (let j = 0; j < i; j++) scaled[j] = Math.round(values[j]! * factor)
    }
    scaled[i] = integer
  }
  // More decimals may have carried an earlier value beyond the limit, or off its last digit.
  for (let i = 0; i < values.length; i++) if (scaled[i]! / factor !== values[i] || Math.abs(scaled[i]!) > 2 ** 51) return rawDoubles
  return decimals
}

export type Columns = { readonly timesMs: number[]; readonly seqs: number[]; readonly values: number[] }

/** `timesMs` and `seqs` must be integers; `values` finite. */
export function writeColumns(writer: ByteWriter, { timesMs, seqs, values }: Columns, baseTimeMs: number): void {
  const count = values.length
  writer.uint(count)
  if (count === 0) return
  writer.deltasOfDeltas(timesMs, count, baseTimeMs)
  writer.deltasOfDeltas(seqs, count, 0)
  const decimals = scaleExactly(values)
  writer.byte(decimals)
  if (decimals === rawDoubles) for (const value of values) writer.float64(value)
  else writer.deltas(scaled, count)
}

export function readColumns(reader: ByteReader, baseTimeMs: number): Columns {
  // Every value takes a byte at least, so a lying count cannot allocate more than the message holds.
  const count = reader.count()
  if (count > telemetryLimits.readingsMax) throw new MalformedTelemetryError('too-large', `a series of ${count} readings`)
  if (count === 0) return { timesMs: [], seqs: [], values: [] }
  const timesMs = reader.deltasOfDeltas(count, baseTimeMs)
  const seqs = reader.deltasOfDeltas(count, 0)
  const decimals = reader.byte()
  if (decimals !== rawDoubles && decimals > decimalsMax) throw new MalformedTelemetryError('malformed-batch', `${decimals} decimals`)
  const values = decimals === rawDoubles ? reader.float64s(count) : reader.deltas(count, 10 ** decimals)
  for (let i = 0; i < count; i++)
    if (!Number.isFinite(values[i])) throw new MalformedTelemetryError('not-finite', 'a value is NaN or infinite')
  return { timesMs, seqs, values }
}
