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
    }

export type DeviceWatch = {
  readonly deviceId: string
  readonly signals: Map<string, SignalWatch>
}

export function newDeviceWatch(deviceId: string): DeviceWatch {
  return { deviceId, signals: new Map() }
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
 */
export function watchReading(watch: DeviceWatch, reading: WatchedReading, model: DeviceModel | undefined, nowMs: number): DetectedEvent[] {
  let signal = watch.signals.get(reading.signal)
  if (!signal) {
    signal = { signal: reading.signal, state: newSeriesState(), phase: { kind: 'quiet' } }
    watch.signals.set(reading.signal, signal)
  }
  const verdict = observe(signal.state, reading.timeMs, reading.value, model?.signals[reading.signal]?.deadband ?? 0)
  if (verdict.kind === 'late') return []
  const limit = crossedLimit(model, reading)
  if (verdict.kind === 'adopted' && !limit) return endEpisode(signal, 'adopted-as-normal', nowMs)
  const isWatched = model?.signals[reading.signal]?.watch !== 'limits'
  const isAbnormal = limit !== undefined || (verdict.kind === 'anomaly' && isWatched)
  if (isAbnormal) return onAbnormal(watch, signal, reading, model, verdict, limit, nowMs)
  // Between the thresholds an open episode goes on, and a pending one does not grow: hysteresis.
  if (verdict.kind === 'doubtful' && isWatched) {
    if (signal.phase.kind === 'pending') signal.phase = { kind: 'quiet' }
    return []
  }
  return onNormal(signal, nowMs)
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
  return verdict.kind === 'normal' ? onNormal(signal, nowMs) : []
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
  if (onset.readings < episodeSettings.onReadings) {
    signal.phase = { kind: 'pending', ...onset }
    return []
  }
  const record = limit ?? unusualAlarm(model, reading.signal)
  const alertId = alertIdOf(watch.deviceId, reading.signal, reading.bootId, onset.firstSeq)
  const { condition, priority } = record
  signal.phase = { kind: 'active', alertId, condition, priority, firstTimeMs: onset.firstTimeMs, normalReadings: 0 }
  const evidence = evidenceOf(watch, signal, reading, verdict, limit, onset.firstTimeMs)
  const modelId = model?.interface['@id'] ?? ''
  return [
    { kind: 'raised', alertId, atMs: nowMs, deviceId: watch.deviceId, modelId, signal: reading.signal, condition, priority, evidence },
  ]
}

function onNormal(signal: SignalWatch, nowMs: number): DetectedEvent[] {
  const { phase } = signal
  if (phase.kind !== 'active') {
    signal.phase = { kind: 'quiet' }
    return []
  }
  if (phase.normalReadings + 1 >= episodeSettings.offReadings) return endEpisode(signal, 'normal-again', nowMs)
  signal.phase = { ...phase, normalReadings: phase.normalReadings + 1 }
  return []
}

function endEpisode(signal: SignalWatch, why: 'normal-again' | 'adopted-as-normal', nowMs: number): DetectedEvent[] {
  const { phase } = signal
  signal.phase = { kind: 'quiet' }
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

export type SignalCondition = 'learning' | 'fine' | 'alarm'

/** The state a person sees of one signal. */
export function signalCondition(signal: SignalWatch): SignalCondition {
  if (signal.phase.kind === 'active' || signal.phase.kind === 'joined') return 'alarm'
  return isLearning(signal.state) ? 'learning' : 'fine'
}
