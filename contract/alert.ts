/**
 * What travels about alerts: the events that make an alert's history, and the alert folded from them.
 * States follow ISA-18.2: active or returned, unacknowledged or acknowledged; returned and acknowledged is normal.
 */
import { z } from 'zod'
import { Priority } from './device-model.ts'

export const AlertCondition = z.enum(['high-high', 'low-low', 'unusual'])
export type AlertCondition = z.infer<typeof AlertCondition>

/** Which detector spoke, and what it says; see `docs/DETECTION.md`. */
export const DetectorName = z.enum([
  'rolling',
  'level',
  'high-pass',
  'season',
  'jump',
  'step',
  'drift',
  'stuck',
  'relation',
  'missing',
  'rate',
  'hard-limit',
])
export type DetectorName = z.infer<typeof DetectorName>

export const ReasonCode = z.enum([
  'above-limit',
  'below-limit',
  'changes-too-fast',
  'unusually-high',
  'unusually-low',
  'unusual-for-the-time-of-day',
  'unusual-jump',
  'unusual-step',
  'drifting',
  'does-not-fit-the-other-signals',
  'stuck',
  'missing',
])
export type ReasonCode = z.infer<typeof ReasonCode>

/** Why an alert was raised, complete enough to draw it and to recompute it. Times are milliseconds since 1970. */
export const Evidence = z.object({
  detector: DetectorName,
  detectorVersion: z.number().int(),
  configurationVersion: z.string(),
  reason: ReasonCode,
  direction: z.enum(['high', 'low']),
  observed: z.number(),
  expectedMin: z.number(),
  expectedMax: z.number(),
  /** How far outside the expected range, in widths of it; of a limit, as a share of the limit. */
  distance: z.number(),
  /** 1 is where an alert begins. */
  severity: z.number(),
  firstSeenMs: z.number(),
  durationMs: z.number(),
  baselineFromMs: z.number(),
  baselineReadings: z.number().int(),
  /** Detectors that had not seen enough of the series yet. */
  learning: z.array(DetectorName),
  /** Onsets since the last alert of the signal that were not told of, because of its cooldown. */
  suppressed: z.number().int(),
  /** The window that fired: every reading the detector saw, the last one raising the alert. */
  window: z.object({ timesMs: z.array(z.number()), values: z.array(z.number()) }),
  /** Other signals of the device that moved at the same time. */
  alsoMoving: z.array(z.object({ signal: z.string(), severity: z.number() })),
  /** State of the detector before the last reading, base64: judging that reading again gives this evidence again. */
  before: z.string(),
})
export type Evidence = z.infer<typeof Evidence>

const eventBase = { alertId: z.string(), atMs: z.number() }

const Raised = z.object({
  ...eventBase,
  kind: z.literal('raised'),
  deviceId: z.string(),
  modelId: z.string(),
  signal: z.string(),
  condition: AlertCondition,
  priority: Priority,
  evidence: Evidence,
})
const Escalated = z.object({
  ...eventBase,
  kind: z.literal('escalated'),
  condition: AlertCondition,
  priority: Priority,
  evidence: Evidence,
})
const Returned = z.object({
  ...eventBase,
  kind: z.literal('returned'),
  why: z.enum(['normal-again', 'adopted-as-normal']),
})
const Acknowledged = z.object({ ...eventBase, kind: z.literal('acknowledged'), by: z.string(), note: z.string() })

/** The part of the history that detection writes; the rest comes from people. */
export const DetectedEvent = z.discriminatedUnion('kind', [Raised, Escalated, Returned])
export type DetectedEvent = z.infer<typeof DetectedEvent>
export const AlertEvent = z.discriminatedUnion('kind', [Raised, Escalated, Returned, Acknowledged])
export type AlertEvent = z.infer<typeof AlertEvent>

export const AlertState = z.enum(['active-unacknowledged', 'active-acknowledged', 'returned-unacknowledged', 'normal'])
export type AlertState = z.infer<typeof AlertState>

export const Alert = z.object({
  alertId: z.string(),
  deviceId: z.string(),
  modelId: z.string(),
  signal: z.string(),
  condition: AlertCondition,
  priority: Priority,
  state: AlertState,
  raisedAtMs: z.number(),
  returnedAtMs: z.number().optional(),
  acknowledged: z.object({ by: z.string(), note: z.string(), atMs: z.number() }).optional(),
  evidence: Evidence,
})
export type Alert = z.infer<typeof Alert>

/** Open alerts stand on the operator's list: everything but returned and acknowledged. */
export function isOpen(alert: Alert): boolean {
  return alert.state !== 'normal'
}
