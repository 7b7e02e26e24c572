/** Segments of readings as rows: keyed by hub time, found by the event times they hold. */
import { clockLimits } from '../hot-path/device-clock.ts'
import { decodeSegment, encodeSegment, segmentLimits } from '../hot-path/open-segment.ts'
import type { Segment } from '../hot-path/open-segment.ts'
import { quoted } from './alert-store.ts'
import type { StoredDevice } from './latest-store.ts'
import { bytesFromProperties, bytesToProperties } from './row-bytes.ts'
import { sequenceKey, tableKey, timeKey } from './table-keys.ts'
import { beforeMs, notBeforeMs } from './tables.ts'
import type { Tables } from './tables.ts'

/** Names a segment among those of its device; its rollups bear it, too. */
export function segmentKey({ bootId, firstSeq }: Pick<Segment, 'bootId' | 'firstSeq'>): string {
  return `${tableKey(bootId)}-${sequenceKey(firstSeq)}`
}

export async function writeSegment(tables: Tables, deviceId: string, segment: Segment): Promise<void> {
  const key = { partitionKey: tableKey(deviceId), rowKey: `${timeKey(segment.openedMs)}-${segmentKey(segment)}` }
  const row = { ...key, readings: segment.readings, ...eventSpan(segment), ...bytesToProperties(encodeSegment(segment)) }
  await tables.readings.upsertEntity(row, 'Replace')
}

/** Event times of its first and its last reading, by which it is found. */
function eventSpan({ openedMs, series }: Segment): { readonly firstMs: number; readonly lastMs: number } {
  let [firstMs, lastMs] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const { timesMs } of series.values()) {
    for (const timeMs of timesMs) {
      if (timeMs < firstMs) firstMs = timeMs
      if (timeMs > lastMs) lastMs = timeMs
    }
  }
  // What the edge held back altogether has no reading that anybody could look for.
  return firstMs <= lastMs ? { firstMs, lastMs } : { firstMs: openedMs, lastMs: openedMs }
}

export type Span = { readonly fromMs: number; readonly toMs: number }

/** Segments with readings of a span of event time. Hub time is no guide: a recording, or a buffer, comes long after its event times. */
export function segmentsHolding(tables: Tables, device: StoredDevice, { fromMs, toMs }: Span): AsyncGenerator<Segment> {
  // No event is more ahead of the hub than this, so older rows need not be looked at.
  const oldestMs = fromMs - segmentLimits.spanMsMax - clockLimits.aheadMsMax
  return segmentsWhere(
    tables,
    device,
    `RowKey ge '${timeKey(oldestMs)}' and ${notBeforeMs('lastMs', fromMs)} and ${beforeMs('firstMs', toMs)}`,
  )
}

/** Segments that began in a span of hub time. */
export async function* segmentsOpened(tables: Tables, device: StoredDevice, { fromMs, toMs }: Span): AsyncGenerator<Segment> {
  for await (const segment of segmentsWhere(tables, device, `RowKey ge '${timeKey(fromMs)}' and RowKey lt '${timeKey(toMs)}'`))
    if (segment.openedMs >= fromMs && segment.openedMs < toMs) yield segment
}

/** A segment is up to a megabyte; so many are in memory at once. */
const segmentsAtOnce = 50

/** Closed ones by hub time, then the open one, which was read with the device: should it have been closed meanwhile, it comes only once. */
async function* segmentsWhere(tables: Tables, { summary: { deviceId }, tail }: StoredDevice, condition: string): AsyncGenerator<Segment> {
  const filter = `PartitionKey eq '${quoted(tableKey(deviceId))}' and ${condition}`
  let isTailClosed = tail === undefined
  for await (const rows of tables.readings.listEntities({ queryOptions: { filter } }).byPage({ maxPageSize: segmentsAtOnce })) {
    for (const row of rows) {
      const segment = decodeSegment(bytesFromProperties(row))
      if (tail && segmentKey(segment) === segmentKey(tail)) isTailClosed = true
      yield segment
    }
  }
  if (tail && !isTailClosed) yield tail
}
