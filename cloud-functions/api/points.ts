/** Any span of a signal as at most a thousand points, from the coarsest rollups that are fine enough. */
import type { Points } from '../../contract/api.ts'
import { quantile } from '../hot-path/digest.ts'
import { minutesOf } from '../hot-path/roll-up.ts'
import { bucketize, coarsen, resolutions } from '../hot-path/bucket.ts'
import type { Bucket, Resolution } from '../hot-path/bucket.ts'
import type { StoredDevice } from '../store/latest-store.ts'
import { readRollups } from '../store/rollup-store.ts'
import { segmentKey, segmentsHolding } from '../store/segment-store.ts'
import type { Tables } from '../store/tables.ts'

export const pointsMax = 1_000

/** Widths a person can name. */
const niceWidthsMs = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400].map(
  (seconds) => seconds * 1000,
)

/** The narrowest width that keeps a span within `pointsMax` points, wherever its first point begins. */
export function widthFor(spanMs: number): number {
  const day = resolutions['1d']
  return niceWidthsMs.find((width) => spanMs / width <= pointsMax - 1) ?? Math.ceil(spanMs / (pointsMax - 1) / day) * day
}

type Wanted = { readonly signal: string; readonly fromMs: number; readonly toMs: number; readonly widthMs: number }

export async function readPoints(tables: Tables, device: StoredDevice, wanted: Wanted): Promise<Points> {
  const { widthMs } = wanted
  const buckets = widthMs < resolutions['1m'] ? await fromReadings(tables, device, wanted) : await fromRollups(tables, device, wanted)
  return toPoints(coarsen(buckets, widthMs))
}

async function fromReadings(tables: Tables, device: StoredDevice, { signal, fromMs, toMs, widthMs }: Wanted): Promise<Bucket[]> {
  const readings = { timesMs: [] as number[], values: [] as number[] }
  for await (const { series } of segmentsHolding(tables, device, { fromMs, toMs })) {
    const { timesMs, values } = series.get(signal) ?? { timesMs: [], values: [] }
    for (const [index, timeMs] of timesMs.entries()) {
      if (timeMs < fromMs || timeMs >= toMs) continue
      readings.timesMs.push(timeMs)
      readings.values.push(values[index]!)
    }
  }
  return bucketize(readings, widthMs)
}

/** Coarse buckets where they are complete, finer ones after that, and the open segment: every reading once. */
async function fromRollups(
  tables: Tables,
  { summary: { deviceId, hoursUpToMs, daysUpToMs }, tail }: StoredDevice,
  { signal, fromMs, toMs, widthMs }: Wanted,
): Promise<Bucket[]> {
  // A span that begins inside a bucket has the whole of it.
  const firstOf = (resolution: Resolution) => Math.floor(fromMs / resolutions[resolution]) * resolutions[resolution]
  const read = (resolution: Resolution, sinceMs: number, untilMs: number) => {
    const span = { fromMs: Math.max(sinceMs, firstOf(resolution)), toMs: Math.min(untilMs, toMs) }
    return readRollups(tables, deviceId, signal, resolution, span, tail && segmentKey(tail))
  }
  const daysEndMs = widthMs >= resolutions['1d'] ? daysUpToMs : 0
  const hoursEndMs = widthMs >= resolutions['1h'] ? hoursUpToMs : 0
  const [days, hours, minutes] = await Promise.all([
    read('1d', 0, daysEndMs),
    read('1h', daysEndMs, hoursEndMs),
    read('1m', Math.max(hoursEndMs, daysEndMs), toMs),
  ])
  const columns = tail?.series.get(signal)
  const newest = columns ? minutesOf(columns).filter(({ startMs }) => startMs >= firstOf('1m') && startMs < toMs) : []
  return [...days, ...hours, ...minutes, ...newest]
}

function toPoints(buckets: readonly Bucket[]): Points {
  return {
    timesMs: buckets.map(({ startMs }) => startMs),
    min: buckets.map(({ min }) => min),
    max: buckets.map(({ max }) => max),
    mean: buckets.map(({ mean }) => mean),
    median: buckets.map(({ digest, mean }) => quantile(digest, 0.5) ?? mean),
    deviation: buckets.map(({ m2, count }) => Math.sqrt(m2 / count)),
    count: buckets.map(({ count }) => count),
  }
}
