/** How good the alarms are: the measures of ISA-18.2-2016 §16, from the alerts themselves. Pure. */
import type { Kpis } from '../../contract/api.ts'
import { standingOf } from '../../contract/alert.ts'
import type { AlertFacts } from '../../contract/alert.ts'
import { deviceModel, signalDisplayName } from '../../contract/device-model.ts'
import { floodsIn } from './flood.ts'
import { nuisanceOf } from './nuisance.ts'

const periodMs = 10 * 60_000
const perPeriodMax = 10
const badActorsShown = 10

export type KpiSpan = { readonly fromMs: number; readonly toMs: number; readonly nowMs: number; readonly operators: number }

export function kpisOf(alerts: readonly AlertFacts[], { fromMs, toMs, nowMs, operators }: KpiSpan): Kpis {
  const inSpan = (timeMs: number) => timeMs >= fromMs && timeMs < toMs
  // Suppressed and never told of, an alert annoys nobody.
  const told = alerts.filter((alert) => !alert.isSuppressed && !alert.isPending)
  const annunciations = told.flatMap((alert) => alert.episodesMs.filter(inSpan).map((atMs) => ({ atMs, alert })))
  const times = annunciations.map(({ atMs }) => atMs)
  const firstMs = times.length === 0 ? toMs : Math.max(fromMs, Math.min(...times))
  // An installation is not measured by the time before it was there.
  const days = Math.max((toMs - firstMs) / 86_400_000, 1 / 24)
  const perDay = annunciations.length / days / operators
  const periods = countBy(times, (timeMs) => Math.floor(timeMs / periodMs))
  const active = told.filter((alert) => inSpan(alert.raisedAtMs))
  const nuisance = active.map((alert) => nuisanceOf(alert, nowMs))
  const standings = countBy(alerts, standingOf)
  const acknowledgeMs = active.flatMap(({ acknowledged, raisedAtMs }) => (acknowledged ? [acknowledged.atMs - raisedAtMs] : []))
  const actors = badActors(annunciations)
  const priorities = { critical: 0, high: 0, medium: 0, low: 0 }
  for (const { alert } of annunciations) priorities[alert.priority]++
  return {
    from: new Date(fromMs).toISOString(),
    to: new Date(toMs).toISOString(),
    operators,
    days,
    annunciations: annunciations.length,
    ratePerOperator: { perHour: perDay / 24, perDay },
    floodShare:
      [...periods.values()].filter((count) => count / operators > perPeriodMax).length / Math.max(1, (days * 86_400_000) / periodMs),
    peakPer10Min: Math.max(0, ...periods.values()) / operators,
    floods: floodsIn(times, Math.min(nowMs, toMs)).map(({ sinceMs, untilMs = null, alerts: count }) => ({
      sinceMs,
      untilMs,
      alerts: count,
    })),
    priorities,
    top10Share: actors.slice(0, badActorsShown).reduce((sum, { share }) => sum + share, 0),
    badActors: actors.slice(0, badActorsShown),
    chattering: nuisance.filter(({ isChattering }) => isChattering).length,
    fleeting: nuisance.filter(({ isFleeting }) => isFleeting).length,
    stale: nuisance.filter(({ isStale }) => isStale).length,
    shelved: standings.get('shelved') ?? 0,
    suppressed: standings.get('suppressed') ?? 0,
    outOfService: standings.get('out-of-service') ?? 0,
    medianAcknowledgeMs: median(acknowledgeMs),
    judgedFalse: active.filter(({ feedback }) => feedback?.isTrueAlarm === false).length,
    judgedTrue: active.filter(({ feedback }) => feedback?.isTrueAlarm === true).length,
  }
}

function badActors(annunciations: readonly { readonly alert: AlertFacts }[]): Kpis['badActors'] {
  const counts = new Map<string, Kpis['badActors'][number]>()
  for (const { alert } of annunciations) {
    const { deviceId, signal, modelId } = alert
    const key = JSON.stringify([deviceId, signal])
    const known = counts.get(key)?.annunciations ?? 0
    const signalName = signal === '' ? '' : signalDisplayName(deviceModel(modelId), signal)
    counts.set(key, { deviceId, signal, signalName, annunciations: known + 1, share: (known + 1) / annunciations.length })
  }
  return [...counts.values()].sort((a, b) => b.annunciations - a.annunciations || (a.deviceId < b.deviceId ? -1 : 1))
}

function countBy<Item, Key>(items: readonly Item[], keyOf: (item: Item) => Key): Map<Key, number> {
  const counts = new Map<Key, number>()
  for (const item of items) counts.set(keyOf(item), (counts.get(keyOf(item)) ?? 0) + 1)
  return counts
}

function median(values: readonly number[]): number | null {
  if (values.length === 0) return null
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
