/**
 * The life of an alert as a fold of its history (ISA-18.2): active or returned to normal, unacknowledged or
 * acknowledged. Events may be applied again, or late, without changing the outcome.
 */
import type { Alert, AlertEvent } from '../../contract/alert.ts'

/** The alert a history amounts to; undefined while its beginning has not arrived. */
export function foldAlert(events: readonly AlertEvent[]): Alert | undefined {
  return events.reduce<Alert | undefined>(applyEvent, undefined)
}

export function applyEvent(alert: Alert | undefined, event: AlertEvent): Alert | undefined {
  if (event.kind === 'raised') {
    if (alert) return alert
    const { alertId, deviceId, modelId, signal, condition, priority, evidence, atMs } = event
    return { alertId, deviceId, modelId, signal, condition, priority, evidence, raisedAtMs: atMs, state: 'active-unacknowledged' }
  }
  if (!alert) return undefined
  switch (event.kind) {
    case 'escalated':
      // Worse than what was acknowledged: it must be seen again.
      return withState({
        ...without(alert, 'acknowledged'),
        condition: event.condition,
        priority: event.priority,
        evidence: event.evidence,
      })
    case 'returned':
      return withState({ ...alert, returnedAtMs: event.atMs })
    case 'acknowledged':
      return alert.acknowledged ? alert : withState({ ...alert, acknowledged: { by: event.by, note: event.note, atMs: event.atMs } })
    default:
      return event satisfies never
  }
}

function withState(alert: Alert): Alert {
  const isReturned = alert.returnedAtMs !== undefined
  const isAcknowledged = alert.acknowledged !== undefined
  const state = isReturned
    ? isAcknowledged
      ? 'normal'
      : 'returned-unacknowledged'
    : isAcknowledged
      ? 'active-acknowledged'
      : 'active-unacknowledged'
  return { ...alert, state }
}

function without(alert: Alert, key: 'acknowledged'): Alert {
  const { [key]: _, ...rest } = alert
  return rest
}
