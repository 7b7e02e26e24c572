/**
 * What travels about alerts: the events that make an alert's history, and the alert folded from them. Words and states
 * follow ISA-18.2 / IEC 62682 and OPC UA Part 9: active or returned, unacknowledged or acknowledged; returned and
 * acknowledged is normal. Shelved, suppressed by design and out of service stand beside these.
 */
import { z } from 'zod'
import { Priority } from './device-model.ts'

export const AlertCondition = z.enum(['high-high', 'low-low', 'unusual', 'no-data'])
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
  'mode',
  'spike',
  'relation',
  'missing',
  'rate',
  'hard-limit',
  'silence',
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
  'between-modes',
  'spike',
  'missing',
  'no-data',
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

/** What an alert without a signal is about; absent: a device. */
export const AlertScope = z.enum(['gateway', 'site', 'plant'])
export type AlertScope = z.infer<typeof AlertScope>

/** Devices that a gateway's or a site's alert stands for; of many, the first ones by name. */
const Affected = z.object({ count: z.number().int(), deviceIds: z.array(z.string()) })

const eventBase = { alertId: z.string(), atMs: z.number() }
const byPerson = { ...eventBase, by: z.string() }

const Raised = z.object({
  ...eventBase,
  kind: z.literal('raised'),
  deviceId: z.string(),
  modelId: z.string(),
  /** Empty when the whole device (gateway, site) is meant. */
  signal: z.string(),
  scope: AlertScope.optional(),
  condition: AlertCondition,
  priority: Priority,
  evidence: Evidence,
  affected: Affected.optional(),
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
  why: z.enum(['normal-again', 'adopted-as-normal', 'data-again']),
})
/** The same condition came back while the alert was open, or soon after: another episode of it. */
const Recurred = z.object({
  ...eventBase,
  kind: z.literal('recurred'),
  episodeId: z.string(),
  condition: AlertCondition,
  priority: Priority,
  evidence: Evidence,
})
/** In the history of an episode: it belongs to another alert. */
const Joined = z.object({ ...eventBase, kind: z.literal('joined'), into: z.string() })

/** Of the clock: delays, expiries, what is due. */
const Announced = z.object({ ...eventBase, kind: z.literal('announced') })
const Settled = z.object({ ...eventBase, kind: z.literal('settled') })
const ReAlarmed = z.object({ ...eventBase, kind: z.literal('re-alarmed') })

/** Of the plant: what an alert has to do with others. */
const Grouped = z.object({ ...eventBase, kind: z.literal('grouped'), incidentId: z.string() })
const Suppressed = z.object({ ...eventBase, kind: z.literal('suppressed'), incidentId: z.string() })
const Unsuppressed = z.object({ ...eventBase, kind: z.literal('unsuppressed') })
const WorkOrderLinked = z.object({
  ...eventBase,
  kind: z.literal('work-order'),
  number: z.string(),
  status: z.enum(['opened', 'linked', 'closed']),
  note: z.string(),
})

/** Of people. */
const Acknowledged = z.object({
  ...byPerson,
  kind: z.literal('acknowledged'),
  note: z.string(),
  /** Of the link in a message that it came by; a link is good once. */
  linkId: z.string().optional(),
})
const Shelved = z.object({ ...byPerson, kind: z.literal('shelved'), untilMs: z.number(), reason: z.string() })
const Unshelved = z.object({ ...byPerson, kind: z.literal('unshelved') })
const TakenOutOfService = z.object({ ...byPerson, kind: z.literal('out-of-service'), reason: z.string() })
const BackInService = z.object({ ...byPerson, kind: z.literal('in-service') })
const Assigned = z.object({ ...byPerson, kind: z.literal('assigned'), to: z.string() })
const Commented = z.object({ ...byPerson, kind: z.literal('commented'), text: z.string() })
const Cleared = z.object({ ...byPerson, kind: z.literal('cleared'), note: z.string() })
const Reopened = z.object({ ...byPerson, kind: z.literal('reopened'), reason: z.string() })
const Judged = z.object({ ...byPerson, kind: z.literal('judged'), isTrueAlarm: z.boolean(), note: z.string() })

/** The part of the history that detection writes. */
export const DetectedEvent = z.discriminatedUnion('kind', [Raised, Escalated, Returned])
export type DetectedEvent = z.infer<typeof DetectedEvent>
export const AlertEvent = z.discriminatedUnion('kind', [
  Raised,
  Escalated,
  Returned,
  Recurred,
  Joined,
  Announced,
  Settled,
  ReAlarmed,
  Grouped,
  Suppressed,
  Unsuppressed,
  WorkOrderLinked,
  Acknowledged,
  Shelved,
  Unshelved,
  TakenOutOfService,
  BackInService,
  Assigned,
  Commented,
  Cleared,
  Reopened,
  Judged,
])
export type AlertEvent = z.infer<typeof AlertEvent>

export const AlertState = z.enum(['active-unacknowledged', 'active-acknowledged', 'returned-unacknowledged', 'normal'])
export type AlertState = z.infer<typeof AlertState>

export const Alert = z.object({
  alertId: z.string(),
  deviceId: z.string(),
  modelId: z.string(),
  signal: z.string(),
  scope: AlertScope.optional(),
  condition: AlertCondition,
  priority: Priority,
  state: AlertState,
  raisedAtMs: z.number(),
  /** The present episode began; the first one at `raisedAtMs`. */
  activeSinceMs: z.number(),
  lastEventMs: z.number(),
  /** Raised, and not told of before its on-delay is over. */
  isPending: z.boolean(),
  /** Detection says normal again; with an off-delay or a latch the alert is still active. */
  recoveringSinceMs: z.number().optional(),
  returnedAtMs: z.number().optional(),
  /** Stays active after its return until somebody clears it. */
  isLatched: z.boolean(),
  closedAtMs: z.number().optional(),
  acknowledged: z.object({ by: z.string(), note: z.string(), atMs: z.number() }).optional(),
  shelved: z.object({ by: z.string(), untilMs: z.number(), reason: z.string(), atMs: z.number() }).optional(),
  outOfService: z.object({ by: z.string(), reason: z.string(), atMs: z.number() }).optional(),
  /** The alert at the root of the incident this one belongs to. */
  incidentId: z.string().optional(),
  /** A consequence of the root: shown with it, told of with it. */
  isSuppressed: z.boolean(),
  assignee: z.string().optional(),
  /** Episodes, this one included. */
  occurrences: z.number().int(),
  /** When they began, the newest last, at most `episodesKept`. */
  episodesMs: z.array(z.number()),
  /** How long each of them lasted, as far as it has ended; the same order. */
  episodeLengthsMs: z.array(z.number()),
  workOrder: z.object({ number: z.string(), isOpen: z.boolean() }).optional(),
  feedback: z.object({ by: z.string(), isTrueAlarm: z.boolean(), note: z.string() }).optional(),
  affected: Affected.optional(),
  evidence: Evidence,
})
export type Alert = z.infer<typeof Alert>

/** Episodes an alert remembers, for finding those that chatter. */
export const episodesKept = 20

/** What a list and a live message tell of an alert: all but the window that fired. */
export const AlertFacts = Alert.omit({ evidence: true }).extend({ evidence: Evidence.omit({ window: true, before: true }) })
export type AlertFacts = z.infer<typeof AlertFacts>

export type AlertStanding = Pick<Alert, 'state' | 'isPending' | 'shelved' | 'outOfService' | 'isSuppressed'>

/** Where an alert stands: exactly one of these. Those `open` are on the operator's list. */
export const Standing = z.enum(['open', 'pending', 'shelved', 'suppressed', 'out-of-service', 'closed'])
export type Standing = z.infer<typeof Standing>

export function standingOf({ state, isPending, shelved, outOfService, isSuppressed }: AlertStanding): Standing {
  if (outOfService) return 'out-of-service'
  if (shelved) return 'shelved'
  if (state === 'normal') return 'closed'
  if (isPending) return 'pending'
  return isSuppressed ? 'suppressed' : 'open'
}

/** The detector's own state and the window stay behind. */
export function factsOf({ evidence, ...alert }: Alert): AlertFacts {
  const { window: _window, before: _state, ...kept } = evidence
  return { ...alert, evidence: kept }
}
