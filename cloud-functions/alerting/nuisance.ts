/** Alerts that only tire people (ISA-18.2 §16): chattering, fleeting, stale; and what would quieten them. Pure. */
import type { AlertFacts } from '../../contract/alert.ts'
import { deviceModel } from '../../contract/device-model.ts'
import { isActive } from './alert-life.ts'

export const nuisanceSettings = {
  /** So many episodes within the time are chatter. */
  chatterEpisodes: 3,
  chatterWithinMs: 10 * 60_000,
  /** Over before anybody could look. */
  fleetingMs: 30_000,
  staleMs: 24 * 3_600_000,
} as const

export type Nuisance = { readonly isChattering: boolean; readonly isFleeting: boolean; readonly isStale: boolean }

export function nuisanceOf(alert: AlertFacts, nowMs: number): Nuisance {
  const { chatterEpisodes, chatterWithinMs, fleetingMs, staleMs } = nuisanceSettings
  const { episodesMs, episodeLengthsMs } = alert
  const isChattering = episodesMs.some((atMs, index) => {
    const last = episodesMs[index + chatterEpisodes - 1]
    return last !== undefined && last - atMs <= chatterWithinMs
  })
  return {
    isChattering,
    isFleeting: episodeLengthsMs.some((lengthMs) => lengthMs < fleetingMs),
    isStale: isActive(alert) && nowMs - alert.activeSinceMs > staleMs,
  }
}

/**
 * A deadband that the value would have to leave before the alert returns: twice as wide as what it went beyond the
 * limit, and never narrower than what the signal's own noise is said to be. Undefined where no deadband would help.
 */
export function suggestedDeadband(alert: AlertFacts): { readonly width: number; readonly unit: string } | undefined {
  const { evidence, modelId, signal } = alert
  const model = deviceModel(modelId)?.signals[signal]
  if (evidence.reason === 'no-data' || evidence.reason === 'missing' || evidence.reason === 'stuck') return undefined
  const beyond = Math.max(evidence.observed - evidence.expectedMax, evidence.expectedMin - evidence.observed, 0)
  const width = Math.max(2 * beyond, 2 * (model?.deadband ?? 0))
  return width > 0 ? { width: Number(width.toPrecision(2)), unit: model?.unit ?? '' } : undefined
}
