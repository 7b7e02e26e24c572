/**
 * Storms become incidents: alerts that belong together name one of them as their probable root. Pure. What a silent
 * gateway explains is suppressed; a storm on a line is grouped and stays visible, as do faults that have nothing to do
 * with it.
 */
import type { AlertEvent, AlertFacts } from '../../contract/alert.ts'
import { standingOf } from '../../contract/alert.ts'
import { byPriority } from '../../contract/priorities.ts'
import type { WhereItStands } from './topology.ts'

export const incidentSettings = {
  /** Alerts of one cause come within this time of each other. */
  withinMs: 120_000,
  /** So many machines of a line make a storm. */
  devicesMin: 3,
} as const

/** Whether an incident is to be looked for at all. */
export function mayBelongToIncident(alert: AlertFacts, placeOf: (deviceId: string) => WhereItStands): boolean {
  const standing = standingOf(alert)
  if (standing !== 'open' && standing !== 'suppressed') return false
  if (alert.scope !== undefined) return true
  if (alert.condition === 'no-data') return !alert.isSuppressed
  return alert.incidentId === undefined && placeOf(alert.deviceId).site !== ''
}

/** Events for this alert, or for others, that follow from what is open at the same time. */
export function groupingEvents(
  alert: AlertFacts,
  open: readonly AlertFacts[],
  placeOf: (deviceId: string) => WhereItStands,
  gatewayOf: (deviceId: string) => string,
): AlertEvent[] {
  if (!mayBelongToIncident(alert, placeOf)) return []
  const others = open.filter(({ alertId }) => alertId !== alert.alertId)
  if (alert.scope !== undefined) return consequencesOf(alert, others)
  if (alert.condition === 'no-data') {
    const root = others.find((other) => explains(other, alert, gatewayOf))
    return root ? [suppressed(alert, root)] : []
  }
  return stormEvents(alert, others, placeOf)
}

function consequencesOf(root: AlertFacts, others: readonly AlertFacts[]): AlertEvent[] {
  return others.filter((other) => !other.isSuppressed && explains(root, other)).map((other) => suppressed(other, root))
}

function explains(root: AlertFacts, other: AlertFacts, gatewayOf?: (deviceId: string) => string): boolean {
  if (root.scope === undefined || other.condition !== 'no-data' || root.returnedAtMs !== undefined) return false
  if (root.scope === 'plant') return other.scope !== 'plant'
  if (root.scope === 'gateway' && gatewayOf?.(other.deviceId) === root.deviceId) return true
  return root.affected?.deviceIds.includes(other.deviceId) ?? false
}

function suppressed(alert: AlertFacts, root: AlertFacts): AlertEvent {
  return { kind: 'suppressed', alertId: alert.alertId, atMs: Math.max(alert.raisedAtMs, root.raisedAtMs), incidentId: root.alertId }
}

function stormEvents(alert: AlertFacts, others: readonly AlertFacts[], placeOf: (deviceId: string) => WhereItStands): AlertEvent[] {
  const { site, line } = placeOf(alert.deviceId)
  const near = others.filter((other) => {
    const place = placeOf(other.deviceId)
    const isNear = Math.abs(other.activeSinceMs - alert.activeSinceMs) <= incidentSettings.withinMs
    return isNear && other.scope === undefined && other.condition !== 'no-data' && place.site === site && place.line === line
  })
  const members = [alert, ...near]
  const known = near.find(({ incidentId }) => incidentId !== undefined)?.incidentId
  if (known === undefined && new Set(members.map(({ deviceId }) => deviceId)).size < incidentSettings.devicesMin) return []
  const incidentId = known ?? probableRoot(members).alertId
  const atMs = Math.max(...members.map(({ activeSinceMs }) => activeSinceMs))
  return members
    .filter((member) => member.incidentId === undefined)
    .map((member) => ({ kind: 'grouped', alertId: member.alertId, atMs, incidentId }))
}

/** What was there first is the likelier cause; of what came at once, the graver. */
export function probableRoot(members: readonly AlertFacts[]): AlertFacts {
  return members.toSorted(
    (a, b) => a.evidence.firstSeenMs - b.evidence.firstSeenMs || byPriority(a, b) || (a.alertId < b.alertId ? -1 : 1),
  )[0]!
}
