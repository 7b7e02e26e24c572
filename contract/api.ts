/** What the HTTP API under /api/v1 answers; the page and its tests read by these shapes. Times in milliseconds since 1970 unless a name ends in `At`. */
import { z } from 'zod'
import { Alert, AlertState, DetectorName, Evidence } from './alert.ts'
import { Priority } from './device-model.ts'
import { LedgerCounts } from './ledger.ts'

export const Health = z.object({ status: z.literal('ok'), devices: z.number(), lastReading: z.string().nullable(), signedIn: z.boolean() })
export type Health = z.infer<typeof Health>

export const SignalView = z.object({
  signal: z.string(),
  name: z.string(),
  unit: z.string(),
  timeMs: z.number(),
  value: z.number(),
  condition: z.enum(['learning', 'fine', 'alarm']),
  limits: z.array(z.object({ limit: z.number(), direction: z.enum(['above', 'below']) })),
})
export type SignalView = z.infer<typeof SignalView>

export const DeviceView = z.object({
  deviceId: z.string(),
  modelId: z.string(),
  /** Display name of the model, empty when it is not known. */
  kind: z.string(),
  lastSeenMs: z.number(),
  /** How far its clock seems to be behind the hub's; negative: ahead. */
  clockBehindMs: z.number(),
  /** Every device is in exactly one of these. */
  condition: z.enum(['no-data', 'alarm', 'learning', 'fine']),
  signals: z.array(SignalView),
  ledger: LedgerCounts,
})
export type DeviceView = z.infer<typeof DeviceView>

export const DeviceList = z.object({ devices: z.array(DeviceView) })

/** The detector's own state stays behind: `alerts/{id}/explain` recomputes with it. */
const EvidenceView = Evidence.omit({ before: true })

export const AlertView = Alert.extend({
  evidence: EvidenceView,
  deviceKind: z.string(),
  signalName: z.string(),
  unit: z.string(),
  /** Why it was raised, in a sentence. */
  explanation: z.string(),
  /** Other signals that moved at the same time, by the names people know. */
  alsoMoving: z.array(z.object({ signal: z.string(), name: z.string(), severity: z.number() })),
  rationale: z.object({ cause: z.string(), consequence: z.string(), action: z.string(), respondWithinMin: z.number() }),
})
export type AlertView = z.infer<typeof AlertView>

export const AlertList = z.object({ alerts: z.array(AlertView) })

export const AlertDetail = AlertView.extend({
  history: z.array(
    z.looseObject({
      kind: z.enum(['raised', 'escalated', 'returned', 'acknowledged']),
      atMs: z.number(),
      priority: Priority.optional(),
      by: z.string().optional(),
      note: z.string().optional(),
      why: z.string().optional(),
    }),
  ),
  deliveries: z.array(
    z.object({
      transition: z.string(),
      status: z.enum(['waiting', 'delivered', 'given-up']),
      attempts: z.number(),
      lastError: z.string(),
      workOrder: z.string(),
    }),
  ),
})
export type AlertDetail = z.infer<typeof AlertDetail>

/** What a stretch of a signal amounts to, point by point: minimum and maximum are exact, the median an estimate. */
export const Points = z.object({
  timesMs: z.array(z.number()),
  min: z.array(z.number()),
  max: z.array(z.number()),
  mean: z.array(z.number()),
  median: z.array(z.number()),
  deviation: z.array(z.number()),
  count: z.array(z.number()),
})
export type Points = z.infer<typeof Points>

const Verdict = z.object({ detector: DetectorName, severity: z.number(), expectedMin: z.number(), expectedMax: z.number() })

/** Why an alert was raised, asked again. */
export const AlertExplanation = z.object({
  alertId: z.string(),
  explanation: z.string(),
  evidence: EvidenceView,
  /** What the detector says today of what it saw then; absent when another version of it raised the alert. */
  recomputed: Verdict.optional(),
  /** The numbers are the same to the last bit. */
  isReproduced: z.boolean(),
})
export type AlertExplanation = z.infer<typeof AlertExplanation>

/** Why there was no alert, or which: the readings of a span judged again. Severity 1 is where an alert begins. */
export const SilenceExplanation = z.object({
  deviceId: z.string(),
  signal: z.string(),
  from: z.number(),
  to: z.number(),
  readings: z.number(),
  /** Readings before the span, by which the detectors knew the series. */
  historyReadings: z.number(),
  nearest: z.array(Verdict.extend({ timeMs: z.number(), value: z.number() })),
  abnormalReadings: z.number(),
  wouldBegin: z.number(),
  learning: z.array(DetectorName),
  /** Alerts of the device that were open in the span: other signals count as evidence for them. */
  openAlerts: z.array(z.object({ alertId: z.string(), signal: z.string(), raisedAtMs: z.number() })),
})
export type SilenceExplanation = z.infer<typeof SilenceExplanation>

export const ReadingsView = Points.extend({
  deviceId: z.string(),
  signal: z.string(),
  from: z.number(),
  to: z.number(),
  /** Width of a point. */
  resolutionMs: z.number(),
})
export type ReadingsView = z.infer<typeof ReadingsView>

export const LedgerView = z.object({ total: LedgerCounts, devices: z.array(LedgerCounts.extend({ deviceId: z.string() })) })
export type LedgerView = z.infer<typeof LedgerView>

export const DeadLetterView = z.object({
  id: z.string(),
  arrivedAt: z.string(),
  deviceId: z.string(),
  reason: z.string(),
  detail: z.string(),
  contentType: z.string(),
  bodyLength: z.number(),
  preview: z.string(),
})
export type DeadLetterView = z.infer<typeof DeadLetterView>
export const DeadLetterList = z.object({ deadLetters: z.array(DeadLetterView) })

export const AlertStateFilter = z.enum(['open', 'all', ...AlertState.options])
