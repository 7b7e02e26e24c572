/**
 * Watches the signals of one device, alone and together, and turns verdicts on single readings into alerts: one an
 * episode. Signals that start to move while an episode of the same device is open are evidence for it, not alerts of
 * their own, unless they pass a hard limit: a limit has its own cause and consequence.
 */
import type { DetectedEvent, Evidence } from '../contract/alert.ts'
import type { DeviceModel, LimitAlarm } from '../contract/device-model.ts'
import { unusualAlarm } from '../contract/device-model.ts'
import { alertIdOf } from './alert-id.ts'
import { isAbnormal, isCoolingDown, isDoubtful, isEnough, isStillOut, keptRange, onsetOf, quiet, rememberEnded } from './episode.ts'
import type { ActivePhase, Cooldown, Finding, Onset, Phase } from './episode.ts'
import { standardConfiguration } from './configuration.ts'
import type { DetectionConfiguration } from './configuration.ts'
import { evidenceOf } from './evidence.ts'
import { judge } from './judge-series.ts'
import { newJudgement } from './judgement.ts'
import type { SeriesTraits } from './judgement.ts'
import { adoptLevel, learn } from './learn-series.ts'
import { newRecent, rememberRecent } from './recent.ts'
import { judgeMoment, learnMoment, newMomentJudgement, newRelation, relationBytes, renew } from './relation.ts'
import type { RelationState } from './relation.ts'
import { isLearning, silentForMs } from './series-knowledge.ts'
import { newSeriesState, seriesBytes, slot } from './series-state.ts'
import type { SeriesState } from './series-state.ts'
import { episodeSettings, relationSettings, settings } from './settings.ts'

export type SignalWatch = {
  readonly signal: string
  readonly state: SeriesState
  readonly recent: Float64Array
  phase: Phase
  readonly cooldown: Cooldown
  /** The last reading's place in its device's account. */
  bootId: string
  seq: number
  /** By the device's model; worked out again when that changes. */
  traits: SeriesTraits | undefined
}

export type DeviceWatch = {
  readonly deviceId: string
  /** Readings are left out on the way here, so that silence means nothing and moments are never whole. */
  readonly isThinned: boolean
  readonly configuration: DetectionConfiguration
  modelId: string
  readonly signals: Map<string, SignalWatch>
  /** Of all signals together, in the order of `signals`; undefined until each of them has been learned. */
  relation: RelationState | undefined
  /** The last alerts of the edge that have ended here: told of again, they do not begin again. */
  readonly endedEdgeAlerts: string[]
}

export type WatchOptions = { readonly isThinned?: boolean; readonly configuration?: DetectionConfiguration }

export function newDeviceWatch(
  deviceId: string,
  { isThinned = false, configuration = standardConfiguration }: WatchOptions = {},
): DeviceWatch {
  return { deviceId, isThinned, configuration, modelId: '', signals: new Map(), relation: undefined, endedEdgeAlerts: [] }
}

export function newSignalWatch(signal: string): SignalWatch {
  return {
    signal,
    state: newSeriesState(),
    recent: newRecent(),
    phase: quiet,
    cooldown: { readings: 0, severity: 0, suppressed: 0 },
    bootId: '',
    seq: 0,
    traits: undefined,
  }
}

export type WatchedReading = {
  readonly signal: string
  readonly bootId: string
  readonly seq: number
  readonly timeMs: number
  readonly value: number
}

// Used again for every reading: nothing is kept in them from one call to the next.
const judgement = newJudgement()
const moment = newMomentJudgement()

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
  const { timeMs, value } = reading
  const signal = signalOf(watch, reading.signal, model)
  const traits = signal.traits!
  judge(signal.state, timeMs, value, traits, judgement)
  if (judgement.kind === 'late') return nothing
  rememberRecent(signal.recent, timeMs, value)
  signal.bootId = reading.bootId
  signal.seq = reading.seq
  if (judgement.isGap && signal.phase.kind === 'pending') signal.phase = quiet
  const limit = model && crossedLimit(model, reading.signal, value)
  let events: DetectedEvent[] = nothing
  // Most readings are normal readings of quiet signals: they go no further.
  if (limit || judgement.severity >= episodeSettings.normalBelow || signal.phase.kind !== 'quiet') {
    const { severity, detector, expectedMin, expectedMax, isHigh } = judgement
    const finding: Finding = { severity, detector, expectedMin, expectedMax, limit }
    events = onFinding(watch, signal, { finding, isHigh, value, timeMs, nowMs, isJudged, model, before: seriesBytes(signal.state) })
  } else if (signal.cooldown.readings > 0) signal.cooldown.readings--
  learn(signal.state, timeMs, value, traits, judgement)
  if (watch.isThinned || isJudged) return events
  const together = watchMoment(watch, signal, timeMs, model, nowMs)
  return together.length === 0 ? events : [...events, ...together]
}

const nothing: DetectedEvent[] = []

function signalOf(watch: DeviceWatch, name: string, model: DeviceModel | undefined): SignalWatch {
  const modelId = model?.interface['@id'] ?? ''
  if (watch.modelId !== modelId) {
    watch.modelId = modelId
    watch.relation = undefined
    for (const signal of watch.signals.values()) signal.traits = undefined
  }
  let signal = watch.signals.get(name)
  if (!signal) {
    watch.signals.set(name, (signal = newSignalWatch(name)))
    watch.relation = undefined
  }
  signal.traits ??= traitsOf(model, name, watch)
  return signal
}

export function traitsOf(
  model: DeviceModel | undefined,
  signal: string,
  { isThinned = false, configuration = standardConfiguration }: WatchOptions = {},
): SeriesTraits {
  const known = model?.signals[signal]
  const hasModes = model !== undefined && Object.values(model.signals).some(({ watch }) => watch !== 'all')
  return {
    resolution: known?.deadband ?? 0,
    isJumpy: known !== undefined && known.watch !== 'all',
    isModal: known?.watch === 'modes',
    hasModes,
    isThinned,
    configuration,
    ratePerSMax: isThinned ? undefined : known?.ratePerSMax,
  }
}

export function crossedLimit(model: DeviceModel, signal: string, value: number): LimitAlarm | undefined {
  for (const alarm of model.alarms) {
    if (alarm.condition === 'unusual' || alarm.signal !== signal) continue
    if (alarm.direction === 'above' ? value > alarm.limit : value < alarm.limit) return alarm
  }
  return undefined
}

type Found = {
  readonly finding: Finding
  readonly isHigh: boolean
  readonly value: number
  readonly timeMs: number
  readonly nowMs: number
  readonly isJudged: boolean
  readonly model: DeviceModel | undefined
  readonly before: Uint8Array
}

function onFinding(watch: DeviceWatch, signal: SignalWatch, found: Found): DetectedEvent[] {
  const { phase } = signal
  const { finding, value, isJudged, nowMs } = found
  if (phase.kind === 'active') {
    if (isStillOut(phase, finding, value)) return isJudged ? nothing : onStillOut(watch, signal, phase, found)
    return isDoubtful(finding) ? nothing : onNormal(watch, signal, nowMs)
  }
  if (isAbnormal(finding)) return isJudged ? nothing : onAbnormal(watch, signal, found)
  if (phase.kind === 'pending' || !isDoubtful(finding)) signal.phase = quiet
  return nothing
}

function onAbnormal(watch: DeviceWatch, signal: SignalWatch, found: Found): DetectedEvent[] {
  const { finding, timeMs } = found
  const { limit } = finding
  if (!limit && otherEpisodeIsOpen(watch, signal)) {
    signal.phase = { kind: 'joined' }
    return nothing
  }
  const onset = onsetOf(signal.phase, signal.seq, timeMs)
  if (!isEnough(onset, finding, watch.configuration)) {
    signal.phase = { kind: 'pending', ...onset }
    return nothing
  }
  if (isCoolingDown(signal.cooldown, finding)) {
    signal.cooldown.suppressed++
    // What comes back and stays is told when the time is over.
    signal.cooldown.readings -= onset.readings
    signal.phase = quiet
    return nothing
  }
  return [raise(watch, signal, found, onset)]
}

/** @param name of the episode: the signal's, unless its last reading may have begun another already */
function raise(watch: DeviceWatch, signal: SignalWatch, found: Found, onset: Onset, name = signal.signal): DetectedEvent {
  const { deviceId } = watch
  const { finding, model, nowMs } = found
  const { condition, priority } = finding.limit ?? unusualAlarm(model, signal.signal)
  const alertId = alertIdOf(deviceId, name, signal.bootId, onset.firstSeq)
  const evidence = evidenceFor(watch, signal, found, onset.firstTimeMs)
  signal.phase = {
    kind: 'active',
    alertId,
    condition,
    priority,
    firstTimeMs: onset.firstTimeMs,
    isFromEdge: false,
    expected: keptRange(finding),
    severity: finding.severity,
    normalReadings: 0,
    abnormalReadings: 0,
  }
  signal.cooldown.suppressed = 0
  const modelId = model?.interface['@id'] ?? ''
  return { kind: 'raised', alertId, atMs: nowMs, deviceId, modelId, signal: signal.signal, condition, priority, evidence }
}

function evidenceFor(watch: DeviceWatch, signal: SignalWatch, found: Found, firstTimeMs: number): Evidence {
  const { finding, isHigh, value, timeMs, before } = found
  const { state, recent, cooldown } = signal
  const alsoMoving = movingSignals(watch, signal, timeMs)
  return evidenceOf({
    configurationVersion: watch.configuration.version,
    finding,
    isHigh,
    observed: value,
    atMs: timeMs,
    firstTimeMs,
    state,
    recent,
    suppressed: cooldown.suppressed,
    alsoMoving,
    before,
  })
}

function onStillOut(watch: DeviceWatch, signal: SignalWatch, phase: ActivePhase, found: Found): DetectedEvent[] {
  const { finding, nowMs } = found
  const { limit } = finding
  phase.normalReadings = 0
  phase.abnormalReadings++
  phase.severity = Math.max(phase.severity, finding.severity)
  if (limit && phase.condition !== limit.condition) {
    const { condition, priority } = limit
    phase.condition = condition
    phase.priority = priority
    const evidence = evidenceFor(watch, signal, found, phase.firstTimeMs)
    return [{ kind: 'escalated', alertId: phase.alertId, atMs: nowMs, condition, priority, evidence }]
  }
  if (limit || phase.abnormalReadings < settings.adoptReadings) return nothing
  adoptLevel(signal.state)
  return endEpisode(watch, signal, 'adopted-as-normal', nowMs)
}

function onNormal(watch: DeviceWatch, signal: SignalWatch, nowMs: number): DetectedEvent[] {
  const { phase } = signal
  if (phase.kind !== 'active') return nothing
  const offReadings = phase.isFromEdge ? episodeSettings.offReadingsUnlessTold : watch.configuration.offReadings
  return ++phase.normalReadings >= offReadings ? endEpisode(watch, signal, 'normal-again', nowMs) : nothing
}

function endEpisode(watch: DeviceWatch, signal: SignalWatch, why: 'normal-again' | 'adopted-as-normal', nowMs: number): DetectedEvent[] {
  const { phase, cooldown } = signal
  if (phase.kind !== 'active') return nothing
  signal.phase = quiet
  cooldown.readings = watch.configuration.cooldownReadings
  cooldown.severity = phase.severity
  if (phase.isFromEdge) rememberEnded(watch.endedEdgeAlerts, phase.alertId)
  return [{ kind: 'returned', alertId: phase.alertId, atMs: nowMs, why }]
}

/** All signals together, once each of them has a reading of the same moment. */
function watchMoment(
  watch: DeviceWatch,
  arrived: SignalWatch,
  timeMs: number,
  model: DeviceModel | undefined,
  nowMs: number,
): DetectedEvent[] {
  watch.relation ??= relationFor(watch, model)
  const { relation, signals } = watch
  if (!relation) return nothing
  let index = 0
  for (const signal of signals.values()) {
    if (signal === arrived) break
    index++
  }
  const { numbers } = arrived.state
  if (!renew(relation, index, numbers[slot.lastValue]!, timeMs, numbers[slot.intervalMs]! / 2)) return nothing
  judgeMoment(relation, moment, watch.configuration)
  let events = nothing
  if (moment.severity >= 1) {
    const signal = [...signals.values()][moment.worst]!
    const { severity, expectedMin, expectedMax, isHigh } = moment
    const finding: Finding = { severity, detector: 'relation', expectedMin, expectedMax, limit: undefined }
    const value = signal.state.numbers[slot.lastValue]!
    events = onFinding(watch, signal, { finding, isHigh, value, timeMs, nowMs, isJudged: false, model, before: relationBytes(relation) })
  }
  learnMoment(relation, moment, isAnythingOpen(watch))
  return events
}

function relationFor(watch: DeviceWatch, model: DeviceModel | undefined): RelationState | undefined {
  const { signals } = watch
  if (signals.size < 2 || signals.size > relationSettings.signalsMax) return undefined
  const traits: SeriesTraits[] = []
  for (const signal of signals.values()) {
    if (isLearning(signal.state)) return undefined
    // A watch that was just restored must begin where it would have begun otherwise.
    traits.push((signal.traits ??= traitsOf(model, signal.signal, watch)))
  }
  return newRelation(
    traits.map(({ resolution }) => resolution),
    traits.some(({ isJumpy }) => isJumpy),
  )
}

/**
 * Finds signals that have fallen silent while their device went on; called after each of its messages.
 * @param timeMs event time of the newest reading
 */
export function watchSilence(watch: DeviceWatch, timeMs: number, model: DeviceModel | undefined, nowMs: number): DetectedEvent[] {
  if (watch.isThinned) return nothing
  const events: DetectedEvent[] = []
  for (const signal of watch.signals.values()) {
    if (timeMs - signal.state.numbers[slot.lastTimeMs]! < settings.missingMs || signal.phase.kind !== 'quiet') continue
    if (silentForMs(signal.state, timeMs) === undefined || otherEpisodeIsOpen(watch, signal)) continue
    const value = signal.state.numbers[slot.lastValue]!
    const finding: Finding = { severity: 1, detector: 'missing', expectedMin: value, expectedMax: value, limit: undefined }
    const onset: Onset = { readings: 1, firstSeq: signal.seq, firstTimeMs: signal.state.numbers[slot.lastTimeMs]! }
    const found: Found = { finding, isHigh: false, value, timeMs, nowMs, isJudged: false, model, before: seriesBytes(signal.state) }
    events.push(raise(watch, signal, found, onset, `${signal.signal}/missing`))
  }
  return events
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
  if (!watch.signals.has(signalName)) return nothing
  const signal = signalOf(watch, signalName, model)
  const traits = signal.traits!
  judge(signal.state, timeMs, mean, traits, judgement)
  if (judgement.kind === 'late') return nothing
  rememberRecent(signal.recent, timeMs, mean)
  const { phase } = signal
  const { severity, detector, expectedMin, expectedMax } = judgement
  const finding: Finding = { severity, detector, expectedMin, expectedMax, limit: undefined }
  const isCalm = severity < episodeSettings.normalBelow && (phase.kind !== 'active' || !isStillOut(phase, finding, mean))
  learn(signal.state, timeMs, mean, traits, judgement)
  if (!isCalm) return nothing
  if (phase.kind === 'active') return onNormal(watch, signal, nowMs)
  signal.phase = quiet
  return nothing
}

export function otherEpisodeIsOpen(watch: DeviceWatch, except: SignalWatch): boolean {
  for (const signal of watch.signals.values()) if (signal !== except && signal.phase.kind === 'active') return true
  return false
}

function isAnythingOpen(watch: DeviceWatch): boolean {
  for (const signal of watch.signals.values()) if (signal.phase.kind !== 'quiet') return true
  return false
}

function movingSignals(watch: DeviceWatch, except: SignalWatch, nowMs: number): Evidence['alsoMoving'] {
  const moving: Evidence['alsoMoving'] = []
  for (const signal of watch.signals.values()) {
    const { numbers } = signal.state
    const severity = numbers[slot.severity]!
    const isRecent = Math.abs(nowMs - numbers[slot.lastTimeMs]!) <= episodeSettings.movingWithinMs
    if (signal !== except && isRecent && severity >= episodeSettings.movingSeverity) moving.push({ signal: signal.signal, severity })
  }
  return moving.sort((a, b) => b.severity - a.severity)
}

/** Nothing abnormal is open or begins. */
export function isQuiet(watch: DeviceWatch, signalName: string): boolean {
  return (watch.signals.get(signalName)?.phase.kind ?? 'quiet') === 'quiet'
}

export type SignalCondition = 'learning' | 'fine' | 'alarm'

/** The state a person sees of one signal. */
export function signalCondition({ phase, state }: SignalWatch): SignalCondition {
  if (phase.kind === 'active' || phase.kind === 'joined') return 'alarm'
  return isLearning(state) ? 'learning' : 'fine'
}
