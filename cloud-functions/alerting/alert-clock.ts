/** What becomes of an alert by the passing of time alone: delays, expiries and re-alarms. Pure; asked again, it says the same. */
import { standingOf } from '../../contract/alert.ts'
import type { AlertEvent, AlertFacts } from '../../contract/alert.ts'
import { recordOf } from '../../contract/device-model.ts'
import { isActive, isRecovering } from './alert-life.ts'
import type { NotificationPolicy } from './notification-policy.ts'

/** Who does what the clock does. */
export const clock = 'clock'

/**
 * @param dataUpToMs when the device was last heard of: a condition lasts as long as there is data that says so, and no
 * delay runs through a gap
 */
export function dueEvents(alert: AlertFacts, nowMs: number, dataUpToMs: number): AlertEvent[] {
  const { alertId } = alert
  const { onDelayS, offDelayS, reAlarmMin } = recordOf(alert)
  const due: AlertEvent[] = []
  const reached = (atMs: number, byMs = nowMs) => atMs <= byMs
  const announceAtMs = alert.raisedAtMs + onDelayS * 1000
  if (alert.isPending && isActive(alert) && reached(announceAtMs, Math.min(nowMs, dataUpToMs)))
    due.push({ kind: 'announced', alertId, atMs: announceAtMs })
  const settleAtMs = (alert.recoveringSinceMs ?? 0) + offDelayS * 1000
  if (isRecovering(alert) && !alert.isLatched && reached(settleAtMs, Math.min(nowMs, dataUpToMs)))
    due.push({ kind: 'settled', alertId, atMs: settleAtMs })
  if (alert.shelved && reached(alert.shelved.untilMs)) due.push({ kind: 'unshelved', alertId, atMs: alert.shelved.untilMs, by: clock })
  const { acknowledged } = alert
  if (reAlarmMin !== undefined && acknowledged && isActive(alert) && standingOf(alert) === 'open') {
    const atMs = acknowledged.atMs + reAlarmMin * 60_000
    if (reached(atMs)) due.push({ kind: 're-alarmed', alertId, atMs })
  }
  return due
}

/** When somebody has to look at the alert again, though nothing happens to it; undefined when never. */
export function nextLookMs(alert: AlertFacts, policy: NotificationPolicy, nowMs: number): number | undefined {
  // A delay held up by a gap in the data is looked at until it is over.
  if (dueEvents(alert, nowMs, nowMs).length > 0) return nowMs
  // So is one whose work order has been asked for by another and has no number yet.
  if (alert.workOrder?.number === '') return nowMs
  const { onDelayS, offDelayS, reAlarmMin } = recordOf(alert)
  const { raisedAtMs, recoveringSinceMs, shelved, acknowledged } = alert
  const instants = [
    ...(alert.isPending ? [raisedAtMs + onDelayS * 1000] : []),
    ...(recoveringSinceMs === undefined ? [] : [recoveringSinceMs + offDelayS * 1000]),
    ...(shelved ? [shelved.untilMs] : []),
    ...(acknowledged && reAlarmMin !== undefined ? [acknowledged.atMs + reAlarmMin * 60_000] : []),
    ...(acknowledged ? [] : [...policy.remindersMin, ...policy.escalation.map(({ afterMin }) => afterMin)]).map(
      (minutes) => raisedAtMs + minutes * 60_000,
    ),
  ].filter((atMs) => atMs > nowMs)
  return standingOf(alert) === 'closed' || instants.length === 0 ? undefined : Math.min(...instants)
}
