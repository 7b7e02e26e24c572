/** Detection against the simulator's truth: which faults were found, how soon, and which alerts nobody caused. Pure. */
import type { AlertItem } from '../contract/api.ts'

export type Label = { readonly deviceId: string; readonly kind: string; readonly onset: string; readonly end: string }
export type Score = { readonly kind: string; readonly found: number; readonly missed: number; readonly medianDelayMs: number | undefined }

/** A fault may still show after its end: a machine cools slowly. */
const afterMs = 10 * 60_000

export function scoreOf(labels: readonly Label[], alerts: readonly AlertItem[], nowMs: number): { scores: Score[]; falseAlarms: number } {
  const begun = labels.filter(({ onset }) => Date.parse(onset) <= nowMs)
  const explained = new Set<string>()
  const delays = new Map<string, number[]>()
  const missed = new Map<string, number>()
  for (const { deviceId, kind, onset, end } of begun) {
    const fromMs = Date.parse(onset)
    const untilMs = Date.parse(end) + afterMs
    const hits = alerts.flatMap((alert) => {
      // The fault may have brought an alert back that was there before.
      const atMs = [alert.raisedAtMs, alert.activeSinceMs].find((ms) => ms >= fromMs && ms <= untilMs)
      return alert.deviceId === deviceId && atMs !== undefined ? [{ alertId: alert.alertId, atMs }] : []
    })
    for (const { alertId } of hits) explained.add(alertId)
    const firstMs = Math.min(...hits.map(({ atMs }) => atMs))
    delays.set(kind, [...(delays.get(kind) ?? []), ...(hits.length > 0 ? [firstMs - fromMs] : [])])
    // A fault that has not ended may yet be found.
    if (hits.length === 0 && Date.parse(end) < nowMs) missed.set(kind, (missed.get(kind) ?? 0) + 1)
  }
  const startMs = Math.min(...begun.map(({ onset }) => Date.parse(onset)))
  const falseAlarms = alerts.filter(({ alertId, raisedAtMs }) => raisedAtMs >= startMs && !explained.has(alertId)).length
  const scores = [...delays].map(([kind, found]) => ({
    kind,
    found: found.length,
    missed: missed.get(kind) ?? 0,
    medianDelayMs: median(found),
  }))
  return { scores: scores.sort((a, b) => a.kind.localeCompare(b.kind)), falseAlarms }
}

function median(values: readonly number[]): number | undefined {
  return [...values].sort((a, b) => a - b)[values.length >> 1]
}
