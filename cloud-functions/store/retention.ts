/** What is kept how long. Readings leave the tables after they have gone to the archive; rollups stay longer the coarser they are. */
import type { TransactionAction } from '@azure/data-tables'
import type { ContainerClient } from '@azure/storage-blob'
import { pageMs } from '../hot-path/roll-up.ts'
import type { Resolution } from '../hot-path/bucket.ts'
import { listAlerts, quoted } from './alert-store.ts'
import { deleteExports } from './export-store.ts'
import { forgetExpiredLinks } from './link-store.ts'
import { listDevices } from './latest-store.ts'
import { tableKey, timeKey } from './table-keys.ts'
import { beforeMs, intoTransactions } from './tables.ts'
import type { TableName, Tables } from './tables.ts'

const dayMs = 86_400_000

/** Raw readings and minutes are kept as long as the app's settings say. */
export const retentionMs = {
  '1h': 2 * 365 * dayMs,
  '1d': 10 * 365 * dayMs,
  deadLetters: 30 * dayMs,
  exports: 7 * dayMs,
  /** Closed alerts, with their histories and messages. */
  alerts: 2 * 365 * dayMs,
} as const

/**
 * Deletes what is too old.
 * @param readingsMs how long readings and their minutes are kept
 * @param archivedMs up to when readings are in the archive, 0 while none are: what is not there stays, however old it is
 * @returns rows deleted
 */
export async function deleteExpired(
  tables: Tables,
  exportFiles: ContainerClient,
  { nowMs, readingsMs, archivedMs }: { readonly nowMs: number; readonly readingsMs: number; readonly archivedMs: number },
): Promise<number> {
  let deleted = 0
  for (const { deviceId } of await listDevices(tables)) {
    const partition = `PartitionKey eq '${quoted(tableKey(deviceId))}'`
    deleted += await deleteWhere(tables, 'readings', `${partition} and RowKey lt '${timeKey(Math.min(nowMs - readingsMs, archivedMs))}'`)
    for (const resolution of ['1m', '1h', '1d'] as const satisfies readonly Resolution[]) {
      const keptMs = resolution === '1m' ? readingsMs : retentionMs[resolution]
      // A page must be over before it can be too old; and a recording of long ago is as new as its arrival.
      const before = timeKey(nowMs - keptMs - pageMs[resolution])
      const isOld = `RowKey ge '${resolution}-' and RowKey lt '${resolution}-${before}' and ${beforeMs('openedMs', nowMs - keptMs)}`
      deleted += await deleteWhere(tables, 'rollups', `${partition} and ${isOld}`)
    }
  }
  deleted += await deleteWhere(tables, 'deadLetters', beforeMs('arrivedMs', nowMs - retentionMs.deadLetters))
  for (const { alertId } of await listAlerts(tables, { standings: ['closed'], beforeMs: nowMs - retentionMs.alerts })) {
    // The history goes first: an alert without one would be rebuilt from nothing.
    for (const name of ['outbox', 'alertEvents'] as const) deleted += await deleteWhere(tables, name, `PartitionKey eq '${alertId}'`)
    deleted += await deleteWhere(tables, 'alerts', `RowKey eq '${alertId}'`)
  }
  deleted += await forgetExpiredLinks(tables, nowMs)
  deleted += await deleteExports(tables, exportFiles, nowMs - retentionMs.exports)
  return deleted
}

async function deleteWhere(tables: Tables, name: TableName, filter: string): Promise<number> {
  const byPartition = new Map<string, TransactionAction[]>()
  let count = 0
  for await (const { partitionKey, rowKey } of tables[name].listEntities({
    queryOptions: { filter, select: ['PartitionKey', 'RowKey'] },
  })) {
    const rows = byPartition.get(partitionKey!) ?? []
    byPartition.set(partitionKey!, rows)
    rows.push(['delete', { partitionKey: partitionKey!, rowKey: rowKey! }])
    count++
  }
  for (const rows of byPartition.values())
    for (const transaction of intoTransactions(rows)) await tables[name].submitTransaction(transaction)
  return count
}
