/**
 * Judges one series, reading by reading: several simple detectors, each of which knows something the others cannot see.
 * All but one compare a statistic with the series' own past of it, so that nothing has to be set for a signal; a
 * verdict's severity is 1 where an alert begins, whichever detector found it.
 *
 * `judge` changes nothing, `learn` does: the state before an abnormal reading can be kept, and the alert recomputed from it.
 */
import type { DetectorName } from '../contract/alert.ts'
import { judgeDrift } from './drift.ts'
import type { Judgement, SeriesTraits } from './judgement.ts'
import { gapAt, outermostGap } from './modes.ts'
import type { Gap } from './modes.ts'
import { highOf, isInBlock, isOutside, lowOf, outside, tailOf } from './past.ts'
import { medianAbsoluteDeviation, medianOfSorted, tenthsDeviation } from './rolling-window.ts'
import { judgeStuck } from './runs.ts'
import { changeMaturityMs, stepAfterMs } from './series-knowledge.ts'
import { seasonBins, slot, statistic, windowReadings } from './series-state.ts'
import type { SeriesState } from './series-state.ts'
import { dayMs, settings } from './settings.ts'

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
  const intervalMs = numbers[slot.intervalMs]!
  const pauseMs = Math.abs(elapsedMs)
  judgement.isGap = isGap(numbers, pauseMs)
  judgement.isLongGap = judgement.isGap && pauseMs > settings.longGapIntervals * intervalMs
  judgement.seenMs = seenMsOf(numbers, timeMs, judgement.isGap)
  // What was recent before a long gap is not recent any more: averages begin again.
  const fewest = judgement.isLongGap ? 1 : 1 / (numbers[slot.averaged]! + 1)
  const fast = numbers[slot.fast]!
  const slow = numbers[slot.slow]!
  judgement.fast = fast + Math.max(fewest, settings.fastWeight) * (value - fast)
  judgement.slow = slow + Math.max(fewest, settings.slowWeight) * (value - slow)
  judgement.isJump = pauseMs <= Math.min(settings.jumpMsMax, settings.jumpIntervals * intervalMs)
  judgement.highPassed = judgement.isLongGap ? 0 : value - numbers[slot.highPass]!
  judgement.bin = binOf(timeMs)
  judgement.seasonal = fromUsual(season, judgement.bin, value)
  judgement.jump = value - numbers[slot.lastValue]!
  judgement.reversal = reversalOf(numbers[slot.lastJump]!, judgement.jump)
  judgement.rolling = 0
  if (traits.isModal) judgeModal(state, value, traits, judgement)
  if (!traits.isJumpy) {
    if (numbers[slot.windowTaken]! >= windowReadings && !judgement.isLongGap) judgeRolling(state, value, traits, judgement)
    if (count >= settings.noveltyReadings && isAnythingOutside(state.past, value, judgement)) judgeNovelty(state, value, traits, judgement)
  }
  if (traits.ratePerSMax !== undefined && elapsedMs > 0 && !judgement.isGap)
    judgeRate((traits.ratePerSMax * Math.max(elapsedMs, intervalMs)) / 1000, value, judgement)
  judgement.momentary = judgement.severity
  if (judgement.severity >= 1) return
  if (!traits.isJumpy) judgeDrift(state, elapsedMs, value, judgement)
  if (!traits.isThinned) judgeStuck(state, value, traits, judgement)
}

/** A pause across which nothing is concluded: by the clock, or by the pace of a series that does not pause again and again. */
function isGap(numbers: Float64Array, pauseMs: number): boolean {
  const intervalMs = numbers[slot.intervalMs]!
  // Of the second reading nobody can say whether it is late.
  if (pauseMs <= settings.missingMs || intervalMs === 0) return false
  if (pauseMs > Math.max(settings.gapMs, settings.gapIntervals * intervalMs)) return true
  return pauseMs > settings.longGapIntervals * intervalMs && numbers[slot.averaged]! * settings.slowWeight >= 1
}

/** Nothing was seen in a gap: what was seen for minutes, and is seen again the next day, is not known for a day. */
function seenMsOf(numbers: Float64Array, timeMs: number, isBehindGap: boolean): number {
  const seenMs = timeMs - numbers[slot.firstTimeMs]!
  const seenBeforeMs = numbers[slot.lastTimeMs]! - numbers[slot.firstTimeMs]!
  return isBehindGap && seenMs > 2 * seenBeforeMs ? (1 + settings.gapAgeShare) * seenBeforeMs : seenMs
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
  judgement.isGap = judgement.isLongGap = judgement.isJump = false
  judgement.seenMs = 0
  judgement.bin = binOf(timeMs)
  judgement.fast = judgement.slow = value
  judgement.highPassed = judgement.jump = judgement.reversal = judgement.rolling = 0
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
  const median = medianOfSorted(window, windowReadings)
  const sigmaMin = Math.max(tenthsDeviation(window, windowReadings), resolution, 0.002 * Math.abs(median), 1e-9)
  const most = (value - median) / sigmaMin
  // Most readings: nothing unusual, nor the most unusual of their block, however much the middle of the window deviates.
  if (Math.abs(most) < settings.rollingQuiet && isInBlock(past, statistic.rolling, most)) {
    judgement.rolling = most
    return
  }
  const sigma = Math.max(sigmaMin, 1.4826 * medianAbsoluteDeviation(window, windowReadings, median))
  const score = (value - median) / sigma
  judgement.rolling = score
  const highest = Math.max(configuration.rollingScore, settings.rollingPast * highOf(past, statistic.rolling))
  const lowest = Math.min(-configuration.rollingScore, settings.rollingPast * lowOf(past, statistic.rolling))
  // What comes in whole steps stands still and then moves by one: nothing unusual, however little it deviated before.
  const stepsMin = settings.rollingSteps * numbers[slot.smallestStep]!
  const inSteps = stepsMin > 0 ? Math.abs(value - median) / stepsMin : Number.POSITIVE_INFINITY
  const severity = Math.min(score > 0 ? score / highest : score / lowest, inSteps) ** settings.rollingPower
  if (severity <= judgement.severity) return
  judgement.severity = severity
  judgement.detector = 'rolling'
  judgement.isHigh = score > 0
  judgement.expectedMin = median + lowest * sigma
  judgement.expectedMax = median + highest * sigma
}

/** Most readings lie within all that was seen: how wide a margin has to be need not be worked out for them. */
function isAnythingOutside(past: Float32Array, value: number, { highPassed, seasonal, jump, fast, slow }: Judgement): boolean {
  return (
    isOutside(past, statistic.level, value) ||
    isOutside(past, statistic.highPass, highPassed) ||
    isOutside(past, statistic.season, seasonal) ||
    isOutside(past, statistic.jump, jump) ||
    isOutside(past, statistic.step, fast - slow)
  )
}

/** How far level, high-pass, season, jump and step lie outside their own past. */
function judgeNovelty(
  state: SeriesState,
  value: number,
  { resolution, hasModes, configuration }: SeriesTraits,
  judgement: Judgement,
): void {
  const { numbers } = state
  const seenMs = Math.max(1, judgement.seenMs)
  const noise = noiseOf(numbers, resolution)
  const ofLevel = configuration.marginRanges * (1 + settings.levelMaturityMs / seenMs)
  const { highPassed, seasonal, jump, fast, slow } = judgement
  compareLevel(state, value, noise, ofLevel, judgement)
  // What today is compared with must be yesterday, and how much days differ is known when a second one is over.
  if (seenMs > 2 * dayMs && seasonal === seasonal)
    compareWithPast(
      state,
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
  // A change by one step is no more than the series can do: less than half of two. Nor is an average of half of one.
  const step = numbers[slot.smallestStep]!
  const { marginRanges } = configuration
  const intervalMs = numbers[slot.intervalMs]!
  const twoSteps = Math.max(noise, 2 * step)
  // What is minutes old is known far less well than what is twice as old.
  const ofHighPass = marginRanges * (1 + (changeMaturityMs(1 / settings.highPassWeight, intervalMs) / seenMs) ** 2)
  if (seenMs >= settings.highPassAfterMs)
    compareWithPast(state, 'high-pass', statistic.highPass, highPassed, twoSteps, ofHighPass, judgement, value)
  const ofJump = marginRanges * (1 + (changeMaturityMs(1, intervalMs) / seenMs) ** 2)
  if (judgement.isJump) compareWithPast(state, 'jump', statistic.jump, jump, twoSteps, ofJump, judgement, value)
  if (seenMs < stepAfterMs(intervalMs)) return
  const ofStep = marginRanges * (1 + changeMaturityMs(1 / settings.slowWeight, intervalMs) / seenMs)
  compareWithPast(state, 'step', statistic.step, fast - slow, Math.max(noise, step / 2), ofStep, judgement, value, slow)
}

/** A change that takes the one before it back: what went up comes straight down again. */
function reversalOf(before: number, jump: number): number {
  return before > 0 !== jump > 0 ? Math.sign(jump) * Math.min(Math.abs(before), Math.abs(jump)) : 0
}

/** What switches does so within a range, and stays for more than a reading; a day must be seen. */
function judgeModal(state: SeriesState, value: number, traits: SeriesTraits, judgement: Judgement): void {
  const { numbers, past } = state
  const { seenMs } = judgement
  if (numbers[slot.count]! < settings.noveltyReadings || seenMs < dayMs) return
  const { resolution, configuration } = traits
  const noise = noiseOf(numbers, resolution)
  const margin = configuration.marginRanges * (1 + settings.levelMaturityMs / (2 * seenMs))
  compareLevel(state, value, noise, margin, judgement)
  if (isOutside(past, statistic.level, value)) compareWithOutermost(state, value, margin, traits, judgement)
  if (judgement.isJump) compareWithPast(state, 'spike', statistic.jump, judgement.reversal, noise, margin, judgement, value)
  judgeModes(state, value, traits, judgement)
}

/** A value where the series has only been jumped over, between the places where it rests. */
function judgeModes(state: SeriesState, value: number, traits: SeriesTraits, judgement: Judgement): void {
  const gap = gapAt(state, value)
  if (!gap) return
  const { low, high } = gap
  const room = roomBeside(gap, state, traits)
  const isNearLow = value - low < high - value
  const severity = (isNearLow ? value - low : high - value) / room
  if (severity <= judgement.severity) return
  judgement.severity = severity
  judgement.detector = 'mode'
  judgement.isHigh = isNearLow
  judgement.expectedMin = isNearLow ? lowOf(state.past, statistic.level) : high - room
  judgement.expectedMax = isNearLow ? low + room : highOf(state.past, statistic.level)
}

/** How far from where the series rests a value may lie. */
function roomBeside({ low, high }: Gap, { numbers }: SeriesState, { resolution, configuration }: SeriesTraits): number {
  return Math.max(2 * configuration.marginRanges * settings.modeGapShare * (high - low), numbers[slot.modesWidth]!, 3 * resolution)
}

/** A value outside everything seen, measured by the place it lies next to instead of by how far the series switches. */
function compareWithOutermost(state: SeriesState, value: number, margin: number, traits: SeriesTraits, judgement: Judgement): void {
  const low = lowOf(state.past, statistic.level)
  const high = highOf(state.past, statistic.level)
  const isHigh = value > high
  const gap = outermostGap(state, isHigh)
  if (!gap) return
  const width = isHigh ? high - gap.high : gap.low - low
  const room = Math.max(margin * width, roomBeside(gap, state, traits))
  const severity = (isHigh ? value - high : low - value) / room
  if (severity <= judgement.severity) return
  judgement.severity = severity
  judgement.detector = 'level'
  judgement.isHigh = isHigh
  judgement.expectedMin = isHigh ? low : low - room
  judgement.expectedMax = isHigh ? high + room : high
}

/** A range of a statistic that is narrower is noise. */
function noiseOf(numbers: Float64Array, resolution: number): number {
  return Math.max(resolution, Math.abs(numbers[slot.slow]!) * 1e-6, 1e-12)
}

function compareLevel(state: SeriesState, value: number, noise: number, margin: number, judgement: Judgement): void {
  const rangeMin = Math.max(noise, settings.levelRangeMin * Math.abs(state.numbers[slot.slow]!))
  compareWithPast(state, 'level', statistic.level, value, rangeMin, margin, judgement, value)
}

/** @param base where the statistic would be 0: expected is what a value that stays may be */
function compareWithPast(
  state: SeriesState,
  detector: DetectorName,
  index: number,
  now: number,
  rangeMin: number,
  margin: number,
  judgement: Judgement,
  value: number,
  base = value - now,
): void {
  const { past } = state
  const distance = outside(past, index, now, rangeMin)
  if (distance === 0) return
  const narrowed = margin * marginShare(state, index, rangeMin)
  const severity = Math.abs(distance) / narrowed
  if (severity <= judgement.severity || isDaily(state, index, now, value, judgement)) return
  const low = lowOf(past, index)
  const high = highOf(past, index)
  const room = narrowed * Math.max(high - low, rangeMin)
  judgement.severity = severity
  judgement.detector = detector
  judgement.isHigh = distance > 0
  judgement.expectedMin = base + low - room
  judgement.expectedMax = base + high + room
}

/** Where all blocks go about as far, what goes further is unusual sooner. How far they go is known after days. */
function marginShare({ numbers, past }: SeriesState, index: number, rangeMin: number): number {
  const { levelMaturityMs, evenMarginShare, tailMargin } = settings
  const seenMs = numbers[slot.lastTimeMs]! - numbers[slot.firstTimeMs]!
  if (seenMs <= levelMaturityMs) return 1
  const ofTail = Math.min(1, evenMarginShare + tailMargin * tailOf(past, index, rangeMin))
  return 1 - (1 - levelMaturityMs / seenMs) * (1 - ofTail)
}

/**
 * Whether a change is what the day does at this time, such as a shift that begins: it ends, and a jump begins, where the
 * series usually is by now.
 */
function isDaily({ numbers, season }: SeriesState, index: number, change: number, value: number, { bin, fast }: Judgement): boolean {
  const isChange = index === statistic.jump || index === statistic.highPass || index === statistic.step
  if (!isChange || numbers[slot.lastTimeMs]! - numbers[slot.firstTimeMs]! < dayMs) return false
  const near = settings.dailyShare * Math.abs(change)
  const isUsual = (reached: number) => Math.abs(fromUsual(season, bin, reached)) < near
  if (index === statistic.step && isUsual(fast)) return true
  return isUsual(value) && (index !== statistic.jump || isUsual(value - change))
}

/** What is between a value and the usual one of this half hour, or of that before or after it: no day is on time to the minute. */
function fromUsual(season: Float32Array, bin: number, value: number): number {
  let nearest = value - season[bin]!
  const before = value - season[(bin + seasonBins - 1) % seasonBins]!
  const after = value - season[(bin + 1) % seasonBins]!
  if (Math.abs(before) < Math.abs(nearest)) nearest = before
  if (Math.abs(after) < Math.abs(nearest)) nearest = after
  return nearest
}
