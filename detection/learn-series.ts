/**
 * Takes readings into account after they were judged: averages, the past of every statistic, the usual day, the rolling
 * window, runs and pauses. All incremental; nothing is computed again over a window.
 */
import type { DetectorName } from '../contract/alert.ts'
import { adoptDrift, learnDrift } from './drift.ts'
import type { Judgement, SeriesTraits } from './judgement.ts'
import { closeModeBlock, learnModes, turnModeEpoch } from './modes.ts'
import { adoptBlock, closeBlocks, isWider, remember, turnEpoch } from './past.ts'
import { putSorted } from './rolling-window.ts'
import { adoptRun, learnRun } from './runs.ts'
import { slot, statistic, statistics, whole, windowReadings } from './series-state.ts'
import type { SeriesState } from './series-state.ts'
import { settings } from './settings.ts'

/**
 * What these find unusual is one event, and joins the past as one block however long it lasts: half in one block and half
 * in the next, it would have happened twice, and be ordinary. What is unusual for a weekend, or beside a rolling window
 * that waits for an event to end, is not of that kind.
 */
const endsBlocksLate: ReadonlySet<DetectorName | undefined> = new Set(['level', 'high-pass', 'jump', 'step', 'mode', 'spike'])

/** Takes the reading into account, after it was judged. */
export function learn(
  state: SeriesState,
  timeMs: number,
  value: number,
  { isJumpy, isModal, resolution, configuration }: SeriesTraits,
  judgement: Judgement,
): void {
  if (judgement.kind === 'late') return
  const { numbers } = state
  const count = numbers[slot.count]!
  const elapsedMs = timeMs - numbers[slot.lastTimeMs]!
  if (count === 0) learnFirst(numbers, timeMs, value)
  else {
    if (judgement.isGap) numbers[slot.firstTimeMs] = timeMs - judgement.seenMs
    learnRun(numbers, value, isJumpy)
    learnStep(numbers, judgement)
    learnInterval(numbers, elapsedMs, judgement.isGap)
    learnDrift(state, timeMs, elapsedMs, value)
  }
  const isUnusual = judgement.severity >= 1 && numbers[slot.unusualRun]! < settings.adoptReadings
  if (isModal) learnModes(state, value, resolution, isUnusual, judgement.isGap)
  numbers[slot.lastJump] = judgement.isJump ? judgement.jump : 0
  numbers[slot.unusualRun] = judgement.severity >= 1 ? numbers[slot.unusualRun]! + 1 : 0
  numbers[slot.severity] = judgement.severity
  numbers[slot.lastTimeMs] = timeMs
  numbers[slot.lastValue] = value
  numbers[slot.count] = count + 1
  numbers[slot.fast] = judgement.fast
  numbers[slot.slow] = judgement.slow
  if (judgement.isLongGap) {
    beginAverages(numbers, value)
    numbers[slot.windowTaken] = 0
  }
  numbers[slot.highPass]! += Math.max(1 / (numbers[slot.averaged]! + 1), settings.highPassWeight) * judgement.highPassed
  numbers[slot.averaged]!++
  rememberAll(state, value, isJumpy, judgement)
  turnPages(state, timeMs, isUnusual && endsBlocksLate.has(judgement.detector))
  if (!isJumpy) learnSeason(state, elapsedMs, value, judgement.bin)
  learnWindow(state, value, judgement, configuration.rollingScore)
}

/** Every statistic, into the open block of its past. */
function rememberAll({ numbers, past }: SeriesState, value: number, isJumpy: boolean, judgement: Judgement): void {
  remember(past, statistic.level, value)
  remember(past, statistic.highPass, judgement.highPassed)
  if (judgement.seasonal === judgement.seasonal) remember(past, statistic.season, judgement.seasonal)
  if (judgement.isJump) remember(past, statistic.jump, isJumpy ? judgement.reversal : judgement.jump)
  remember(past, statistic.step, judgement.fast - judgement.slow)
  if (numbers[slot.windowTaken]! >= windowReadings) remember(past, statistic.rolling, judgement.rolling)
}

function learnFirst(numbers: Float64Array, timeMs: number, value: number): void {
  numbers[slot.firstTimeMs] =
    numbers[slot.lastTimeMs] =
    numbers[slot.blockStartMs] =
    numbers[slot.levelBlockStartMs] =
    numbers[slot.epochStartMs] =
      timeMs
  numbers[slot.highPass] = numbers[slot.driftLevel] = value
  numbers[slot.seasonBin] = -1
  numbers[slot.restValue] = Number.NaN
}

function beginAverages(numbers: Float64Array, value: number): void {
  numbers[slot.fast] = numbers[slot.slow] = numbers[slot.highPass] = value
  numbers[slot.averaged] = 0
}

/** What was recent was a fault: the averages begin again, and the rolling window if it takes what is ordinary now for unusual. */
export function forgetRecent({ numbers }: SeriesState): void {
  beginAverages(numbers, numbers[slot.lastValue]!)
  if (numbers[slot.abnormalRun]! > 0) numbers[slot.windowTaken] = 0
}

function learnStep(numbers: Float64Array, { jump }: Judgement): void {
  const step = Math.abs(jump)
  const smallest = numbers[slot.smallestStep]!
  if (step > 0 && (smallest === 0 || step < smallest)) numbers[slot.smallestStep] = step
}

function learnInterval(numbers: Float64Array, elapsedMs: number, isGap: boolean): void {
  if (elapsedMs <= 0) return
  const count = numbers[slot.count]!
  const intervalMs = numbers[slot.intervalMs]!
  // A gap is no interval; but what is read more slowly from now on is known to be in time.
  const learnedMs = isGap ? 2 * intervalMs : elapsedMs
  numbers[slot.intervalMs] = intervalMs + Math.max(1 / count, 0.05) * (learnedMs - intervalMs)
  // An outage is no habit either.
  numbers[slot.longestGapMs] = Math.max(
    numbers[slot.longestGapMs]!,
    Math.min(elapsedMs, Math.max(settings.missingMs, 2 * numbers[slot.longestGapMs]!)),
  )
}

/** @param isEvent something is going on that was never seen */
function turnPages(state: SeriesState, timeMs: number, isEvent: boolean): void {
  const { numbers, past, modes } = state
  const inBlockMs = timeMs - numbers[slot.blockStartMs]!
  const isOver = inBlockMs >= settings.blockMsMin && inBlockMs >= (isEvent ? settings.eventBlocks : 1) * blockMs(numbers, timeMs)
  if (isOver || inBlockMs < 0) {
    turnLevelBlock(state, timeMs)
    closeBlocks(past, statistic.level + 1, statistics)
    closeModeBlock(modes)
    numbers[slot.blockStartMs] = timeMs
  }
  const inEpoch = ++numbers[slot.epochReadings]!
  if (inEpoch < settings.epochReadings || timeMs - numbers[slot.epochStartMs]! < settings.epochMs) return
  turnEpoch(past)
  turnModeEpoch(state)
  numbers[slot.epochReadings] = 0
  numbers[slot.epochStartMs] = timeMs
}

/** What creeps does so one way, and slowly; what has become noisy is soon known to be. Called at the end of a block of the other statistics. */
function turnLevelBlock({ numbers, past }: SeriesState, timeMs: number): void {
  const inBlockMs = timeMs - numbers[slot.levelBlockStartMs]!
  const ofAgeMs = settings.levelBlockAgeShare * (timeMs - numbers[slot.firstTimeMs]!)
  const isOver = inBlockMs < 0 || inBlockMs >= Math.min(settings.levelBlockMs, ofAgeMs)
  if (!isOver && !isWider(past, statistic.highPass)) return
  closeBlocks(past, statistic.level, statistic.level + 1)
  numbers[slot.levelBlockStartMs] = timeMs
}

/** Short while the series is young: what it does is soon known, and not news for an hour. */
function blockMs(numbers: Float64Array, timeMs: number): number {
  if (numbers[slot.count]! < settings.noveltyReadings) return settings.blockMs
  const ofAge = settings.blockAgeShare * (timeMs - numbers[slot.firstTimeMs]!)
  return Math.min(settings.blockMs, Math.max(settings.blockMsMin, ofAge))
}

function learnSeason({ numbers, season }: SeriesState, elapsedMs: number, value: number, bin: number): void {
  const usual = season[bin]!
  const isKnown = usual === usual
  if (bin !== numbers[slot.seasonBin]!) {
    numbers[slot.seasonBin] = bin
    numbers[slot.seasonVisit] = isKnown ? -1 : 0
  }
  if (!isKnown) {
    season[bin] = value
    return
  }
  let weight = Math.max(0, elapsedMs) / settings.seasonMs
  if (numbers[slot.seasonVisit]! >= 0) weight = Math.max(weight, 1 / (++numbers[slot.seasonVisit]! + 1))
  season[bin] = usual + Math.min(settings.seasonWeight, weight) * (value - usual)
}

/** An anomaly must not teach the window that anomalies are normal, until it has lasted so long that it is the new normal. */
function learnWindow({ numbers, window, ages }: SeriesState, value: number, { rolling, isGap }: Judgement, abnormalFrom: number): void {
  if (isGap || Math.abs(rolling) < abnormalFrom) numbers[slot.abnormalRun] = 0
  if (Math.abs(rolling) >= abnormalFrom) {
    if (++numbers[slot.abnormalRun]! < settings.adoptReadings) return
    numbers[slot.abnormalRun] = numbers[slot.windowTaken] = 0
  }
  const taken = numbers[slot.windowTaken]!
  // The remainder: `%` of a double takes several times as long.
  const age = whole(taken - windowReadings * Math.floor(taken / windowReadings))
  putSorted(window, ages, whole(Math.min(taken, windowReadings)), value, age)
  numbers[slot.windowTaken] = taken + 1
}

/** The level the series has now is normal from here on, also for what watches its drift. */
export function adoptLevel({ numbers, past }: SeriesState): void {
  const level = numbers[slot.fast]!
  adoptBlock(past, statistic.level)
  adoptRun(numbers)
  adoptDrift(numbers, level)
}
