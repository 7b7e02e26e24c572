/**
 * Judges one series, reading by reading: several simple detectors, each of which knows something the others cannot see.
 * All but one compare a statistic with the series' own past of it, so that nothing has to be set for a signal; a
 * verdict's severity is 1 where an alert begins, whichever detector found it.
 *
 * `judge` changes nothing, `learn` does: the state before an abnormal reading can be kept, and the alert recomputed from it.
 */
import type { DetectionConfiguration } from './configuration.ts'
import { closeBlock, highOf, lowOf, outside, remember, turnEpoch } from './past.ts'
import { medianAbsoluteDeviation, medianOfSorted, replaceSorted, tenthsDeviation } from './rolling-window.ts'
import { seasonBins, slot, statistic, windowReadings } from './series-state.ts'
import type { SeriesState } from './series-state.ts'
import type { DetectorName } from '../contract/alert.ts'
import { dayMs, detectorCodes, settings } from './settings.ts'

export type SeriesTraits = {
  /** The smallest change that means anything, in the signal's unit; 0 if not known. */
  readonly resolution: number
  /** Jumps by nature: nothing in its own past makes a value unusual. */
  readonly isJumpy: boolean
  /** A signal of the device is jumpy: the machine has modes. */
  readonly hasModes: boolean
  /** Readings were left out on the way: a silence or a run says nothing. */
  readonly isThinned: boolean
  readonly configuration: DetectionConfiguration
  /** What the signal cannot or must not exceed, in its unit a second. */
  readonly ratePerSMax: number | undefined
}

/** What is thought of one reading. One object is used again and again: nothing is allocated for a reading. */
export type Judgement = {
  /** `late` readings are older than the last and say nothing new. */
  kind: 'late' | 'learning' | 'judged'
  /** 1 is where an alert begins. */
  severity: number
  /** The same without what goes on for as long as it lasts: drift and stuck. */
  momentary: number
  detector: DetectorName | undefined
  /** Above what is expected, or below. */
  isHigh: boolean
  /** A value in this range has a severity below 1 from this detector. */
  expectedMin: number
  expectedMax: number
  /** Worked out for judging, used again for learning. */
  isGap: boolean
  bin: number
  fast: number
  slow: number
  highPassed: number
  seasonal: number
  jump: number
  rolling: number
}

export function newJudgement(): Judgement {
  return {
    kind: 'learning',
    severity: 0,
    momentary: 0,
    detector: undefined,
    isHigh: false,
    expectedMin: 0,
    expectedMax: 0,
    isGap: false,
    bin: 0,
    fast: 0,
    slow: 0,
    highPassed: 0,
    seasonal: 0,
    jump: 0,
    rolling: 0,
  }
}

/** Judges a reading by what was learned of the readings before it. */
export function judge(state: SeriesState, timeMs: number, value: number, traits: SeriesTraits, judgement: Judgement): void {
  const { numbers, season } = state
  const count = numbers[slot.count]!
  judgement.severity = 0
  judgement.momentary = 0
  judgement.detector = undefined
  judgement.isHigh = value > numbers[slot.lastValue]!
  judgement.expectedMin = judgement.expectedMax = value
  if (count === 0) return begin(judgement, timeMs, value)
  const elapsedMs = timeMs - numbers[slot.lastTimeMs]!
  // A little older than the last is disorder, and says nothing new; much older is a clock set back, or a recording begun again.
  if (elapsedMs < 0 && elapsedMs >= -settings.gapMs) {
    judgement.kind = 'late'
    return
  }
  judgement.kind = count < settings.learningReadings ? 'learning' : 'judged'
  judgement.isGap = Math.abs(elapsedMs) > Math.max(settings.gapMs, settings.gapIntervals * numbers[slot.intervalMs]!)
  const fast = numbers[slot.fast]!
  const slow = numbers[slot.slow]!
  judgement.fast = fast + Math.max(1 / (count + 1), settings.fastWeight) * (value - fast)
  judgement.slow = slow + Math.max(1 / (count + 1), settings.slowWeight) * (value - slow)
  judgement.highPassed = value - numbers[slot.highPass]!
  judgement.bin = binOf(timeMs)
  judgement.seasonal = value - season[judgement.bin]!
  judgement.jump = value - numbers[slot.lastValue]!
  judgement.rolling = 0
  if (!traits.isJumpy) {
    if (numbers[slot.windowCount]! >= settings.learningReadings) judgeRolling(state, value, traits, judgement)
    if (count >= settings.noveltyReadings) judgeNovelty(state, timeMs, value, traits, judgement)
  }
  if (traits.ratePerSMax !== undefined && elapsedMs > 0 && !judgement.isGap)
    judgeRate((traits.ratePerSMax * Math.max(elapsedMs, numbers[slot.intervalMs]!)) / 1000, value, judgement)
  judgement.momentary = judgement.severity
  if (judgement.severity >= 1) return
  if (!traits.isJumpy) judgeDrift(state, elapsedMs, value, judgement)
  if (!traits.isThinned) judgeStuck(state, timeMs, value, traits, judgement)
}

/** @param most by how much the value may have changed since the last */
function judgeRate(most: number, value: number, judgement: Judgement): void {
  const size = Math.abs(judgement.jump)
  if (size <= most) return
  judgement.severity = Math.max(judgement.severity, 2, size / most)
  judgement.detector = 'rate'
  judgement.isHigh = judgement.jump > 0
  judgement.expectedMin = value - judgement.jump - most
  judgement.expectedMax = value - judgement.jump + most
}

function begin(judgement: Judgement, timeMs: number, value: number): void {
  judgement.kind = 'learning'
  judgement.isGap = false
  judgement.bin = binOf(timeMs)
  judgement.fast = judgement.slow = value
  judgement.highPassed = judgement.jump = judgement.rolling = 0
  judgement.seasonal = Number.NaN
}

function binOf(timeMs: number): number {
  const day = timeMs / dayMs
  return Math.floor((day - Math.floor(day)) * seasonBins)
}

/** Robust standard deviations from the rolling median, against a fixed number and the series' own past of them. */
function judgeRolling(
  { numbers, window, past }: SeriesState,
  value: number,
  { resolution, configuration }: SeriesTraits,
  judgement: Judgement,
): void {
  const count = numbers[slot.windowCount]!
  const median = medianOfSorted(window, count)
  const deviation = Math.max(1.4826 * medianAbsoluteDeviation(window, count, median), tenthsDeviation(window, count))
  const sigma = Math.max(deviation, resolution, 0.002 * Math.abs(median), 1e-9)
  const score = (value - median) / sigma
  judgement.rolling = score
  const highest = Math.max(configuration.rollingScore, settings.rollingPast * highOf(past, statistic.rolling))
  const lowest = Math.min(-configuration.rollingScore, settings.rollingPast * lowOf(past, statistic.rolling))
  const severity = (score > 0 ? score / highest : score / lowest) ** settings.rollingPower
  if (severity <= judgement.severity) return
  judgement.severity = severity
  judgement.detector = 'rolling'
  judgement.isHigh = score > 0
  judgement.expectedMin = median + lowest * sigma
  judgement.expectedMax = median + highest * sigma
}

/** How far level, high-pass, season, jump and step lie outside their own past. */
function judgeNovelty(
  { numbers, past }: SeriesState,
  timeMs: number,
  value: number,
  { resolution, hasModes, configuration }: SeriesTraits,
  judgement: Judgement,
): void {
  const seenMs = Math.max(1, timeMs - numbers[slot.firstTimeMs]!)
  const level = numbers[slot.slow]!
  const noise = Math.max(resolution, Math.abs(level) * 1e-6, 1e-12)
  const ofLevel = configuration.marginRanges * (1 + settings.levelMaturityMs / seenMs)
  const ofChange = configuration.marginRanges * (1 + settings.changeMaturityMs / seenMs)
  const { highPassed, seasonal, jump, fast, slow } = judgement
  compareWithPast(
    past,
    'level',
    statistic.level,
    value,
    Math.max(noise, settings.levelRangeMin * Math.abs(level)),
    ofLevel,
    judgement,
    value,
  )
  // What today is compared with must be yesterday, so the second day is needed to know how much days differ.
  if (seenMs > dayMs && seasonal === seasonal)
    compareWithPast(
      past,
      'season',
      statistic.season,
      seasonal,
      noise,
      configuration.marginRanges * (1 + settings.levelMaturityMs / (seenMs - dayMs)),
      judgement,
      value,
    )
  // A machine with modes, such as filling and emptying, must have gone through them.
  if (hasModes && seenMs < dayMs) return
  compareWithPast(past, 'high-pass', statistic.highPass, highPassed, noise, ofChange, judgement, value)
  if (!judgement.isGap) compareWithPast(past, 'jump', statistic.jump, jump, noise, ofChange, judgement, value)
  compareWithPast(past, 'step', statistic.step, fast - slow, noise, ofChange, judgement, value, settings.fastWeight)
}

/** @param gain by how much the statistic changes with the value */
function compareWithPast(
  past: Float32Array,
  detector: DetectorName,
  index: number,
  now: number,
  rangeMin: number,
  margin: number,
  judgement: Judgement,
  value: number,
  gain = 1,
): void {
  const distance = outside(past, index, now, rangeMin)
  if (distance === 0) return
  const severity = Math.abs(distance) / margin
  if (severity <= judgement.severity) return
  const low = lowOf(past, index)
  const high = highOf(past, index)
  const room = margin * Math.max(high - low, rangeMin)
  judgement.severity = severity
  judgement.detector = detector
  judgement.isHigh = distance > 0
  judgement.expectedMin = value + (low - room - now) / gain
  judgement.expectedMax = value + (high + room - now) / gain
}

/** The average of a day, outside everything seen while the machine was new: creeping wear, to which all other pasts adapt. */
function judgeDrift({ numbers }: SeriesState, elapsedMs: number, value: number, judgement: Judgement): void {
  const low = numbers[slot.driftLow]!
  const high = numbers[slot.driftHigh]!
  // Unknown until commissioning is over.
  if (!(high >= low)) return
  const level = driftLevel(numbers, elapsedMs, value)
  const room = settings.driftMarginRanges * Math.max(high - low, settings.levelRangeMin * Math.abs(low))
  // All or nothing: what creeps would otherwise be a little worse with every reading.
  if (Math.max(level - high, low - level) < room) return
  judgement.severity = 1
  judgement.detector = 'drift'
  judgement.isHigh = level > high
  judgement.expectedMin = low - room
  judgement.expectedMax = high + room
}

function driftLevel(numbers: Float64Array, elapsedMs: number, value: number): number {
  const level = numbers[slot.driftLevel]!
  return level + Math.min(0.1, Math.max(0, elapsedMs) / settings.driftTauMs) * (value - level)
}

/** Equal readings in a row, against how often this series repeats itself. */
function judgeStuck(
  { numbers }: SeriesState,
  timeMs: number,
  value: number,
  { resolution, isJumpy }: SeriesTraits,
  judgement: Judgement,
): void {
  const count = numbers[slot.count]!
  if (count < settings.stuckAfterReadings || value !== numbers[slot.lastValue]! || numbers[slot.stuckRun]! + 1 < settings.stuckReadings)
    return
  if (numbers[slot.stuckRun]! + 1 < stuckAfter(numbers, timeMs, isJumpy)) return
  judgement.severity = 1
  judgement.detector = 'stuck'
  judgement.isHigh = false
  judgement.expectedMin = value - resolution
  judgement.expectedMax = value + resolution
}

function stuckAfter(numbers: Float64Array, timeMs: number, isJumpy: boolean): number {
  const repeats = Math.min(0.9999, Math.max(0.01, 1 - numbers[slot.changes]! / numbers[slot.count]!))
  const byChance = Math.log(settings.stuckChance) / Math.log(repeats)
  const readings = Math.max(settings.stuckReadings, settings.stuckRuns * numbers[slot.longestRun]!, byChance)
  if (!isJumpy) return readings
  // What stands still by nature has a first time, too: a day must be seen.
  return timeMs - numbers[slot.firstTimeMs]! < dayMs ? Number.POSITIVE_INFINITY : settings.stuckJumpy * readings
}

/** Takes the reading into account, after it was judged. */
export function learn(
  state: SeriesState,
  timeMs: number,
  value: number,
  { isJumpy, configuration }: SeriesTraits,
  judgement: Judgement,
): void {
  if (judgement.kind === 'late') return
  const { numbers, past } = state
  const count = numbers[slot.count]!
  const elapsedMs = timeMs - numbers[slot.lastTimeMs]!
  if (count === 0) learnFirst(numbers, timeMs, value)
  else {
    learnRun(numbers, value, isJumpy)
    learnInterval(numbers, elapsedMs, judgement.isGap)
    learnDrift(state, timeMs, elapsedMs, value)
  }
  numbers[slot.unusualRun] = judgement.severity >= 1 ? numbers[slot.unusualRun]! + 1 : 0
  numbers[slot.severity] = judgement.severity
  numbers[slot.detector] = judgement.detector === undefined ? 0 : detectorCodes.indexOf(judgement.detector)
  numbers[slot.lastTimeMs] = timeMs
  numbers[slot.lastValue] = value
  numbers[slot.count] = count + 1
  numbers[slot.fast] = judgement.fast
  numbers[slot.slow] = judgement.slow
  numbers[slot.highPass]! += Math.max(1 / (count + 1), settings.highPassWeight) * judgement.highPassed
  remember(past, statistic.level, value)
  remember(past, statistic.highPass, judgement.highPassed)
  if (judgement.seasonal === judgement.seasonal) remember(past, statistic.season, judgement.seasonal)
  if (!judgement.isGap) remember(past, statistic.jump, judgement.jump)
  remember(past, statistic.step, judgement.fast - judgement.slow)
  if (numbers[slot.windowCount]! >= settings.learningReadings) remember(past, statistic.rolling, judgement.rolling)
  turnPages(state, timeMs)
  learnSeason(state, elapsedMs, value, judgement.bin)
  learnWindow(state, value, judgement, configuration.rollingScore)
}

function learnFirst(numbers: Float64Array, timeMs: number, value: number): void {
  numbers[slot.firstTimeMs] = numbers[slot.lastTimeMs] = numbers[slot.blockStartMs] = numbers[slot.epochStartMs] = timeMs
  numbers[slot.highPass] = numbers[slot.driftLevel] = value
  numbers[slot.seasonBin] = -1
}

function learnRun(numbers: Float64Array, value: number, isJumpy: boolean): void {
  if (value === numbers[slot.lastValue]!) {
    numbers[slot.stuckRun]!++
    return
  }
  const longest = numbers[slot.longestRun]!
  // A sensor that was stuck does not make it ordinary to be: the longest run grows by twice at most.
  const run = isJumpy ? numbers[slot.stuckRun]! : Math.min(numbers[slot.stuckRun]!, Math.max(settings.stuckReadings, 2 * longest))
  numbers[slot.longestRun] = Math.max(longest, run)
  numbers[slot.stuckRun] = 0
  numbers[slot.changes]!++
}

function learnInterval(numbers: Float64Array, elapsedMs: number, isGap: boolean): void {
  if (elapsedMs <= 0) return
  const count = numbers[slot.count]!
  if (!isGap) numbers[slot.intervalMs]! += Math.max(1 / count, 0.05) * (elapsedMs - numbers[slot.intervalMs]!)
  // An outage is no habit either.
  numbers[slot.longestGapMs] = Math.max(
    numbers[slot.longestGapMs]!,
    Math.min(elapsedMs, Math.max(settings.missingMs, 2 * numbers[slot.longestGapMs]!)),
  )
}

function learnDrift({ numbers, past }: SeriesState, timeMs: number, elapsedMs: number, value: number): void {
  const level = (numbers[slot.driftLevel] = driftLevel(numbers, elapsedMs, value))
  if (!(numbers[slot.driftHigh]! >= numbers[slot.driftLow]!)) {
    if (timeMs - numbers[slot.firstTimeMs]! < settings.commissioningMs) return
    numbers[slot.driftLow] = lowOf(past, statistic.level)
    numbers[slot.driftHigh] = highOf(past, statistic.level)
  }
  // A level that has stayed is confirmed: it belongs to what the machine is.
  if (numbers[slot.unusualRun]! < settings.adoptReadings) return
  numbers[slot.driftLow] = Math.min(numbers[slot.driftLow]!, level)
  numbers[slot.driftHigh] = Math.max(numbers[slot.driftHigh]!, level)
}

function turnPages({ numbers, past }: SeriesState, timeMs: number): void {
  const inBlockMs = timeMs - numbers[slot.blockStartMs]!
  if (inBlockMs >= settings.blockMs || inBlockMs < 0) {
    closeBlock(past)
    numbers[slot.blockStartMs] = timeMs
  }
  const inEpoch = ++numbers[slot.epochReadings]!
  if (inEpoch < settings.epochReadings || timeMs - numbers[slot.epochStartMs]! < settings.epochMs) return
  turnEpoch(past)
  numbers[slot.epochReadings] = 0
  numbers[slot.epochStartMs] = timeMs
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
    numbers[slot.abnormalRun] = numbers[slot.windowCount] = numbers[slot.windowAge] = 0
  }
  const count = numbers[slot.windowCount]!
  const age = numbers[slot.windowAge]!
  const isFull = count === windowReadings
  replaceSorted(window, ages, count, value, age, isFull ? age : undefined)
  if (!isFull) numbers[slot.windowCount] = count + 1
  numbers[slot.windowAge] = (age + 1) % windowReadings
}

/** The level the series has now is normal from here on: the baselines begin again. */
export function adoptLevel({ numbers }: SeriesState): void {
  const level = numbers[slot.fast]!
  numbers[slot.abnormalRun] = numbers[slot.windowCount] = numbers[slot.windowAge] = 0
  numbers[slot.driftLevel] = level
  if (!(numbers[slot.driftHigh]! >= numbers[slot.driftLow]!)) return
  numbers[slot.driftLow] = Math.min(numbers[slot.driftLow]!, level)
  numbers[slot.driftHigh] = Math.max(numbers[slot.driftHigh]!, level)
}

/** What is not known well enough yet to be judged fully. */
export function stillLearning({ numbers }: SeriesState): DetectorName[] {
  const count = numbers[slot.count]!
  const seenMs = numbers[slot.lastTimeMs]! - numbers[slot.firstTimeMs]!
  const learning: DetectorName[] = []
  if (count < settings.learningReadings) learning.push('rolling')
  if (count < settings.stuckAfterReadings) learning.push('stuck')
  if (count < settings.noveltyReadings || seenMs < settings.changeMaturityMs) learning.push('high-pass', 'jump', 'step')
  if (seenMs < settings.levelMaturityMs) learning.push('level')
  if (seenMs < 2 * dayMs) learning.push('season')
  if (seenMs < settings.commissioningMs) learning.push('drift')
  return learning
}

export function isLearning({ numbers }: SeriesState): boolean {
  return numbers[slot.count]! < settings.learningReadings
}

/** A signal from which nothing was heard while its device went on: how long, or undefined while that is ordinary. */
export function silentForMs({ numbers }: SeriesState, nowMs: number): number | undefined {
  if (numbers[slot.count]! < settings.learningReadings) return undefined
  const silentMs = nowMs - numbers[slot.lastTimeMs]!
  const usualMs = Math.max(
    settings.missingMs,
    settings.missingIntervals * numbers[slot.intervalMs]!,
    settings.missingGaps * numbers[slot.longestGapMs]!,
  )
  return silentMs > usualMs ? silentMs : undefined
}
