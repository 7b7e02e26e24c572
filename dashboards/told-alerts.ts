/**
 * What the live channel tells of alerts, beside what was asked for. Of two tellings of an alert the one with the higher
 * version counts; an answer knows all that was told before it was asked for, also of alerts that it no longer lists.
 */
import type { AlertItem } from '../contract/api.ts'
import { byPriority } from '../contract/priorities.ts'

/** Instants are `performance.now()`: what a clock does meanwhile is of no account. */
export type ToldAlert = { readonly alert: AlertItem; readonly toldAt: number }
/** By alert id. */
export type ToldAlerts = ReadonlyMap<string, ToldAlert>

export function note(told: Map<string, ToldAlert>, news: ToldAlert): void {
  const { alertId, version } = news.alert
  if (version >= (told.get(alertId)?.alert.version ?? 0)) told.set(alertId, news)
}

export function withTold(told: ToldAlerts, news: Iterable<ToldAlert>): ToldAlerts {
  const all = new Map(told)
  for (const one of news) note(all, one)
  return all
}

export function toldSince(told: ToldAlerts, askedAt: number): ToldAlerts {
  const since = [...told].filter(([, { toldAt }]) => toldAt > askedAt)
  return since.length === told.size ? told : new Map(since)
}

/** The alerts of a standing as they are now, in the order of urgency. */
export function withNews(asked: readonly AlertItem[], told: ToldAlerts, standing: AlertItem['standing']): AlertItem[] {
  if (told.size === 0) return [...asked]
  const all = new Map(asked.map((alert) => [alert.alertId, alert]))
  for (const [alertId, { alert }] of told) if (alert.version > (all.get(alertId)?.version ?? 0)) all.set(alertId, alert)
  return [...all.values()].filter((alert) => alert.standing === standing).sort(byUrgency)
}

/** Unacknowledged first, then the graver, then the newer. */
export function byUrgency(a: AlertItem, b: AlertItem): number {
  return Number(a.acknowledged !== undefined) - Number(b.acknowledged !== undefined) || byPriority(a, b) || b.raisedAtMs - a.raisedAtMs
}
