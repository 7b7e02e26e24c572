/** Alert histories (append-only) and the alerts folded from them. The history is the truth; the alerts can be rebuilt. */
import type { TableEntityResult } from '@azure/data-tables'
import { z } from 'zod'
import { Alert, AlertEvent, isOpen } from '../../contract/alert.ts'
import { timeKey } from './table-keys.ts'
import { hasStatus } from './tables.ts'
import type { Tables } from './tables.ts'

/**
 * @param origin what makes the event unique at its time: the message's sequence number, or a request id.
 * The same event appended again replaces itself.
 */
export async function appendEvent(tables: Tables, event: AlertEvent, origin: string): Promise<void> {
  await tables.alertEvents.upsertEntity(
    { partitionKey: event.alertId, rowKey: `${timeKey(event.atMs)}-${origin}-${event.kind}`, event: JSON.stringify(event) },
    'Replace',
  )
}

const EventRow = z.looseObject({ event: z.string() })

/** The history of one alert, oldest first. */
export async function readEvents(tables: Tables, alertId: string): Promise<AlertEvent[]> {
  const events: AlertEvent[] = []
  for await (const row of tables.alertEvents.listEntities({ queryOptions: { filter: `PartitionKey eq '${quoted(alertId)}'` } })) {
    events.push(AlertEvent.parse(JSON.parse(EventRow.parse(row).event)))
  }
  return events
}

/** Ids of alerts whose history was touched since `sinceMs`, store time: what a lost queue message would have announced. */
export async function recentlyTouchedAlerts(tables: Tables, sinceMs: number): Promise<Set<string>> {
  const alertIds = new Set<string>()
  const filter = `Timestamp ge datetime'${new Date(sinceMs).toISOString()}'`
  for await (const row of tables.alertEvents.listEntities({ queryOptions: { filter, select: ['PartitionKey'] } })) {
    if (row.partitionKey) alertIds.add(row.partitionKey)
  }
  return alertIds
}

export type StoredAlert = { readonly alert: Alert; readonly events: number; readonly etag: string }

const AlertRow = z.looseObject({ alert: z.string(), events: z.number(), etag: z.string() })
const alertPartition = 'alert'

export async function readAlert(tables: Tables, alertId: string): Promise<StoredAlert | undefined> {
  try {
    return storedAlert(await tables.alerts.getEntity(alertPartition, alertId))
  } catch (error) {
    if (hasStatus(error, 404)) return undefined
    throw error
  }
}

function storedAlert(row: TableEntityResult<Record<string, unknown>>): StoredAlert {
  const { alert, events, etag } = AlertRow.parse(row)
  return { alert: Alert.parse(JSON.parse(alert)), events, etag }
}

/** @returns false when somebody else wrote the alert since it was read: read again and fold again */
export async function writeAlert(tables: Tables, alert: Alert, events: number, etag: string | undefined): Promise<boolean> {
  const row = {
    partitionKey: alertPartition,
    rowKey: alert.alertId,
    alert: JSON.stringify(alert),
    events,
    open: isOpen(alert),
    deviceId: alert.deviceId,
    raisedAt: new Date(alert.raisedAtMs),
  }
  try {
    if (etag === undefined) await tables.alerts.createEntity(row)
    else await tables.alerts.updateEntity(row, 'Replace', { etag })
    return true
  } catch (error) {
    if (hasStatus(error, 412) || hasStatus(error, 409) || hasStatus(error, 404)) return false
    throw error
  }
}

export type AlertFilter = {
  readonly open?: boolean | undefined
  readonly deviceId?: string | undefined
  readonly sinceMs?: number | undefined
}

/** At most `limit` alerts that pass the filter, in no particular order. */
export async function listAlerts(tables: Tables, { open, deviceId, sinceMs }: AlertFilter, limit: number): Promise<Alert[]> {
  const clauses = [`PartitionKey eq '${alertPartition}'`]
  if (open !== undefined) clauses.push(`open eq ${open}`)
  if (deviceId !== undefined) clauses.push(`deviceId eq '${quoted(deviceId)}'`)
  if (sinceMs !== undefined) clauses.push(`raisedAt ge datetime'${new Date(sinceMs).toISOString()}'`)
  const alerts: Alert[] = []
  for await (const row of tables.alerts.listEntities({ queryOptions: { filter: clauses.join(' and ') } })) {
    alerts.push(storedAlert(row).alert)
    if (alerts.length >= limit) break
  }
  return alerts
}

/** OData text: a quote is doubled. */
export function quoted(text: string): string {
  return text.replaceAll("'", "''")
}
