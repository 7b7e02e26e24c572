/** Alerts in the order they are shown: an incident stands where its most urgent alert would, its other members below it. */
import type { AlertItem } from '../contract/api.ts'
import { rankOf } from '../contract/priorities.ts'
import { wordSearch } from './word-search.ts'

export type ShownAlert = { readonly alert: AlertItem; readonly isMember: boolean; readonly members: number }

export function grouped(alerts: readonly AlertItem[], isOpen: (incidentId: string) => boolean): ShownAlert[] {
  const incidents = new Map<string, AlertItem[]>()
  for (const alert of alerts)
    if (alert.incidentId !== undefined) incidents.set(alert.incidentId, [...(incidents.get(alert.incidentId) ?? []), alert])
  const shown: ShownAlert[] = []
  const told = new Set<string>()
  for (const alert of alerts) {
    if (told.has(alert.alertId)) continue
    const { incidentId } = alert
    if (incidentId === undefined) {
      shown.push({ alert, isMember: false, members: 0 })
      continue
    }
    const members = incidents.get(incidentId)!
    const root = members.find(({ alertId }) => alertId === incidentId) ?? members[0]!
    // What is graver than its root may be a fault of its own: it is never hidden behind it.
    const isGraver = ({ priority }: AlertItem) => rankOf(priority) < rankOf(root.priority)
    const others = members.filter((member) => member !== root && !isGraver(member))
    for (const { alertId } of members) told.add(alertId)
    shown.push({ alert: root, isMember: false, members: others.length })
    shown.push(
      ...members.filter((member) => member !== root && isGraver(member)).map((member) => ({ alert: member, isMember: true, members: 0 })),
    )
    if (isOpen(incidentId)) shown.push(...others.map((member) => ({ alert: member, isMember: true, members: 0 })))
  }
  return shown
}

/** Every word must be somewhere in what is known of the alert. */
export function matching(alerts: readonly AlertItem[], text: string, priority: string): AlertItem[] {
  const isFound = wordSearch(text)
  return alerts.filter((alert) => {
    if (priority !== '' && alert.priority !== priority) return false
    const { deviceId, signalName, site, line, assignee = '', deviceKind, explanation } = alert
    return isFound(`${deviceId} ${signalName} ${site} ${line} ${assignee} ${deviceKind} ${explanation}`)
  })
}
