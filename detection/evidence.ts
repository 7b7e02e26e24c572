/** What an alert can say for itself, complete enough to be recomputed: the detector's state is in it. */
import type { DetectorName, Evidence, ReasonCode } from '../contract/alert.ts'
import type { LimitAlarm } from '../contract/device-model.ts'
import type { Finding } from './episode.ts'
import { recentWindow } from './recent.ts'
import { slot } from './series-state.ts'
import type { SeriesState } from './series-state.ts'
import { stillLearning } from './series-knowledge.ts'
import { detectorVersion } from './settings.ts'

export type EvidenceSource = {
  readonly configurationVersion: string
  readonly finding: Finding
  readonly isHigh: boolean
  readonly observed: number
  readonly atMs: number
  readonly firstTimeMs: number
  readonly state: SeriesState
  readonly recent: Float64Array
  readonly suppressed: number
  readonly alsoMoving: Evidence['alsoMoving']
  /** Bytes of the detector that spoke, as they were before it judged. */
  readonly before: Uint8Array
}

export function evidenceOf(source: EvidenceSource): Evidence {
  const { configurationVersion, finding, isHigh, observed, atMs, firstTimeMs, state, recent, suppressed, alsoMoving, before } = source
  const { limit, severity } = finding
  const detector = limit ? 'hard-limit' : (finding.detector ?? 'rolling')
  const { expectedMin, expectedMax } = limit ? limitRange(limit, observed) : finding
  const direction = (limit ? limit.direction === 'above' : isHigh) ? 'high' : 'low'
  return {
    detector,
    detectorVersion,
    configurationVersion,
    reason: limit ? (limit.direction === 'above' ? 'above-limit' : 'below-limit') : reasonOf(detector, isHigh),
    direction,
    observed,
    expectedMin,
    expectedMax,
    distance: limit
      ? Math.abs(observed - limit.limit) / Math.max(Math.abs(limit.limit), 1e-12)
      : distanceOf(observed, expectedMin, expectedMax),
    severity,
    firstSeenMs: firstTimeMs,
    durationMs: atMs - firstTimeMs,
    baselineFromMs: state.numbers[slot.firstTimeMs]!,
    baselineReadings: state.numbers[slot.count]!,
    learning: stillLearning(state),
    suppressed,
    window: recentWindow(recent),
    alsoMoving,
    before: toBase64(before),
  }
}

/** What a limit allows, as far as the observed value shows it. */
export function limitRange({ limit, direction }: LimitAlarm, observed: number): { expectedMin: number; expectedMax: number } {
  return direction === 'above'
    ? { expectedMin: Math.min(observed, limit), expectedMax: limit }
    : { expectedMin: limit, expectedMax: Math.max(observed, limit) }
}

function reasonOf(detector: DetectorName, isHigh: boolean): ReasonCode {
  switch (detector) {
    case 'rolling':
    case 'level':
    case 'high-pass':
      return isHigh ? 'unusually-high' : 'unusually-low'
    case 'season':
      return 'unusual-for-the-time-of-day'
    case 'jump':
      return 'unusual-jump'
    case 'step':
      return 'unusual-step'
    case 'drift':
      return 'drifting'
    case 'stuck':
      return 'stuck'
    case 'mode':
      return 'between-modes'
    case 'spike':
      return 'spike'
    case 'relation':
      return 'does-not-fit-the-other-signals'
    case 'missing':
      return 'missing'
    case 'silence':
      return 'no-data'
    case 'rate':
      return 'changes-too-fast'
    case 'hard-limit':
      return isHigh ? 'above-limit' : 'below-limit'
    default:
      return detector satisfies never
  }
}

function distanceOf(observed: number, min: number, max: number): number {
  const outside = observed > max ? observed - max : observed < min ? min - observed : 0
  return outside === 0 ? 0 : outside / Math.max(max - min, 1e-12)
}

export function toBase64(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))
}

export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
}
