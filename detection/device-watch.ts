/**
 * Episodes: from verdicts on single readings to what a person must act on. An episode begins after several abnormal
 * readings in a row, ends after several normal ones, and is one alert however long it lasts. Signals that start to
 * move while an episode of the same device is open are evidence for it, not alerts of their own, unless they pass
 * a hard limit: a limit has its own cause and consequence.
 */
import type { AlertCondition, DetectedEvent, Evidence } from '../contract/alert.ts'
import type { DeviceModel, LimitAlarm, Priority } from '../contract/device-model.ts'
import { unusualAlarm } from '../contract/device-model.ts'
import { alertIdOf } from './alert-id.ts'
import { baselineSpan, detectorVersion, isLearning, lastScore, newSeriesState, observe, recentWindow } from './series-detector.ts'
import type { SeriesState, Verdict } from './series-detector.ts'

export const episodeSettings = {
  /** Abnormal readings in a row before an episode begins, normal ones before it ends. */
  onReadings: 2,
  offReadings: 8,
  /** An episode that the edge found ends when the edge says so; after this many normal readings without a word, anyway. */
  offReadingsUnlessTold: 240,
  endedEdgeAlertsMax: 32,
  /** A signal counts as moving along from this score on, seen within this time. */
  movingScore: 4,
  movingWithinMs: 60_000,
} as const

/** Serialisable: a watch is restored by JSON, except for `state`, which is kept as bytes. */
export type SignalWatch = {
  readonly signal: string
  readonly state: SeriesState
  phase: Phase
}

type Phase =
  | { readonly kind: 'quiet' }
  | { readonly kind: 'pending'; readonly readings: number; readonly firstSeq: number; readonly firstTimeMs: number }
  | { readonly kind: 'joined' }
  | {
      readonly kind: 'active'
      readonly alertId: string
      readonly condition: AlertCondition
      readonly priority: Priority
      readonly firstTimeMs: number
      readonly normalReadings: number
      /** Found by whoever sees every reading; it also says when the episode ends. */
      readonly isFromEdge: boolean
    }

export type DeviceWatch = {
  readonly deviceId: string
  readonly signals: Map<string, SignalWatch>
  /** The last alerts of the edge that have ended here: told of again, they do not begin again. */
  readonly endedEdgeAlerts: string[]
}

export function newDeviceWatch(deviceId: string): DeviceWatch {
  return { deviceId, signals: new Map(), endedEdgeAlerts: [] }
}

export type WatchedReading = {
  readonly signal: string
  readonly bootId: string
  readonly seq: number
  readonly timeMs: number
  readonly value: number
}

/**
 * Folds one reading into the watch and returns what happened to alerts, usually nothing.
 * @param nowMs time for the events: when the hub took the message, so that a replay writes the same
 * @param isJudged whoever saw every reading has said what was wrong with them, perhaps before they came: here they are learned
 */
export function watchReading(
  watch: DeviceWatch,
  reading: WatchedReading,
  model: DeviceModel | undefined,
  nowMs: number,
  isJudged = false,
): DetectedEvent[] {
  const signal = signalOf(watch, reading.signal)
  const verdict = observe(signal.state, reading.timeMs, reading.value, model?.signals[reading.signal]?.deadband ?? 0)
  if (verdict.kind === 'late') return []
  const limit = crossedLimit(model, reading)
  if (verdict.kind === 'adopted' && !limit) return endEpisode(watch, signal, 'adopted-as-normal', nowMs)
  const isWatched = model?.signals[reading.signal]?.watch !== 'limits'
  const isAbnormal = limit !== undefined || (verdict.kind === 'anomaly' && isWatched)
  if (isJudged && (isAbnormal || verdict.kind === 'doubtful')) return []
  if (isAbnormal) return onAbnormal(watch, signal, reading, model, verdict, limit, nowMs)
  // Between the thresholds an open episode goes on, and a pending one does not grow: hysteresis.
  if (verdict.kind === 'doubtful' && isWatched) {
    if (signal.phase.kind === 'pending') signal.phase = { kind: 'quiet' }
    return []
  }
  return onNormal(watch, signal, nowMs)
}

function signalOf(watch: DeviceWatch, name: string): SignalWatch {
  let signal = watch.signals.get(name)
  if (!signal) watch.signals.set(name, (signal = { signal: name, state: newSeriesState(), phase: { kind: 'quiet' } }))
  return signal
}

/** Readings the edge held back, as one reading at their mean: they tell that nothing happened, so they can only calm. */
export function watchFiltered(
  watch: DeviceWatch,
  signalName: string,
  timeMs: number,
  mean: number,
  model: DeviceModel | undefined,
  nowMs: number,
): DetectedEvent[] {
  const signal = watch.signals.get(signalName)
  if (!signal) return []
  const verdict = observe(signal.state, timeMs, mean, model?.signals[signalName]?.deadband ?? 0)
  return verdict.kind === 'normal' ? onNormal(watch, signal, nowMs) : []
}

function crossedLimit(model: DeviceModel | undefined, reading: WatchedReading): LimitAlarm | undefined {
  return model?.alarms.find(
    (alarm): alarm is LimitAlarm =>
      alarm.condition !== 'unusual' &&
      alarm.signal === reading.signal &&
      (alarm.direction === 'above' ? reading.value > alarm.limit : reading.value < alarm.limit),
  )
}

function onAbnormal(
  watch: DeviceWatch,
  signal: SignalWatch,
  reading: WatchedReading,
  model: DeviceModel | undefined,
  verdict: Verdict,
  limit: LimitAlarm | undefined,
  nowMs: number,
): DetectedEvent[] {
  const { phase } = signal
  if (phase.kind === 'active') {
    signal.phase = { ...phase, normalReadings: 0 }
    if (!limit || phase.condition === limit.condition) return []
    signal.phase = { ...phase, normalReadings: 0, condition: limit.condition, priority: limit.priority }
    const evidence = evidenceOf(watch, signal, reading, verdict, limit, phase.firstTimeMs)
    return [{ kind: 'escalated', alertId: phase.alertId, atMs: nowMs, condition: limit.condition, priority: limit.priority, evidence }]
  }
  const isFirst = phase.kind === 'quiet' || phase.kind === 'joined'
  const onset = isFirst ? { readings: 1, firstSeq: reading.seq, firstTimeMs: reading.timeMs } : { ...phase, readings: phase.readings + 1 }
  if (!limit && otherEpisodeIsOpen(watch, signal)) {
    signal.phase = { kind: 'joined' }
    return []
  }
  if (onset.readings < (limit?.safety ? 1 : episodeSettings.onReadings)) {
    signal.phase = { kind: 'pending', ...onset }
    return []
  }
  const record = limit ?? unusualAlarm(model, reading.signal)
  const alertId = alertIdOf(watch.deviceId, reading.signal, reading.bootId, onset.firstSeq)
  const { condition, priority } = record
  signal.phase = { kind: 'active', alertId, condition, priority, firstTimeMs: onset.firstTimeMs, normalReadings: 0, isFromEdge: false }
  const evidence = evidenceOf(watch, signal, reading, verdict, limit, onset.firstTimeMs)
  const modelId = model?.interface['@id'] ?? ''
  return [
    { kind: 'raised', alertId, atMs: nowMs, deviceId: watch.deviceId, modelId, signal: reading.signal, condition, priority, evidence },
  ]
}

function onNormal(watch: DeviceWatch, signal: SignalWatch, nowMs: number): DetectedEvent[] {
  const { phase } = signal
  if (phase.kind !== 'active') {
    signal.phase = { kind: 'quiet' }
    return []
  }
  const offReadings = phase.isFromEdge ? episodeSettings.offReadingsUnlessTold : episodeSettings.offReadings
  if (phase.normalReadings + 1 >= offReadings) return endEpisode(watch, signal, 'normal-again', nowMs)
  signal.phase = { ...phase, normalReadings: phase.normalReadings + 1 }
  return []
}

/**
 * Takes over what the edge found in the readings before its filter. One incident, whoever sees it first: what is open
 * here already only escalates, and what the edge opened is open here, too.
 */
export function watchEdgeEvent(watch: DeviceWatch, event: DetectedEvent, signalName: string): DetectedEvent[] {
  const signal = signalOf(watch, signalName)
  const { phase } = signal
  if (event.kind === 'returned') {
    if (phase.kind !== 'active' || phase.alertId !== event.alertId) return []
    signal.phase = { kind: 'quiet' }
    rememberEnded(watch, event.alertId)
    return [event]
  }
  const { condition, priority, evidence, atMs } = event
  const isLimit = condition !== 'unusual'
  if (phase.kind === 'active') {
    if (!isLimit || phase.condition === condition) return []
    signal.phase = { ...phase, condition, priority, normalReadings: 0 }
    return [{ kind: 'escalated', alertId: phase.alertId, atMs, condition, priority, evidence }]
  }
  // What escalated was raised before, and has ended here since.
  if (event.kind === 'escalated' || watch.endedEdgeAlerts.includes(event.alertId)) return []
  if (!isLimit && otherEpisodeIsOpen(watch, signal)) {
    signal.phase = { kind: 'joined' }
    return []
  }
  const { alertId } = event
  signal.phase = { kind: 'active', alertId, condition, priority, firstTimeMs: evidence.firstSeenMs, normalReadings: 0, isFromEdge: true }
  return [event]
}

function rememberEnded(watch: DeviceWatch, alertId: string): void {
  watch.endedEdgeAlerts.push(alertId)
  if (watch.endedEdgeAlerts.length > episodeSettings.endedEdgeAlertsMax) watch.endedEdgeAlerts.shift()
}

function endEpisode(watch: DeviceWatch, signal: SignalWatch, why: 'normal-again' | 'adopted-as-normal', nowMs: number): DetectedEvent[] {
  const { phase } = signal
  signal.phase = { kind: 'quiet' }
  if (phase.kind === 'active' && phase.isFromEdge) rememberEnded(watch, phase.alertId)
  return phase.kind === 'active' ? [{ kind: 'returned', alertId: phase.alertId, atMs: nowMs, why }] : []
}

function otherEpisodeIsOpen(watch: DeviceWatch, except: SignalWatch): boolean {
  for (const signal of watch.signals.values()) {
    if (signal !== except && signal.phase.kind === 'active') return true
  }
  return false
}

function evidenceOf(
  watch: DeviceWatch,
  signal: SignalWatch,
  reading: WatchedReading,
  verdict: Verdict,
  limit: LimitAlarm | undefined,
  firstSeenMs: number,
): Evidence {
  const window = recentWindow(signal.state)
  const { fromMs, readings } = baselineSpan(signal.state)
  const judged =
    'score' in verdict ? verdict : { score: 0, expectedMin: Math.min(...window.values), expectedMax: Math.max(...window.values) }
  const isHigh = limit ? limit.direction === 'above' : judged.score > 0
  return {
    detector: limit ? 'hard-limit' : 'rolling-robust',
    detectorVersion,
    reason: limit ? (isHigh ? 'above-limit' : 'below-limit') : isHigh ? 'unusually-high' : 'unusually-low',
    observed: reading.value,
    expectedMin: limit?.direction === 'below' ? limit.limit : judged.expectedMin,
    expectedMax: limit?.direction === 'above' ? limit.limit : judged.expectedMax,
    score: judged.score,
    firstSeenMs,
    baselineFromMs: fromMs,
    baselineReadings: readings,
    window,
    alsoMoving: movingSignals(watch, signal, reading.timeMs),
  }
}

function movingSignals(watch: DeviceWatch, except: SignalWatch, nowMs: number): Evidence['alsoMoving'] {
  const moving: Evidence['alsoMoving'] = []
  for (const signal of watch.signals.values()) {
    const { score, timeMs } = lastScore(signal.state)
    const isRecent = Math.abs(nowMs - timeMs) <= episodeSettings.movingWithinMs
    if (signal !== except && isRecent && Math.abs(score) >= episodeSettings.movingScore) moving.push({ signal: signal.signal, score })
  }
  return moving.sort((a, b) => Math.abs(b.score) - Math.abs(a.score))
}

/** Nothing abnormal is open or begins. */
export function isQuiet(watch: DeviceWatch, signalName: string): boolean {
  return (watch.signals.get(signalName)?.phase.kind ?? 'quiet') === 'quiet'
}

export type SignalCondition = 'learning' | 'fine' | 'alarm'

/** The state a person sees of one signal. */
export function signalCondition(signal: SignalWatch): SignalCondition {
  if (signal.phase.kind === 'active' || signal.phase.kind === 'joined') return 'alarm'
  return isLearning(signal.state) ? 'learning' : 'fine'
}
