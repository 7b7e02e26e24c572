/** What the HTTP API under /api/v1 answers; the page and its tests read by these shapes. Times in milliseconds since 1970 unless a name ends in `At`. */
import { z } from 'zod'
import { Alert, AlertFacts, AlertState, DetectorName, Evidence, Standing } from './alert.ts'
import { Priority } from './device-model.ts'
import { LedgerCounts } from './ledger.ts'

/** Each role may do what those before it may. */
export const Role = z.enum(['viewer', 'operator', 'engineer'])
export type Role = z.infer<typeof Role>

export const Health = z
  .object({
    status: z.literal('ok'),
    devices: z.number(),
    lastReading: z.string().nullable(),
    signedIn: z.boolean(),
    /** Who asks; null for somebody who has not signed in. */
    user: z.object({ name: z.string(), role: Role }).nullable(),
  })
  .meta({ id: 'Health' })
export type Health = z.infer<typeof Health>

/** Every sensor is in exactly one of these; the sum is the fleet. */
export const SensorState = z.enum(['alarm', 'shelved', 'no-data', 'bad-clock', 'learning', 'no-rule', 'fine'])
export type SensorState = z.infer<typeof SensorState>

export const SignalView = z.object({
  signal: z.string(),
  name: z.string(),
  unit: z.string(),
  timeMs: z.number(),
  value: z.number(),
  condition: z.enum(['learning', 'fine', 'alarm']),
  state: SensorState,
  limits: z.array(z.object({ limit: z.number(), direction: z.enum(['above', 'below']) })),
})
export type SignalView = z.infer<typeof SignalView>

export const DeviceView = z
  .object({
    deviceId: z.string(),
    modelId: z.string(),
    /** Display name of the model, empty when it is not known. */
    kind: z.string(),
    lastSeenMs: z.number(),
    /** Longer silence than this is an alarm. */
    silentAfterMs: z.number(),
    /** The gateway it speaks through; empty when it speaks for itself. */
    gatewayId: z.string(),
    site: z.string(),
    line: z.string(),
    latitude: z.number().optional(),
    longitude: z.number().optional(),
    /** How far its clock seems to be behind the hub's; negative: ahead. */
    clockBehindMs: z.number(),
    /** Every device is in exactly one of these. */
    condition: z.enum(['no-data', 'alarm', 'learning', 'fine']),
    signals: z.array(SignalView),
    ledger: LedgerCounts,
  })
  .meta({ id: 'Device' })
export type DeviceView = z.infer<typeof DeviceView>

export const DeviceList = z.object({ devices: z.array(DeviceView) }).meta({ id: 'DeviceList' })
export type DeviceList = z.infer<typeof DeviceList>

/** The detector's own state stays behind: `alerts/{id}/explain` recomputes with it. */
const EvidenceView = Evidence.omit({ before: true })

const AlertWords = z.object({
  standing: Standing,
  /** Rises with everything that happens to the alert. */
  version: z.number(),
  deviceKind: z.string(),
  signalName: z.string(),
  unit: z.string(),
  site: z.string(),
  line: z.string(),
  /** Why it was raised, in a sentence. */
  explanation: z.string(),
  translations: z.object({ de: z.string() }),
  respondWithinMin: z.number(),
  isChattering: z.boolean(),
  isFleeting: z.boolean(),
  isStale: z.boolean(),
})

/** A row of the list, and what live pages are told. */
export const AlertItem = AlertFacts.omit({ evidence: true, episodesMs: true, episodeLengthsMs: true })
  .extend(AlertWords.shape)
  .meta({ id: 'AlertItem' })
export type AlertItem = z.infer<typeof AlertItem>

export const AlertView = Alert.extend({
  ...AlertWords.shape,
  evidence: EvidenceView,
  /** Other signals that moved at the same time, by the names people know. */
  alsoMoving: z.array(z.object({ signal: z.string(), name: z.string(), severity: z.number() })),
  rationale: z.object({ cause: z.string(), consequence: z.string(), action: z.string(), respondWithinMin: z.number() }),
  suggestedDeadband: z.object({ width: z.number(), unit: z.string() }).optional(),
}).meta({ id: 'Alert' })
export type AlertView = z.infer<typeof AlertView>

const NextPage = { /** Give it back as `cursor` for the next page; absent on the last one. */ next: z.string().optional() }
export const AlertList = z.object({ alerts: z.array(AlertView), ...NextPage }).meta({ id: 'AlertList' })
export type AlertList = z.infer<typeof AlertList>
export const AlertItems = z
  .object({
    alerts: z.array(AlertItem),
    ...NextPage,
    /** The flood that lasts now. */
    flood: z.object({ sinceMs: z.number(), alerts: z.number() }).nullable(),
  })
  .meta({ id: 'AlertItems' })
export type AlertItems = z.infer<typeof AlertItems>

export const Delivery = z
  .object({
    about: z.string(),
    transition: z.string(),
    channel: z.string(),
    status: z.enum(['waiting', 'delivered', 'given-up', 'not-needed']),
    attempts: z.number(),
    plannedMs: z.number(),
    nextAttemptMs: z.number(),
    lastError: z.string(),
    workOrder: z.string(),
  })
  .meta({ id: 'Delivery' })
export type Delivery = z.infer<typeof Delivery>
export const DeliveryList = z.object({ deliveries: z.array(Delivery) })
export type DeliveryList = z.infer<typeof DeliveryList>

/** How far the app is behind the log; what it has applied is written down every few seconds. */
export const PartitionList = z.object({
  partitions: z.array(
    z.object({
      partition: z.string(),
      appliedSequence: z.number(),
      lastSequence: z.number(),
      behind: z.number(),
      lastEnqueuedMs: z.number().nullable(),
    }),
  ),
})
export type PartitionList = z.infer<typeof PartitionList>

export const HistoryEntry = z.object({
  kind: z.string(),
  atMs: z.number(),
  priority: Priority.optional(),
  by: z.string().optional(),
  /** Note, reason, comment: what was said with it. */
  note: z.string().optional(),
  why: z.string().optional(),
  to: z.string().optional(),
  untilMs: z.number().optional(),
  number: z.string().optional(),
  status: z.string().optional(),
  isTrueAlarm: z.boolean().optional(),
})

export const AlertDetail = AlertView.extend({
  history: z.array(HistoryEntry),
  deliveries: z.array(Delivery),
  /** The incident it belongs to, root first; empty when it stands alone. */
  incident: z.array(AlertItem),
  /** Earlier alerts of the same condition, newest first. */
  earlier: z.array(AlertItem),
}).meta({ id: 'AlertDetail' })
export type AlertDetail = z.infer<typeof AlertDetail>

const PriorityCounts = z.object({ critical: z.number(), high: z.number(), medium: z.number(), low: z.number() })
const Rate = z.object({ perHour: z.number(), perDay: z.number() })
const BadActor = z.object({
  deviceId: z.string(),
  signal: z.string(),
  signalName: z.string(),
  annunciations: z.number(),
  share: z.number(),
})
/** How good the alarms are, by ISA-18.2-2016 §16. */
export const Kpis = z
  .object({
    from: z.string(),
    to: z.string(),
    operators: z.number(),
    /** Fewer than thirty days say little. */
    days: z.number(),
    annunciations: z.number(),
    ratePerOperator: Rate,
    /** Ten-minute periods with more than ten alerts for an operator, as a share of all. */
    floodShare: z.number(),
    peakPer10Min: z.number(),
    floods: z.array(z.object({ sinceMs: z.number(), untilMs: z.number().nullable(), alerts: z.number() })),
    priorities: PriorityCounts,
    top10Share: z.number(),
    badActors: z.array(BadActor),
    chattering: z.number(),
    fleeting: z.number(),
    stale: z.number(),
    shelved: z.number(),
    suppressed: z.number(),
    outOfService: z.number(),
    /** Null when nothing was acknowledged. */
    medianAcknowledgeMs: z.number().nullable(),
    judgedFalse: z.number(),
    judgedTrue: z.number(),
  })
  .meta({ id: 'Kpis' })
export type Kpis = z.infer<typeof Kpis>

/** How an open page gets told: null when there is no live channel here. */
export const LiveAccess = z.object({ url: z.string().nullable() })

/** A device's newest values: signal, event time, value, condition. */
const LiveDevice = z.object({
  deviceId: z.string(),
  lastSeenMs: z.number(),
  signals: z.array(z.tuple([z.string(), z.number(), z.number(), z.enum(['learning', 'fine', 'alarm'])])),
})
export type LiveDevice = z.infer<typeof LiveDevice>

/** What a live channel carries; `groups` of Web PubSub have the same names. */
export const LiveMessage = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('alerts'), alerts: z.array(AlertItem) }),
  z.object({ kind: z.literal('devices'), devices: z.array(LiveDevice) }),
])
export type LiveMessage = z.infer<typeof LiveMessage>
export const liveGroups = { alerts: 'alerts', devices: 'devices' } as const
export const liveHub = 'millwright'

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
  /** What was between two points: the value of the first (`step`), as a deadband at the edge has it, or a line. */
  interpolation: z.enum(['step', 'linear']),
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
  /** When it was sent again; null while it lies. */
  replayedAt: z.string().nullable(),
})
export type DeadLetterView = z.infer<typeof DeadLetterView>
export const DeadLetterList = z.object({ deadLetters: z.array(DeadLetterView) })

/** A whole message that was set aside: as text where it is text. */
export const DeadLetterDetail = DeadLetterView.extend({ body: z.string(), encoding: z.enum(['utf8', 'base64']) }).meta({ id: 'DeadLetter' })
export type DeadLetterDetail = z.infer<typeof DeadLetterDetail>

export const AlertStateFilter = z.enum([
  'open',
  'all',
  'shelved',
  'suppressed',
  'out-of-service',
  'pending',
  'closed',
  ...AlertState.options,
])
