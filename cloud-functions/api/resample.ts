/** Readings of a span as at most so many points, each with the minimum and maximum of what it stands for. */
export type Points = {
  readonly timesMs: number[]
  readonly min: number[]
  readonly max: number[]
  readonly mean: number[]
  readonly count: number[]
}

/** Bucket widths a person can name. */
const niceWidthsMs = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400].map(
  (seconds) => seconds * 1000,
)

export function bucketWidthMs(spanMs: number, pointsMax: number): number {
  return niceWidthsMs.find((width) => spanMs / width <= pointsMax) ?? Math.ceil(spanMs / pointsMax / 86_400_000) * 86_400_000
}

/** @param readings in any order */
export function resample(readings: Iterable<{ timeMs: number; value: number }>, widthMs: number): Points {
  const buckets = new Map<number, { min: number; max: number; sum: number; count: number }>()
  for (const { timeMs, value } of readings) {
    const start = Math.floor(timeMs / widthMs) * widthMs
    const bucket = buckets.get(start)
    if (!bucket) buckets.set(start, { min: value, max: value, sum: value, count: 1 })
    else {
      bucket.min = Math.min(bucket.min, value)
      bucket.max = Math.max(bucket.max, value)
      bucket.sum += value
      bucket.count++
    }
  }
  const points: Points = { timesMs: [], min: [], max: [], mean: [], count: [] }
  for (const [start, bucket] of [...buckets].sort(([a], [b]) => a - b)) {
    points.timesMs.push(start)
    points.min.push(bucket.min)
    points.max.push(bucket.max)
    points.mean.push(bucket.sum / bucket.count)
    points.count.push(bucket.count)
  }
  return points
}
