/** Everything that follows when an alert's history grew, or time passed: its row, its incident, its messages, open pages. */
import { factsOf } from '../../contract/alert.ts'
import type { Alert } from '../../contract/alert.ts'
import { appendEvent, listAlerts, lookAgainAt, raiseTimes, readAlert } from '../store/alert-store.ts'
import { listDevices } from '../store/latest-store.ts'
import { addToOutbox, outboxOf } from '../store/outbox-store.ts'
import { readTopology } from '../store/plant-store.ts'
import type { Tables } from '../store/tables.ts'
import { claimWorkOrder, takeWorkOrder } from '../store/work-order-store.ts'
import type { WorkOrder } from '../store/work-order-store.ts'
import { nextLookMs } from './alert-clock.ts'
import type { AlertDesk } from './alert-desk.ts'
import { failureCodeOf } from './channels/webhook.ts'
import { deliverDue } from './deliver-due.ts'
import { floodsIn } from './flood.ts'
import { groupingEvents, incidentSettings } from './incidents.ts'
import type { NotificationPolicy } from './notification-policy.ts'
import { kindOf, planMessages } from './plan-messages.ts'
import { projectAlert } from './project-alert.ts'
import type { Projected } from './project-alert.ts'
import { placeFinder } from './topology.ts'

/** Floods are looked for this far behind the oldest alert that could still be told of. */
const floodLookBackMs = 2 * 3_600_000

function floodsSinceMs({ remindersMin, escalation }: NotificationPolicy, nowMs: number): number {
  const longestMin = Math.max(0, ...remindersMin, ...escalation.map(({ afterMin }) => afterMin))
  return nowMs - longestMin * 60_000 - floodLookBackMs
}

/** @returns the alert as it stands afterwards; undefined when its history has no beginning yet */
export async function settleAlert(desk: AlertDesk, alertId: string, nowMs: number): Promise<Alert | undefined> {
  let projected = await projectAlert(desk.tables, alertId, nowMs)
  if (!projected) return undefined
  if (projected.isChanged) {
    tell(desk, projected)
    projected = await group(desk, projected, nowMs)
    projected = await writeMessages(desk, projected, nowMs)
  }
  for (const grown of await deliverDue(desk, nowMs, { about: projected.alert.alertId })) {
    const again = await projectAlert(desk.tables, grown, nowMs)
    if (again) tell(desk, again)
  }
  return projected.alert
}

/** What the clock has made due for alerts that are not closed: delays, expiries, reminders, and messages that wait. */
export async function sweepAlerts(desk: AlertDesk, touched: Iterable<string>, nowMs: number): Promise<void> {
  for (const alertId of touched) await settleAlert(desk, alertId, nowMs)
  for (const { alertId } of await listAlerts(desk.tables, { lookDueMs: nowMs })) {
    await settleAlert(desk, alertId, nowMs)
    const looked = await projectAlert(desk.tables, alertId, nowMs)
    if (!looked) continue
    // What came at the same moment by other ways stands in the store by now.
    const { alert } = nowMs - looked.alert.raisedAtMs < incidentSettings.withinMs ? await group(desk, looked, nowMs) : looked
    await writeMessages(desk, { ...looked, alert }, nowMs)
    const stored = await readAlert(desk.tables, alertId)
    if (stored) await lookAgainAt(desk.tables, stored, nextLookMs(factsOf(stored.alert), desk.policy, nowMs))
  }
  for (const grown of await deliverDue(desk, nowMs)) {
    const again = await projectAlert(desk.tables, grown, nowMs)
    if (again) tell(desk, again)
  }
}

function tell(desk: AlertDesk, { alert, version }: Projected): void {
  desk.publish({ ...factsOf(alert), version })
}

/** Finds the incident that an alert belongs to, and brings all it touches up to date. @returns the alert as it is then */
async function group(desk: AlertDesk, projected: Projected, nowMs: number): Promise<Projected> {
  const { tables } = desk
  const { alert } = projected
  const isAboutSilence = alert.condition === 'no-data'
  const near = isAboutSilence
    ? await listAlerts(tables, { standings: ['open', 'suppressed'], condition: 'no-data' })
    : await listAlerts(tables, { standings: ['open'], sinceMs: alert.raisedAtMs - incidentSettings.withinMs })
  if (near.length === 0) return projected
  const topology = (await readTopology(tables)) ?? { places: [] }
  const gateways = isAboutSilence ? new Map((await listDevices(tables)).map(({ deviceId, gatewayId }) => [deviceId, gatewayId])) : undefined
  const events = groupingEvents(factsOf(alert), near, placeFinder(topology), (deviceId) => gateways?.get(deviceId) ?? '')
  for (const event of events) await appendEvent(tables, event, 'incident')
  let result = projected
  for (const alertId of new Set(events.map((event) => event.alertId))) {
    const again = await projectAlert(tables, alertId, nowMs)
    if (again) tell(desk, again)
    if (again && alertId === alert.alertId) result = again
  }
  return result
}

/** @returns the alert, brought up to date when it was linked to a work order that is open already */
async function writeMessages(desk: AlertDesk, projected: Projected, nowMs: number): Promise<Projected> {
  const { tables, policy, channels } = desk
  const { alert, history } = projected
  const floods = floodsIn(await raiseTimes(tables, floodsSinceMs(policy, nowMs)), nowMs)
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
  if (!isLinked) return projected
  const linked = (await projectAlert(tables, alert.alertId, nowMs)) ?? projected
  tell(desk, linked)
  return linked
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
