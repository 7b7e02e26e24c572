/** Watches the signals of one device, alone and together, and turns verdicts on single readings into alerts: one an episode. */
import type { DetectedEvent } from '../contract/alert.ts'
import type { DeviceModel } from '../contract/device-model.ts'
import { courseOf, settle } from './aftermath.ts'
import type { Course } from './aftermath.ts'
import { isCoolingDown, suppress } from './cooldown.ts'
import { isStillOut, quiet } from './episode.ts'
import type { Finding, Onset } from './episode.ts'
import { judge } from './judge-series.ts'
import { newJudgement } from './judgement.ts'
import type { SeriesTraits } from './judgement.ts'
import { learn } from './learn-series.ts'
import { rememberRecent } from './recent.ts'
import { isCompared, keepKnown, recover, recoverTogether } from './recovery.ts'
import { judgeMoment, learnMoment, newMomentJudgement, newRelation, relationBytes, renew } from './relation.ts'
import type { RelationState } from './relation.ts'
import { isLearning, silentForMs } from './series-knowledge.ts'
import { seriesBytes, slot } from './series-state.ts'
import { episodeSettings, relationSettings, settings } from './settings.ts'
import { nothing, onFinding, onNormal, raise } from './signal-episodes.ts'
import type { Found } from './signal-episodes.ts'
import { crossedLimit, isAnythingOpen, isEpisodeOpen, signalOf, traitsOf } from './watch-state.ts'
import type { DeviceWatch, SignalWatch } from './watch-state.ts'

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
  return watchSignal(watch, signalOf(watch, reading.signal, model), reading, model, nowMs, isJudged)
}

/** The same of a signal that `signalOf` has given: it is looked up once for a block of its readings. */
export function watchSignal(
  watch: DeviceWatch,
  signal: SignalWatch,
  { bootId, seq, timeMs, value }: Omit<WatchedReading, 'signal'>,
  model: DeviceModel | undefined,
  nowMs: number,
  isJudged: boolean,
): DetectedEvent[] {
  const traits = signal.traits!
  judge(signal.state, timeMs, value, traits, judgement)
  if (judgement.kind === 'late') return nothing
  rememberRecent(signal.recent, timeMs, value)
  signal.bootId = bootId
  signal.seq = seq
  if (judgement.isGap && signal.phase.kind === 'pending') signal.phase = quiet
  const limit = crossedLimit(traits, value)
  let events: DetectedEvent[] = nothing
  let course: Course = 'away'
  // Most readings are normal readings of quiet signals: they go no further.
  if (limit || judgement.severity >= episodeSettings.normalBelow || signal.phase.kind !== 'quiet') {
    const { detector, expectedMin, expectedMax, isHigh } = judgement
    if (!limit) course = courseOf(signal, value, judgement)
    const finding: Finding = { severity: course === 'away' ? judgement.severity : 0, detector, expectedMin, expectedMax, limit }
    events = onFinding(watch, signal, { finding, isHigh, value, timeMs, nowMs, isJudged, model, before: seriesBytes(signal.state) })
  } else if (signal.cooldown.readings > 0) signal.cooldown.readings--
  if (judgement.severity >= 1 && !isJudged) keepKnown(signal, timeMs)
  learn(signal.state, timeMs, value, traits, judgement)
  if (events !== nothing || course !== 'away') settle(watch, signal, course, events)
  if (signal.known) recover(signal, timeMs, value, traits, !isEpisodeOpen(watch))
  if (watch.isThinned || isJudged) return events
  const together = watchMoment(watch, signal, timeMs, model, nowMs)
  return together.length === 0 ? events : [...events, ...together]
}

/** All signals together, once each of them has a reading of the same moment. */
function watchMoment(
  watch: DeviceWatch,
  arrived: SignalWatch,
  timeMs: number,
  model: DeviceModel | undefined,
  nowMs: number,
): DetectedEvent[] {
  const { together, configuration } = watch
  together.state ??= relationFor(watch, model)
  if (!isCompared(together)) return nothing
  const relation = together.state
  const { numbers } = arrived.state
  if (!renew(relation, arrived.index, numbers[slot.lastValue]!, timeMs, numbers[slot.intervalMs]! / 2)) return nothing
  judgeMoment(relation, moment, configuration)
  let events = nothing
  if (moment.severity >= 1) events = onUnusualMoment(watch, relation, timeMs, model, nowMs)
  else if (together.cooldown.readings > 0) together.cooldown.readings--
  learnMoment(relation, moment, isAnythingOpen(watch))
  recoverTogether(together, timeMs, configuration, !isAnythingOpen(watch))
  return events
}

function onUnusualMoment(
  watch: DeviceWatch,
  relation: RelationState,
  timeMs: number,
  model: DeviceModel | undefined,
  nowMs: number,
): DetectedEvent[] {
  const { signals, together, configuration } = watch
  const { severity, expectedMin, expectedMax, isHigh } = moment
  const finding: Finding = { severity, detector: 'relation', expectedMin, expectedMax, limit: undefined }
  if (!isEpisodeOpen(watch) && isCoolingDown(together.cooldown, finding)) {
    suppress(together.cooldown, severity, 1, configuration.cooldownReadings)
    return nothing
  }
  const signal = [...signals.values()][moment.worst]!
  const value = signal.state.numbers[slot.lastValue]!
  // The limit was passed by this very reading, and is told as such.
  if (crossedLimit((signal.traits ??= traitsOf(model, signal.signal, watch)), value)) return nothing
  const before = relationBytes(relation)
  const events = onFinding(watch, signal, { finding, isHigh, value, timeMs, nowMs, isJudged: false, model, before })
  if (isEpisodeOpen(watch)) together.cooldown.severity = Math.max(together.cooldown.severity, severity)
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
    if (silentForMs(signal.state, timeMs) === undefined || isEpisodeOpen(watch, signal)) continue
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
  const { detector, expectedMin, expectedMax } = judgement
  const course = courseOf(signal, mean, judgement)
  const severity = course === 'away' ? judgement.severity : 0
  const finding: Finding = { severity, detector, expectedMin, expectedMax, limit: undefined }
  const isCalm = severity < episodeSettings.normalBelow && (phase.kind !== 'active' || !isStillOut(phase, finding, mean))
  learn(signal.state, timeMs, mean, traits, judgement)
  if (!isCalm) return nothing
  const events = phase.kind === 'active' ? onNormal(watch, signal, nowMs) : nothing
  if (phase.kind !== 'active') signal.phase = quiet
  settle(watch, signal, course, events)
  return events
}
