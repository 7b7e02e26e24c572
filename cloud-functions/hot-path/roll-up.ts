/**
 * Rolls a closed segment up: its minutes are written at once, in parts if need be; hours and days gather in the device's
 * state and are written when they are over. Every reading of a closed segment stands in exactly one part of a minute,
 * and in an hour's and a day's part as soon as those are over, however late it came.
 */
import { bucketize, bucketOfSummary, coarsen, mergeBuckets, resolutions } from './bucket.ts'
import type { Bucket, Buckets, Resolution } from './bucket.ts'
import type { Segment, SegmentSeries } from './open-segment.ts'

/** What is not over yet, and up to when everything is. Plain data but for the maps. */
export type OpenRollups = {
  readonly hours: Buckets
  readonly days: Buckets
  /** Hours, and days, that begin before this are written; a later reading of them adds a part. */
  hoursUpToMs: number
  daysUpToMs: number
}

export function newOpenRollups(): OpenRollups {
  return { hours: new Map(), days: new Map(), hoursUpToMs: 0, daysUpToMs: 0 }
}

export type Rollup = {
  readonly resolution: Resolution
  /** Start of the page its row lies on. */ readonly pageMs: number
  readonly buckets: Buckets
}

/** A row holds the buckets of one page of time: an hour of minutes, a day of hours, a month of days. */
export const pageMs: Record<Resolution, number> = { '1m': resolutions['1h'], '1h': resolutions['1d'], '1d': 32 * resolutions['1d'] }

export function rollUp(open: OpenRollups, segment: Segment): Rollup[] {
  const minutes: Buckets = new Map()
  let newestMs = 0
  for (const series of segment.series.values()) {
    const buckets = minutesOf(series)
    if (buckets.length === 0) continue
    minutes.set(series.signal, buckets)
    newestMs = Math.max(newestMs, buckets.at(-1)!.startMs)
  }
  add(open.hours, minutes, resolutions['1h'])
  open.hoursUpToMs = Math.max(open.hoursUpToMs, floorTo(newestMs, resolutions['1h']))
  const hours = takeBefore(open.hours, open.hoursUpToMs)
  add(open.days, hours, resolutions['1d'])
  open.daysUpToMs = Math.max(open.daysUpToMs, floorTo(open.hoursUpToMs, resolutions['1d']))
  const days = takeBefore(open.days, open.daysUpToMs)
  return [...paged('1m', minutes), ...paged('1h', hours), ...paged('1d', days)]
}

/** The minutes of one series, what the edge held back included. */
export function minutesOf(series: SegmentSeries): Bucket[] {
  const width = resolutions['1m']
  const summaries = series.filtered.map((summary) => bucketOfSummary(floorTo(summary.lastTimeMs, width), summary))
  return coarsen([...bucketize(series, width), ...summaries], width)
}

function floorTo(timeMs: number, widthMs: number): number {
  return Math.floor(timeMs / widthMs) * widthMs
}

function add(open: Buckets, arrived: Buckets, widthMs: number): void {
  for (const [signal, buckets] of arrived) {
    const known = open.get(signal) ?? []
    for (const bucket of coarsen(buckets, widthMs)) {
      const at = known.findIndex(({ startMs }) => startMs === bucket.startMs)
      if (at < 0) known.push(bucket)
      else known[at] = mergeBuckets(bucket.startMs, [known[at]!, bucket])
    }
    open.set(signal, known)
  }
}

/** Takes the buckets that are over out of the open ones. */
function takeBefore(open: Buckets, endMs: number): Buckets {
  const taken: Buckets = new Map()
  for (const [signal, buckets] of open) {
    const over = buckets.filter(({ startMs }) => startMs < endMs)
    if (over.length === 0) continue
    taken.set(signal, over)
    open.set(
      signal,
      buckets.filter(({ startMs }) => startMs >= endMs),
    )
  }
  return taken
}

function paged(resolution: Resolution, buckets: Buckets): Rollup[] {
  const pages = new Map<number, Buckets>()
  for (const [signal, list] of buckets)
    for (const bucket of list) {
      const start = floorTo(bucket.startMs, pageMs[resolution])
      const page = pages.get(start) ?? new Map<string, Bucket[]>()
      pages.set(start, page)
      const known = page.get(signal)
      if (known) known.push(bucket)
      else page.set(signal, [bucket])
    }
  return [...pages].map(([start, page]) => ({ resolution, pageMs: start, buckets: page }))
}
