/** Rollups as rows: a row is one part of a page of time; parts are merged when they are read. */
import type { TransactionAction } from '@azure/data-tables'
import { pageMs } from '../hot-path/roll-up.ts'
import type { Rollup } from '../hot-path/roll-up.ts'
import type { Segment } from '../hot-path/open-segment.ts'
import { coarsen, decodeBuckets, encodeBuckets, resolutions } from '../hot-path/bucket.ts'
import type { Bucket, Resolution } from '../hot-path/bucket.ts'
import { quoted } from './alert-store.ts'
import { bytesFromProperties, bytesToProperties } from './row-bytes.ts'
import { segmentKey } from './segment-store.ts'
import type { Span } from './segment-store.ts'
import { tableKey, timeKey } from './table-keys.ts'
import { intoTransactions } from './tables.ts'
import type { Tables } from './tables.ts'

/** Each row is a part that its segment names: the same one rolled up again replaces its own rows. */
export async function writeRollups(tables: Tables, deviceId: string, segment: Segment, rollups: readonly Rollup[]): Promise<void> {
  const rows: TransactionAction[] = rollups.map(({ resolution, pageMs: start, buckets }) => [
    'upsert',
    {
      partitionKey: tableKey(deviceId),
      rowKey: `${resolution}-${timeKey(start)}-${segmentKey(segment)}`,
      openedMs: segment.openedMs,
      ...bytesToProperties(encodeBuckets(buckets, start)),
    },
    'Replace',
  ])
  for (const transaction of intoTransactions(rows)) await tables.rollups.submitTransaction(transaction)
}

/**
 * Whole buckets of one signal that begin in the span, in the order of time.
 * @param openPart a segment that counts as open, whether it has been rolled up meanwhile or not
 */
export async function readRollups(
  tables: Tables,
  deviceId: string,
  signal: string,
  resolution: Resolution,
  { fromMs, toMs }: Span,
  openPart: string | undefined,
): Promise<Bucket[]> {
  if (fromMs >= toMs) return []
  const page = pageMs[resolution]
  const first = timeKey(Math.floor(fromMs / page) * page)
  const filter = `PartitionKey eq '${quoted(tableKey(deviceId))}' and RowKey ge '${resolution}-${first}' and RowKey lt '${resolution}-${timeKey(toMs)}'`
  const parts: Bucket[] = []
  for await (const row of tables.rollups.listEntities({ queryOptions: { filter } })) {
    const rowKey = String(row.rowKey)
    if (rowKey.slice(19) === openPart) continue
    const start = Number(rowKey.slice(3, 18))
    for (const bucket of decodeBuckets(bytesFromProperties(row), start).get(signal) ?? [])
      if (bucket.startMs >= fromMs && bucket.startMs < toMs) parts.push(bucket)
  }
  return coarsen(parts, resolutions[resolution])
}
