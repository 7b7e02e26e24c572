/**
 * What travels about alerts: the events that make an alert's history, and the alert folded from them.
 * States follow ISA-18.2: active or returned, unacknowledged or acknowledged; returned and acknowledged is normal.
 */
import { z } from 'zod'
import { Priority } from './device-model.ts'

export const AlertCondition = z.enum(['high-high', 'low-low', 'unusual'])
export type AlertCondition = z.infer<typeof AlertCondition>

/** Why an alert was raised, complete enough to draw it and to recompute it. Times are milliseconds since 1970. */
export const Evidence = z.object({
  detector: z.enum(['rolling-robust', 'hard-limit']),
  detectorVersion: z.number().int(),
  reason: z.enum(['unusually-high', 'unusually-low', 'above-limit', 'below-limit']),
  observed: z.number(),
  expectedMin: z.number(),
  expectedMax: z.number(),
  /** Distance from the expected range's middle, in robust standard deviations. */
  score: z.number(),
  firstSeenMs: z.number(),
  baselineFromMs: z.number(),
  baselineReadings: z.number().int(),
  /** The window that fired: every reading the detector saw, the last one raising the alert. */
  window: z.object({ timesMs: z.array(z.number()), values: z.array(z.number()) }),
  /** Other signals of the device that moved at the same time. */
  alsoMoving: z.array(z.object({ signal: z.string(), score: z.number() })),
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
