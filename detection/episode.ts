/**
 * The life of an episode: it begins after several abnormal readings in a row, or one that is severe; it lasts while
 * readings are abnormal or still outside what was expected at its onset; it ends after several normal ones, or when
 * what it found has become the new normal.
 */
import type { AlertCondition } from '../contract/alert.ts'
import type { LimitAlarm, Priority } from '../contract/device-model.ts'
import type { DetectorName } from '../contract/alert.ts'
import type { DetectionConfiguration } from './configuration.ts'
import { episodeSettings as settings } from './settings.ts'

/** What one reading, or one moment of all signals, amounts to. */
export type Finding = {
  readonly severity: number
  readonly detector: DetectorName | undefined
  readonly expectedMin: number
  readonly expectedMax: number
  readonly limit: LimitAlarm | undefined
}

export type Onset = { readonly readings: number; readonly firstSeq: number; readonly firstTimeMs: number }

export type ActivePhase = {
  readonly kind: 'active'
  readonly alertId: string
  condition: AlertCondition
  priority: Priority
  readonly firstTimeMs: number
  /** Found by whoever sees every reading; it also says when the episode ends. */
  readonly isFromEdge: boolean
  /** Back inside this range a reading may be normal; undefined when the detector says so itself. */
  expected: { readonly min: number; readonly max: number } | undefined
  severity: number
  normalReadings: number
  abnormalReadings: number
}

/** Unusual while another episode of the device is open: as severe as it was at most. */
export type JoinedPhase = { readonly kind: 'joined'; readonly severity: number }

export type Phase = { readonly kind: 'quiet' } | ({ readonly kind: 'pending' } & Onset) | JoinedPhase | ActivePhase

export function isAbnormal({ severity, limit }: Finding): boolean {
  return severity >= 1 || limit !== undefined
}

/** The onset so far, this reading included. */
export function onsetOf(phase: Phase, seq: number, timeMs: number): Onset {
  return phase.kind === 'pending' ? { ...phase, readings: phase.readings + 1 } : { readings: 1, firstSeq: seq, firstTimeMs: timeMs }
}

/** Detectors whose verdict rests on several readings already. */
const ownEvidence: readonly DetectorName[] = ['stuck', 'drift', 'spike', 'relation']

/** Whether the onset is enough for an episode. Detectors that have gathered their own evidence need no second reading. */
export function isEnough(
  onset: Onset,
  { severity, detector, limit }: Finding,
  { onReadings, severeFrom }: DetectionConfiguration,
): boolean {
  if (onset.readings >= onReadings) return true
  if (limit) return limit.safety !== undefined
  return severity >= severeFrom || (detector !== undefined && ownEvidence.includes(detector))
}

/** Detectors whose verdict fades while the machine is still where it should not be: their expected range is kept. */
const rangeKeepers: readonly (DetectorName | undefined)[] = ['rolling', 'level', 'high-pass', 'jump', 'step']

export function keptRange({ detector, expectedMin, expectedMax, limit }: Finding): ActivePhase['expected'] {
  return !limit && rangeKeepers.includes(detector) ? { min: expectedMin, max: expectedMax } : undefined
}

/** Whether a reading keeps an open episode going. */
export function isStillOut(phase: ActivePhase, finding: Finding, value: number): boolean {
  const { expected } = phase
  return isAbnormal(finding) || (expected !== undefined && (value < expected.min || value > expected.max))
}

/** Between normal and abnormal an episode goes on and none begins: hysteresis. */
export function isDoubtful({ severity }: Finding): boolean {
  return severity >= settings.normalBelow
}

export const quiet: Phase = { kind: 'quiet' }

export function joined(phase: Phase, severity: number): JoinedPhase {
  return { kind: 'joined', severity: phase.kind === 'joined' ? Math.max(phase.severity, severity) : severity }
}

/** An alert of the edge that has ended: told of again, it does not begin again. */
export function rememberEnded(ended: string[], alertId: string): void {
  ended.push(alertId)
  if (ended.length > settings.endedEdgeAlertsMax) ended.shift()
}
