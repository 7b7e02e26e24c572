/** Alert histories (append-only) and the alerts folded from them. The history is the truth; the alerts can be rebuilt. */
import type { TableEntityResult, TransactionAction } from '@azure/data-tables'
import { z } from 'zod'
import { Alert, AlertEvent, AlertFacts, factsOf, standingOf } from '../../contract/alert.ts'
import type { Standing } from '../../contract/alert.ts'
import { tableKey, timeKey } from './table-keys.ts'
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
/** Sorts behind every event. People's actions go through it one at a time. */
const headRowKey = '~head'
const HeadRow = z.looseObject({ etag: z.string() })

/** Where the actions of people stand; undefined before the first. */
export async function readHead(tables: Tables, alertId: string): Promise<string | undefined> {
  try {
    return HeadRow.parse(await tables.alertEvents.getEntity(alertId, headRowKey)).etag
  } catch (error) {
    if (hasStatus(error, 404)) return undefined
    throw error
  }
}

/**
 * Appends what somebody decided on the history as it was when `head` was read.
 * @returns false when somebody else has acted since: read again and decide again
 */
export async function appendAction(tables: Tables, event: AlertEvent, origin: string, head: string | undefined): Promise<boolean> {
  const { alertId, atMs, kind } = event
  const row = { partitionKey: alertId, rowKey: `${timeKey(atMs)}-${origin}-${kind}`, event: JSON.stringify(event) }
  const guard = { partitionKey: alertId, rowKey: headRowKey, lastAction: origin }
  const move: TransactionAction = head === undefined ? ['create', guard] : ['update', guard, 'Replace', { etag: head }]
  try {
    await tables.alertEvents.submitTransaction([move, ['create', row]])
    return true
  } catch (error) {
    if (hasStatus(error, 412) || hasStatus(error, 409)) return false
    throw error
  }
}

/** The history of one alert, oldest first. */
export async function readEvents(tables: Tables, alertId: string): Promise<AlertEvent[]> {
  const events: AlertEvent[] = []
  const filter = `PartitionKey eq '${quoted(alertId)}' and RowKey lt '${headRowKey}'`
  for await (const row of tables.alertEvents.listEntities({ queryOptions: { filter } })) {
    events.push(AlertEvent.parse(JSON.parse(EventRow.parse(row).event)))
  }
  // What follows from the beginning may bear the same millisecond, and a name that sorts before it.
  const first = events.findIndex(({ kind }) => kind === 'raised')
  return first > 0 ? [events[first]!, ...events.toSpliced(first, 1)] : events
}

/** Events of all alerts in a span, oldest first, at most `limit`. */
export async function eventsBetween(
  tables: Tables,
  { fromMs, toMs }: { fromMs: number; toMs: number },
  limit: number,
): Promise<AlertEvent[]> {
  const events: AlertEvent[] = []
  const filter = `RowKey ge '${timeKey(fromMs)}' and RowKey lt '${timeKey(toMs)}'`
  for await (const row of tables.alertEvents.listEntities({ queryOptions: { filter } })) {
    events.push(AlertEvent.parse(JSON.parse(EventRow.parse(row).event)))
    if (events.length >= limit) break
  }
  return events.sort((a, b) => a.atMs - b.atMs)
}

/**
 * Alerts whose history was touched since `sinceMs`, store time: what a lost queue message would have announced. Each with
 * a text that is another one when more has happened.
 */
export async function recentlyTouchedAlerts(tables: Tables, sinceMs: number): Promise<Map<string, string>> {
  const touched = new Map<string, { events: number; newest: string }>()
  const filter = `Timestamp ge datetime'${new Date(sinceMs).toISOString()}'`
  for await (const row of tables.alertEvents.listEntities({ queryOptions: { filter, select: ['PartitionKey', 'RowKey'] } })) {
    const { partitionKey = '', rowKey = '' } = row
    const known = touched.get(partitionKey) ?? { events: 0, newest: '' }
    touched.set(partitionKey, { events: known.events + 1, newest: rowKey > known.newest ? rowKey : known.newest })
  }
  return new Map([...touched].map(([alertId, { events, newest }]) => [alertId, `${events} ${newest}`]))
}

export type StoredAlert = { readonly alert: Alert; readonly events: number; readonly etag: string }

const AlertRow = z.looseObject({ facts: z.string(), evidence: z.string(), events: z.number(), etag: z.string() })
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
  const { facts, evidence, events, etag } = AlertRow.parse(row)
  return { alert: Alert.parse({ ...(JSON.parse(facts) as object), evidence: JSON.parse(evidence) }), events, etag }
}

/** @param version how many events the alert was folded from */
export function alertRow(alert: Alert, version: number) {
  return {
    partitionKey: alertPartition,
    rowKey: alert.alertId,
    // Lists read the facts alone; the window that fired is the larger part.
    facts: JSON.stringify({ ...factsOf(alert), version } satisfies ListedAlert),
    evidence: JSON.stringify(alert.evidence),
    events: version,
    standing: standingOf(alert),
    condition: alert.condition,
    incidentId: alert.incidentId ?? '',
    // Looked at again by the next sweep, which then says when to look next.
    nextLookMs: { type: 'Double', value: '0' },
    deviceId: alert.deviceId,
    raisedAt: new Date(alert.raisedAtMs),
  }
}

/** @returns the row's new ETag; undefined when somebody else wrote the alert since it was read: read again and fold again */
export async function writeAlert(tables: Tables, alert: Alert, version: number, etag: string | undefined): Promise<string | undefined> {
  const row = alertRow(alert, version)
  try {
    const written = etag === undefined ? tables.alerts.createEntity(row) : tables.alerts.updateEntity(row, 'Replace', { etag })
    return (await written).etag
  } catch (error) {
    if (hasStatus(error, 412) || hasStatus(error, 409) || hasStatus(error, 404)) return undefined
    throw error
  }
}

/** The row of an alert whose history went to another one. */
export async function deleteAlert(tables: Tables, alertId: string): Promise<void> {
  try {
    await tables.alerts.deleteEntity(alertPartition, alertId)
  } catch (error) {
    if (!hasStatus(error, 404)) throw error
  }
}

export const ListedAlert = AlertFacts.extend({ version: z.number() })
export type ListedAlert = z.infer<typeof ListedAlert>

export type AlertFilter = {
  readonly standings?: readonly Standing[] | undefined
  readonly deviceId?: string | undefined
  readonly sinceMs?: number | undefined
  readonly beforeMs?: number | undefined
  readonly condition?: Alert['condition'] | undefined
  /** The root of an incident, and what belongs to it. */
  readonly incidentId?: string | undefined
  /** Those that should be looked at by now. */
  readonly lookDueMs?: number | undefined
}

const FactsRow = z.looseObject({ facts: z.string() })

/** At most `limit` alerts that pass the filter, in no particular order. */
export async function listAlerts(
  tables: Tables,
  { standings, deviceId, sinceMs, beforeMs, condition, incidentId, lookDueMs }: AlertFilter,
  limit = alertsListedMax,
): Promise<ListedAlert[]> {
  const clauses = [`PartitionKey eq '${alertPartition}'`]
  if (standings) clauses.push(`(${standings.map((standing) => `standing eq '${standing}'`).join(' or ')})`)
  if (deviceId !== undefined) clauses.push(`deviceId eq '${quoted(deviceId)}'`)
  if (sinceMs !== undefined) clauses.push(`raisedAt ge datetime'${new Date(sinceMs).toISOString()}'`)
  if (beforeMs !== undefined) clauses.push(`raisedAt lt datetime'${new Date(beforeMs).toISOString()}'`)
  if (condition !== undefined) clauses.push(`condition eq '${condition}'`)
  if (incidentId !== undefined) clauses.push(`(incidentId eq '${quoted(incidentId)}' or RowKey eq '${quoted(incidentId)}')`)
  if (lookDueMs !== undefined) clauses.push(`nextLookMs le ${lookDueMs.toFixed(1)}`)
  const alerts: ListedAlert[] = []
  const queryOptions = { filter: clauses.join(' and '), select: ['facts'] }
  for await (const row of tables.alerts.listEntities({ queryOptions })) {
    alerts.push(ListedAlert.parse(JSON.parse(FactsRow.parse(row).facts)))
    if (alerts.length >= limit) break
  }
  return alerts
}

/** The whole of listed alerts, evidence included; one that is gone meanwhile is left out. */
export async function listWholeAlerts(tables: Tables, listed: readonly ListedAlert[]): Promise<StoredAlert[]> {
  const whole: StoredAlert[] = []
  const atOnce = 16
  for (let from = 0; from < listed.length; from += atOnce) {
    const part = await Promise.all(listed.slice(from, from + atOnce).map(({ alertId }) => readAlert(tables, alertId)))
    whole.push(...part.filter((stored) => stored !== undefined))
  }
  return whole
}

/** When alerts were raised, by id, of those somebody was told of. */
export async function raiseTimes(tables: Tables, sinceMs: number): Promise<Map<string, number>> {
  const filter = `PartitionKey eq '${alertPartition}' and raisedAt ge datetime'${new Date(sinceMs).toISOString()}' and standing ne 'suppressed' and standing ne 'pending'`
  const times = new Map<string, number>()
  for await (const { rowKey = '', raisedAt } of tables.alerts.listEntities({ queryOptions: { filter, select: ['RowKey', 'raisedAt'] } })) {
    times.set(rowKey, z.coerce.date().parse(raisedAt).getTime())
    if (times.size >= alertsListedMax) break
  }
  return times
}

/** An alert that changed meanwhile is looked at anyway; one that became part of another need not be. */
export async function lookAgainAt(tables: Tables, alertId: string, etag: string, atMs: number | undefined): Promise<void> {
  try {
    const row = { partitionKey: alertPartition, rowKey: alertId, nextLookMs: { type: 'Double', value: String(atMs ?? 1e15) } }
    await tables.alerts.updateEntity(row, 'Merge', { etag })
  } catch (error) {
    if (!hasStatus(error, 412) && !hasStatus(error, 404)) throw error
  }
}

/** No list tells of more. */
export const alertsListedMax = 20_000

/** The alert that a condition belongs to: at most one is open for a device and signal. */
const ConditionRow = z.looseObject({ alertId: z.string(), etag: z.string() })
const conditionPartition = 'condition'
export type ConditionClaim = { readonly alertId: string; readonly etag: string }

function conditionKey(deviceId: string, signal: string): string {
  return `${tableKey(deviceId)}|${tableKey(signal)}`
}

export async function readCondition(tables: Tables, deviceId: string, signal: string): Promise<ConditionClaim | undefined> {
  try {
    const { alertId, etag } = ConditionRow.parse(await tables.alerts.getEntity(conditionPartition, conditionKey(deviceId, signal)))
    return { alertId, etag }
  } catch (error) {
    if (hasStatus(error, 404)) return undefined
    throw error
  }
}

/** @returns false when another alert took the condition since it was read */
export async function claimCondition(
  tables: Tables,
  { deviceId, signal, alertId }: { deviceId: string; signal: string; alertId: string },
  known: ConditionClaim | undefined,
): Promise<boolean> {
  const row = { partitionKey: conditionPartition, rowKey: conditionKey(deviceId, signal), alertId }
  try {
    if (known) await tables.alerts.updateEntity(row, 'Replace', { etag: known.etag })
    else await tables.alerts.createEntity(row)
    return true
  } catch (error) {
    if (hasStatus(error, 412) || hasStatus(error, 409) || hasStatus(error, 404)) return false
    throw error
  }
}

/** Forgets all that follows from the histories. @returns the ids of the alerts whose histories there are */
export async function forgetAlerts(tables: Tables): Promise<Set<string>> {
  for await (const { partitionKey, rowKey } of tables.alerts.listEntities({ queryOptions: { select: ['PartitionKey', 'RowKey'] } }))
    await tables.alerts.deleteEntity(partitionKey!, rowKey!)
  const alertIds = new Set<string>()
  for await (const { partitionKey } of tables.alertEvents.listEntities({ queryOptions: { select: ['PartitionKey'] } }))
    if (partitionKey !== undefined) alertIds.add(partitionKey)
  return alertIds
}

/** OData text: a quote is doubled. */
export function quoted(text: string): string {
  return text.replaceAll("'", "''")
}
