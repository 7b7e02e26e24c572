/**
 * The life of an alert as a fold of its history (ISA-18.2, OPC UA Part 9): active or returned to normal, unacknowledged
 * or acknowledged; beside it pending, shelved, suppressed and out of service. Events may be applied again without
 * changing the outcome. What people may do is in `alert-commands.ts`, what the clock does in `alert-clock.ts`.
 */
import { episodesKept } from '../../contract/alert.ts'
import type { Alert, AlertEvent, AlertState } from '../../contract/alert.ts'
import { recordOf } from '../../contract/device-model.ts'
import { rankOf } from '../../contract/priorities.ts'

/** The alert a history amounts to; undefined while its beginning has not arrived, or when it belongs to another alert. */
export function foldAlert(events: readonly AlertEvent[]): Alert | undefined {
  return events.reduce<Alert | undefined>(applyEvent, undefined)
}

export function applyEvent(alert: Alert | undefined, event: AlertEvent): Alert | undefined {
  if (event.kind === 'joined') return undefined
  if (event.kind === 'raised') return alert ?? newAlert(event)
  if (!alert) return undefined
  const changed = change(alert, event)
  const state = stateOf(changed)
  const closedAtMs = state === 'normal' ? (changed.closedAtMs ?? event.atMs) : undefined
  return { ...without(changed, 'closedAtMs'), state, lastEventMs: event.atMs, ...(closedAtMs === undefined ? {} : { closedAtMs }) }
}

function newAlert(event: Extract<AlertEvent, { kind: 'raised' }>): Alert {
  const { alertId, deviceId, modelId, signal, scope, condition, priority, evidence, affected, atMs } = event
  const { onDelayS, isLatched } = recordOf(event)
  return {
    alertId,
    deviceId,
    modelId,
    signal,
    ...(scope === undefined ? {} : { scope }),
    condition,
    priority,
    state: 'active-unacknowledged',
    raisedAtMs: atMs,
    activeSinceMs: atMs,
    lastEventMs: atMs,
    isPending: onDelayS > 0,
    isLatched,
    isSuppressed: false,
    occurrences: 1,
    episodesMs: [atMs],
    episodeLengthsMs: [],
    ...(affected === undefined ? {} : { affected }),
    evidence,
  }
}

function change(alert: Alert, event: Exclude<AlertEvent, { kind: 'raised' | 'joined' }>): Alert {
  const { atMs } = event
  switch (event.kind) {
    case 'escalated': {
      const { condition, priority, evidence } = event
      // Worse than what was acknowledged: it must be seen again. A limit that people are protected by waits for no delay.
      const { isLatched } = recordOf({ ...alert, condition })
      const active = without(without(without(alert, 'acknowledged'), 'returnedAtMs'), 'recoveringSinceMs')
      return { ...active, condition, priority, evidence, isLatched: alert.isLatched || isLatched, isPending: false }
    }
    case 'recurred':
      return recurred(alert, event)
    case 'returned':
      return returned(alert, atMs)
    case 'announced':
      return { ...alert, isPending: false }
    case 'settled':
      return isRecovering(alert) ? over(alert, alert.recoveringSinceMs!) : alert
    case 're-alarmed':
      return isActive(alert) ? without(alert, 'acknowledged') : alert
    case 'grouped':
      return { ...alert, incidentId: event.incidentId }
    case 'suppressed':
      return { ...alert, incidentId: event.incidentId, isSuppressed: true }
    case 'unsuppressed':
      return { ...alert, isSuppressed: false }
    case 'work-order':
      return { ...alert, workOrder: { number: event.number, isOpen: event.status !== 'closed' } }
    case 'acknowledged':
      return alert.acknowledged ? alert : { ...alert, acknowledged: { by: event.by, note: event.note, atMs } }
    case 'shelved':
      return { ...alert, shelved: { by: event.by, untilMs: event.untilMs, reason: event.reason, atMs } }
    case 'unshelved':
      // What was put aside and is still there asks to be seen again.
      return alert.shelved && isActive(alert) ? without(without(alert, 'shelved'), 'acknowledged') : without(alert, 'shelved')
    case 'out-of-service':
      return { ...alert, outOfService: { by: event.by, reason: event.reason, atMs } }
    case 'in-service':
      return without(alert, 'outOfService')
    case 'assigned':
      return event.to === '' ? without(alert, 'assignee') : { ...alert, assignee: event.to }
    case 'commented':
      return alert
    case 'cleared':
      return over({ ...alert, isPending: false, acknowledged: alert.acknowledged ?? { by: event.by, note: event.note, atMs } }, atMs)
    case 'reopened':
      return without(alert, 'acknowledged')
    case 'judged':
      return { ...alert, feedback: { by: event.by, isTrueAlarm: event.isTrueAlarm, note: event.note } }
    default:
      return event satisfies never
  }
}

function recurred(alert: Alert, event: Extract<AlertEvent, { kind: 'recurred' }>): Alert {
  const { atMs, condition, priority, evidence } = event
  // Told again, it is the same episode.
  if (alert.episodesMs.includes(atMs)) return alert
  const wasOver = !isActive(alert)
  const isWorse = rankOf(priority) < rankOf(alert.priority)
  const kept = without(without(alert, 'recoveringSinceMs'), 'returnedAtMs')
  return {
    ...(wasOver || isWorse ? without(kept, 'acknowledged') : kept),
    ...(isWorse || wasOver ? { condition, priority, evidence } : {}),
    activeSinceMs: atMs,
    occurrences: alert.occurrences + 1,
    episodesMs: [...alert.episodesMs, atMs].slice(-episodesKept),
    episodeLengthsMs: alert.episodeLengthsMs.slice(-(episodesKept - 1)),
  }
}

function returned(alert: Alert, atMs: number): Alert {
  if (alert.returnedAtMs !== undefined || alert.recoveringSinceMs !== undefined) return alert
  const episodeLengthsMs = [...alert.episodeLengthsMs, atMs - alert.activeSinceMs].slice(-episodesKept)
  const ended = { ...alert, episodeLengthsMs }
  // Gone before it was told of: nobody has to know.
  if (alert.isPending) return over(ended, atMs)
  const { offDelayS } = recordOf(alert)
  return alert.isLatched || offDelayS > 0 ? { ...ended, recoveringSinceMs: atMs } : over(ended, atMs)
}

function over(alert: Alert, atMs: number): Alert {
  return { ...without(alert, 'recoveringSinceMs'), returnedAtMs: alert.returnedAtMs ?? atMs }
}

export function isActive({ returnedAtMs }: { readonly returnedAtMs?: number | undefined }): boolean {
  return returnedAtMs === undefined
}

/** Its off-delay runs, or its latch holds it. */
export function isRecovering({ recoveringSinceMs, returnedAtMs }: Pick<Alert, 'recoveringSinceMs' | 'returnedAtMs'>): boolean {
  return recoveringSinceMs !== undefined && returnedAtMs === undefined
}

function stateOf(alert: Alert): AlertState {
  const isAcknowledged = alert.acknowledged !== undefined
  if (isActive(alert)) return isAcknowledged ? 'active-acknowledged' : 'active-unacknowledged'
  // Never told of, it needs nobody to have seen it.
  return isAcknowledged || alert.isPending ? 'normal' : 'returned-unacknowledged'
}

function without(alert: Alert, key: keyof Alert): Alert {
  const { [key]: _, ...rest } = alert
  return rest as Alert
}
