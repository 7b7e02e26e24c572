/** Everything that follows when an alert's history grew, or time passed: its row, its incident, its messages, open pages. */
import { factsOf } from '../../contract/alert.ts'
import type { Alert } from '../../contract/alert.ts'
import { appendEvent, listAlerts, lookAgainAt, readAlert } from '../store/alert-store.ts'
import { addToOutbox, outboxOf } from '../store/outbox-store.ts'
import type { Tables } from '../store/tables.ts'
import { claimWorkOrder, takeWorkOrder } from '../store/work-order-store.ts'
import type { WorkOrder } from '../store/work-order-store.ts'
import { nextLookMs } from './alert-clock.ts'
import type { AlertDesk } from './alert-desk.ts'
import { failureCodeOf } from './channels/webhook.ts'
import { deliverDue } from './deliver-due.ts'
import { groupingEvents, incidentSettings, mayBelongToIncident } from './incidents.ts'
import { kindOf, planMessages } from './plan-messages.ts'
import { projectAlert } from './project-alert.ts'
import type { Projected } from './project-alert.ts'
import { Surroundings } from './surroundings.ts'

/** @returns the alert as it stands afterwards; undefined when its history has no beginning yet */
export async function settleAlert(desk: AlertDesk, alertId: string, nowMs: number): Promise<Alert | undefined> {
  const among = new Surroundings(desk.tables, nowMs)
  const looked = await look(desk, alertId, among, nowMs)
  if (!looked) return undefined
  await deliver(desk, among, nowMs, { about: looked.alert.alertId })
  return looked.alert
}

/** What the clock has made due for alerts that are not closed: delays, expiries, reminders, and messages that wait. */
export async function sweepAlerts(desk: AlertDesk, touched: Iterable<string>, nowMs: number): Promise<void> {
  const among = new Surroundings(desk.tables, nowMs)
  for (const alertId of touched) {
    const looked = await look(desk, alertId, among, nowMs)
    if (looked?.isChanged) await planNextLook(desk, looked, nowMs)
  }
  for (const { alertId } of await listAlerts(desk.tables, { lookDueMs: nowMs })) {
    const looked = await look(desk, alertId, among, nowMs, 'due')
    if (looked) await planNextLook(desk, looked, nowMs)
  }
  await deliver(desk, among, nowMs)
}

/**
 * Brings an alert up to date, and with it its incident and its messages when it has changed or is due: what came at the
 * same moment by other ways may stand in the store only by then.
 */
async function look(desk: AlertDesk, alertId: string, among: Surroundings, nowMs: number, why?: 'due'): Promise<Projected | undefined> {
  const projected = await project(desk, alertId, among, nowMs)
  if (!projected || (!projected.isChanged && why !== 'due')) return projected
  const isYoung = nowMs - projected.alert.raisedAtMs < incidentSettings.withinMs
  const grouped = projected.isChanged || isYoung ? await group(desk, projected, among, nowMs) : projected
  const told = await writeMessages(desk, grouped, among, nowMs)
  return { ...told, isChanged: projected.isChanged || told.isChanged }
}

/** The alert's row in line with its history, and told of to whoever keeps count. */
async function project(desk: AlertDesk, alertId: string, among: Surroundings, nowMs: number): Promise<Projected | undefined> {
  const projected = await projectAlert(desk.tables, alertId, nowMs)
  if (!projected) return undefined
  const { alert, version, isChanged } = projected
  for (const view of [among, desk.announcements]) {
    if (alert.alertId !== alertId) view.forget(alertId)
    view.note(alert)
  }
  if (isChanged) desk.publish({ ...factsOf(alert), version })
  return projected
}

async function planNextLook(desk: AlertDesk, { alert, etag }: Projected, nowMs: number): Promise<void> {
  await lookAgainAt(desk.tables, alert.alertId, etag, nextLookMs(factsOf(alert), desk.policy, nowMs))
}

async function deliver(desk: AlertDesk, among: Surroundings, nowMs: number, only?: { readonly about: string }): Promise<void> {
  for (const grown of await deliverDue(desk, nowMs, only)) await project(desk, grown, among, nowMs)
}

/** Finds the incident that an alert belongs to, and brings all it touches up to date. @returns the alert as it is then */
async function group(desk: AlertDesk, projected: Projected, among: Surroundings, nowMs: number): Promise<Projected> {
  const { alert } = projected
  const placeOf = await among.placeOf()
  if (!mayBelongToIncident(alert, placeOf)) return projected
  const gatewayOf = alert.condition === 'no-data' ? await among.gatewayOf() : () => ''
  const events = async () => groupingEvents(factsOf(alert), await among.near(alert), placeOf, gatewayOf)
  if ((await events()).length === 0) return projected
  // What was read at the beginning of a pass says that there is something to do; what is true now says what.
  among.readAgain()
  const grouping = await events()
  for (const event of grouping) await appendEvent(desk.tables, event, 'incident')
  let result = projected
  for (const alertId of new Set(grouping.map((event) => event.alertId))) {
    const again = await project(desk, alertId, among, nowMs)
    if (again && alertId === alert.alertId) result = again
  }
  return result
}

/** @returns the alert, brought up to date when it was linked to a work order that is open already */
async function writeMessages(desk: AlertDesk, projected: Projected, among: Surroundings, nowMs: number): Promise<Projected> {
  const { tables, policy, channels, announcements } = desk
  const { alert, history } = projected
  const floods = await announcements.floods(nowMs)
  const isMember = alert.incidentId !== undefined && alert.incidentId !== alert.alertId
  const rootPriority = isMember ? (await readAlert(tables, alert.incidentId!))?.alert.priority : undefined
  const planned = planMessages(alert, history, { policy, channels: [...channels.keys()], floods, rootPriority, nowMs })
  if (planned.length === 0) return projected
  const known = new Set((await outboxOf(tables, alert.alertId)).map(({ transition, channel }) => `${transition}.${channel}`))
  let isLinked = false
  for (const message of planned) {
    const { transition, channel } = message
    if (known.has(`${transition}.${channel}`)) continue
    // Who was never told of an alert is not told of its end.
    const isAboutItsEnd = kindOf(transition) === 'closed' || kindOf(transition) === 'acknowledged'
    if (isAboutItsEnd && !known.has(`raised.${channel}`)) continue
    if (channel === 'webhook' && kindOf(transition) === 'raised' && !(await asksForOrder(desk, alert, nowMs))) {
      isLinked ||= alert.workOrder === undefined
      continue
    }
    await addToOutbox(tables, message, nowMs)
  }
  return (isLinked ? await project(desk, alert.alertId, among, nowMs) : undefined) ?? projected
}

/** A fault has one work order: an alert that finds one open is linked to it and asks for none. */
async function asksForOrder({ tables }: AlertDesk, alert: Alert, nowMs: number): Promise<boolean> {
  const { alertId, deviceId, lastEventMs } = alert
  const order = await claimWorkOrder(tables, { asset: deviceId, failureCode: failureCodeOf(alert) }, alertId, nowMs)
  if (order.alertId === alertId) return true
  if (order.status === 'requested' && (await isAbandoned(tables, order)) && (await takeWorkOrder(tables, order, alertId))) return true
  if (alert.workOrder === undefined)
    await appendEvent(
      tables,
      { kind: 'work-order', alertId, atMs: lastEventMs, number: order.number, status: 'linked', note: '' },
      'linked',
    )
  return false
}

/** Asked for in the name of an alert that became part of another before anybody was told: it may not be under way any more. */
async function isAbandoned(tables: Tables, { alertId }: WorkOrder): Promise<boolean> {
  if ((await readAlert(tables, alertId)) !== undefined) return false
  const asked = (await outboxOf(tables, alertId)).find(({ transition, channel }) => transition === 'raised' && channel === 'webhook')
  return asked?.status === 'not-needed'
}
