/** Alerts for tests: events with all they must have, and a desk whose channels only remember. */
import type { AlertEvent, Evidence } from '../../contract/alert.ts'
import { foldAlert } from '../../cloud-functions/alerting/alert-life.ts'
import type { Alert } from '../../contract/alert.ts'

export const evidence: Evidence = {
  detector: 'rolling',
  detectorVersion: 2,
  configurationVersion: 'standard',
  reason: 'unusually-high',
  direction: 'high',
  observed: 4.2,
  expectedMin: 1.8,
  expectedMax: 2.4,
  distance: 3,
  severity: 30,
  firstSeenMs: 900,
  durationMs: 100,
  baselineFromMs: 0,
  baselineReadings: 60,
  learning: [],
  suppressed: 0,
  before: '',
  window: { timesMs: [1], values: [4.2] },
  alsoMoving: [{ signal: 'motorCurrentA', severity: 12 }],
}

export const pumpModel = 'dtmi:millwright:CentrifugalPump;1'

type RaisedEvent = Extract<AlertEvent, { kind: 'raised' }>

export function raisedEvent(changes: Partial<RaisedEvent> = {}): RaisedEvent {
  const atMs = changes.atMs ?? 1_000
  return {
    kind: 'raised',
    alertId: '0123456789abcdef',
    deviceId: 'pump-1',
    modelId: pumpModel,
    signal: 'vibrationMmPerS',
    condition: 'unusual',
    priority: 'medium',
    evidence: { ...evidence, firstSeenMs: atMs - 100 },
    ...changes,
    atMs,
  }
}

export function alertOf(...events: readonly AlertEvent[]): Alert {
  return foldAlert(events)!
}

/** Sixteen hexadecimal digits, as an alert's id has. */
export function idOf(number: number): string {
  return number.toString(16).padStart(16, '0')
}
