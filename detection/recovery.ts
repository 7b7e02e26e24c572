/**
 * What a machine did while something was wrong with it is none of its habits once it has come back: a fault that lasted for hours, and
 * was taken for the new normal, must be found again when it returns the week after. What was known before an incident is kept
 * until the signal has been ordinary by it for as long as makes a level normal. Whatever is not ordinary within a week has changed.
 */
import type { Judgement } from './judgement.ts'
import { outside } from './past.ts'
import { isOrdinaryMoment, restoreRelation } from './relation.ts'
import type { MomentJudgement, RelationState } from './relation.ts'
import { copyOfSeries, slot, statistic } from './series-state.ts'
import type { SeriesState } from './series-state.ts'
import { settings } from './settings.ts'
import { isEpisodeOpen } from './watch-state.ts'
import type { DeviceWatch, SignalWatch } from './watch-state.ts'

/** What was known before, readings in a row that are ordinary by it, and until when that counts, by event time. */
export type Known<T> = { readonly state: T; ordinaryRun: number; untilMs: number }

/** An incident begins: what is known by now is kept, unless something from before an incident that is not over is. */
export function keepKnown(watch: DeviceWatch): void {
  const signals = [...watch.signals.values()].filter(isGrown)
  for (const signal of signals) signal.known ??= known(copyOfSeries(signal.state))
  if (watch.relation && signals.length === watch.signals.size) watch.knownTogether ??= known(watch.relation.slice())
}

/** A young series knows little, and would know less again. */
function isGrown({ state: { numbers } }: SignalWatch): boolean {
  return numbers[slot.lastTimeMs]! - numbers[slot.firstTimeMs]! >= settings.levelMaturityMs
}

function known<T>(state: T): Known<T> {
  return { state, ordinaryRun: 0, untilMs: Number.MAX_SAFE_INTEGER }
}

/** The incident is over, or what it brought is taken for normal. */
export function limitKnown({ signals, knownTogether }: DeviceWatch): void {
  for (const { known: own, state } of signals.values()) {
    const untilMs = state.numbers[slot.lastTimeMs]! + settings.epochMs
    // By the first incident's end: what has one after the other does not go by what was long ago.
    if (own) own.untilMs = Math.min(own.untilMs, untilMs)
    if (knownTogether) knownTogether.untilMs = Math.min(knownTogether.untilMs, untilMs)
  }
}

/** After a reading was learned. */
export function recover(watch: DeviceWatch, signal: SignalWatch, timeMs: number, value: number, judgement: Judgement): void {
  const { known } = signal
  if (!known) return
  const isOver = isBack(watch, known, timeMs, () => isOrdinary(known.state, signal, value, judgement))
  if (isOver === 'back') restore(signal.state, known.state)
  if (isOver) signal.known = undefined
}

/** After a moment was learned. */
export function recoverTogether(watch: DeviceWatch, relation: RelationState, timeMs: number, moment: MomentJudgement): void {
  const { knownTogether, configuration } = watch
  if (!knownTogether) return
  const isOver = isBack(watch, knownTogether, timeMs, () => isOrdinaryMoment(knownTogether.state, moment, configuration))
  if (isOver === 'back') restoreRelation(relation, knownTogether.state)
  if (isOver) watch.knownTogether = undefined
}

function isBack(watch: DeviceWatch, known: Known<unknown>, timeMs: number, isOrdinaryNow: () => boolean): 'back' | 'changed' | undefined {
  if (timeMs > known.untilMs) return 'changed'
  known.ordinaryRun = !isEpisodeOpen(watch) && isOrdinaryNow() ? known.ordinaryRun + 1 : 0
  return known.ordinaryRun >= settings.adoptReadings ? 'back' : undefined
}

function isOrdinary({ past, numbers: before }: SeriesState, { state, traits }: SignalWatch, value: number, judgement: Judgement): boolean {
  const { highPassed, jump, reversal, isJump, fast, slow } = judgement
  const isNear = (index: number, now: number) => Math.abs(outside(past, index, now, Number.MIN_VALUE)) < settings.ordinaryRanges
  const isMoving = state.numbers[slot.stuckRun]! <= Math.max(settings.stuckReadings, before[slot.longestRun]!)
  return (
    isMoving &&
    isNear(statistic.level, value) &&
    isNear(statistic.highPass, highPassed) &&
    isNear(statistic.step, fast - slow) &&
    (!isJump || isNear(statistic.jump, traits?.isJumpy ? reversal : jump))
  )
}

const restored = [slot.driftLow, slot.driftHigh, slot.longestRun, slot.restValue, slot.longestElsewhere, slot.modesLow, slot.modesWidth]

function restore({ numbers, past, season, modes }: SeriesState, before: SeriesState): void {
  past.set(before.past)
  season.set(before.season)
  modes.set(before.modes)
  for (const index of restored) numbers[index] = before.numbers[index]!
  numbers[slot.driftLevel] = numbers[slot.slow]!
}
