/**
 * Statistics of a minute, an hour or a day of one signal, which can be merged in any order and any parts: what a chart
 * of a year is drawn from. Minutes are made of closed segments, hours of minutes, days of hours.
 */
import { ByteReader, ByteWriter } from '../../contract/telemetry/varint.ts'
import { centroidsMax, digestOf, mergeDigests } from './digest.ts'
import type { Digest } from './digest.ts'

export const resolutions = { '1m': 60_000, '1h': 3_600_000, '1d': 86_400_000 } as const
export type Resolution = keyof typeof resolutions

export type Bucket = {
  readonly startMs: number
  readonly count: number
  readonly min: number
  readonly max: number
  readonly mean: number
  /** Sum of the squared deviations from the mean. */
  readonly m2: number
  readonly digest: Digest
}

/** Buckets by signal, in the order of time. */
export type Buckets = Map<string, Bucket[]>

export function bucketOf(startMs: number, values: readonly number[]): Bucket {
  let mean = 0
  let m2 = 0
  let min = Number.POSITIVE_INFINITY
  let max = Number.NEGATIVE_INFINITY
  for (let index = 0; index < values.length; index++) {
    // -0 is 0: a mean has no such sign, and what was stored must come back as it was.
    const value = values[index]! + 0
    const deviation = value - mean
    mean += deviation / (index + 1)
    m2 += deviation * (value - mean)
    if (value < min) min = value
    if (value > max) max = value
  }
  return { startMs, count: values.length, min, max, mean, m2, digest: digestOf(values) }
}

/** What the edge held back: its spread inside is not known, only its ends. */
export function bucketOfSummary(
  startMs: number,
  { count, min, max, mean }: { count: number; min: number; max: number; mean: number },
): Bucket {
  return { startMs, count, min, max, mean, m2: 0, digest: { means: [Math.fround(mean)], counts: [count] } }
}

/** One bucket of several that begins at `startMs`. @throws of none */
export function mergeBuckets(startMs: number, buckets: readonly Bucket[]): Bucket {
  const [first, ...others] = buckets
  if (!first) throw new RangeError('nothing to merge')
  let { count, min, max, mean, m2 } = first
  for (const other of others) {
    // Chan, Golub, LeVeque (1979).
    const total = count + other.count
    const deviation = other.mean - mean
    m2 += other.m2 + (deviation * deviation * count * other.count) / total
    mean += (deviation * other.count) / total
    count = total
    min = Math.min(min, other.min)
    max = Math.max(max, other.max)
  }
  return {
    startMs,
    count,
    min,
    max,
    mean,
    m2,
    digest: others.length === 0 ? first.digest : mergeDigests(buckets.map(({ digest }) => digest)),
  }
}

/** Readings as columns, in any order. */
export type ReadingColumns = { readonly timesMs: readonly number[]; readonly values: readonly number[] }

export function bucketize({ timesMs, values }: ReadingColumns, widthMs: number): Bucket[] {
  const groups = new Map<number, number[]>()
  for (let from = 0, to = 0; from < values.length; from = to) {
    const startMs = Math.floor(timesMs[from]! / widthMs) * widthMs
    // Most readings fall where the one before them fell.
    do to++
    while (to < values.length && timesMs[to]! >= startMs && timesMs[to]! < startMs + widthMs)
    const known = groups.get(startMs)
    if (!known) groups.set(startMs, values.slice(from, to))
    else for (let index = from; index < to; index++) known.push(values[index]!)
  }
  return [...groups].sort(([a], [b]) => a - b).map(([startMs, group]) => bucketOf(startMs, group))
}

/** Merges buckets that fall into the same wider bucket. */
export function coarsen(buckets: readonly Bucket[], widthMs: number): Bucket[] {
  const groups = new Map<number, Bucket[]>()
  for (const bucket of buckets) {
    const startMs = Math.floor(bucket.startMs / widthMs) * widthMs
    const group = groups.get(startMs)
    if (group) group.push(bucket)
    else groups.set(startMs, [bucket])
  }
  return [...groups].sort(([a], [b]) => a - b).map(([startMs, group]) => mergeBuckets(startMs, group))
}

export function encodeBuckets(buckets: Buckets, baseMs: number): Uint8Array {
  const writer = new ByteWriter()
  writer.uint(buckets.size)
  for (const [signal, list] of buckets) {
    writer.text(signal)
    writer.uint(list.length)
    for (const { startMs, count, min, max, mean, m2, digest } of list) {
      writer.int(startMs - baseMs)
      writer.uint(count)
      const isOne = count === 1
      writeFloats(writer, isOne ? [mean] : [min, max, mean, m2])
      if (isOne) continue
      writer.uint(digest.means.length)
      // A sketch is an estimate already: floats are enough.
      writer.raw(new Uint8Array(Float32Array.from(digest.means).buffer))
      for (const part of digest.counts) writer.uint(part)
    }
  }
  return writer.finish()
}

export function decodeBuckets(bytes: Uint8Array, baseMs: number): Buckets {
  const reader = new ByteReader(bytes)
  const buckets: Buckets = new Map()
  for (let signals = reader.count(); signals > 0; signals--) {
    const signal = reader.text()
    const list: Bucket[] = []
    for (let left = reader.count(); left > 0; left--) list.push(readBucket(reader, baseMs))
    buckets.set(signal, list)
  }
  return buckets
}

function readBucket(reader: ByteReader, baseMs: number): Bucket {
  const startMs = baseMs + reader.int()
  const count = reader.uint()
  if (count === 1) {
    const [value] = reader.float64Array(1)
    return { startMs, count, min: value!, max: value!, mean: value!, m2: 0, digest: digestOf([value!]) }
  }
  const [min, max, mean, m2] = reader.float64Array(4)
  const centroids = reader.count()
  if (centroids > centroidsMax) throw new RangeError(`a sketch of ${centroids} centroids, at most ${centroidsMax} are kept`)
  const means = [...new Float32Array(new Uint8Array(reader.take(centroids * 4)).buffer)]
  return { startMs, count, min: min!, max: max!, mean: mean!, m2: m2!, digest: { means, counts: means.map(() => reader.uint()) } }
}

function writeFloats(writer: ByteWriter, numbers: readonly number[]): void {
  writer.raw(new Uint8Array(Float64Array.from(numbers).buffer))
}
