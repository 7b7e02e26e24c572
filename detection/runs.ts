/**
 * How long a series stands still: runs of equal readings, against how often it repeats itself by nature. It knows one
 * value at which it rests, that of its longest run, and what its runs are at any other.
 */
import type { Judgement, SeriesTraits } from './judgement.ts'
import { slot } from './series-state.ts'
import type { SeriesState } from './series-state.ts'
import { dayMs, settings } from './settings.ts'

/** Equal readings in a row, against how often this series repeats itself. */
export function judgeStuck({ numbers }: SeriesState, value: number, { resolution, isJumpy }: SeriesTraits, judgement: Judgement): void {
  const count = numbers[slot.count]!
  if (count < settings.stuckAfterReadings || value !== numbers[slot.lastValue]! || numbers[slot.stuckRun]! + 1 < settings.stuckReadings)
    return
  if (numbers[slot.stuckRun]! + 1 < stuckAfter(numbers, Math.max(1, judgement.seenMs), isJumpy)) return
  judgement.severity = 1
  judgement.detector = 'stuck'
  judgement.isHigh = false
  judgement.expectedMin = value - resolution
  judgement.expectedMax = value + resolution
}

function stuckAfter(numbers: Float64Array, ageMs: number, isJumpy: boolean): number {
  // What stands still by nature has a first time, too: a day must be seen.
  if (isJumpy && ageMs < dayMs) return Number.POSITIVE_INFINITY
  const isElsewhere =
    numbers[slot.lastValue]! !== numbers[slot.restValue]! &&
    numbers[slot.readingsElsewhere]! >= settings.elsewhereReadings &&
    numbers[slot.changesElsewhere]! >= settings.elsewhereChanges
  if (isElsewhere)
    return longestByChance(numbers[slot.longestElsewhere]!, numbers[slot.changesElsewhere]! / numbers[slot.readingsElsewhere]!, ageMs)
  const readings = longestByChance(numbers[slot.longestRun]!, numbers[slot.changes]! / numbers[slot.count]!, ageMs)
  return isJumpy ? settings.stuckJumpy * readings : readings
}

/** @param changes the share of readings that differ from the one before */
function longestByChance(longestRun: number, changes: number, ageMs: number): number {
  const repeats = Math.min(0.9999, Math.max(0.01, 1 - changes))
  const byChance = Math.log(settings.stuckChance) / Math.log(repeats)
  // What mostly repeats itself, such as whole degrees, stands still longest at the turns of a day: they must be seen.
  const maturity = repeats > settings.stuckRepeats ? 1 + settings.levelMaturityMs / ageMs : 1
  return Math.max(settings.stuckReadings, settings.stuckRuns * maturity * longestRun, byChance)
}

/** Whether it repeats more of its readings than not. */
export function isMostlyStill(numbers: Float64Array): boolean {
  return numbers[slot.changes]! < (1 - settings.stuckRepeats) * numbers[slot.count]!
}

/** A run that has lasted is normal until it ends: it is told once. */
export function adoptRun(numbers: Float64Array): void {
  numbers[slot.stuckRun] = -Math.abs(numbers[slot.stuckRun]!)
}

export function learnRun(numbers: Float64Array, value: number, isJumpy: boolean): void {
  const last = numbers[slot.lastValue]!
  const isElsewhere = last !== numbers[slot.restValue]!
  if (isElsewhere) numbers[slot.readingsElsewhere]!++
  if (value === last) {
    numbers[slot.stuckRun]! += numbers[slot.stuckRun]! < 0 ? -1 : 1
    return
  }
  const run = Math.abs(numbers[slot.stuckRun]!)
  const isYoung = numbers[slot.lastTimeMs]! - numbers[slot.firstTimeMs]! < settings.levelMaturityMs
  const isStill = isJumpy || isMostlyStill(numbers) || isYoung
  if (isElsewhere) numbers[slot.changesElsewhere]!++
  if (run > numbers[slot.longestRun]!) {
    if (isElsewhere) {
      // Another value to rest at: the runs of the old one are runs elsewhere from now on.
      numbers[slot.longestElsewhere] = Math.max(numbers[slot.longestElsewhere]!, numbers[slot.longestRun]!)
      numbers[slot.restValue] = last
    }
    numbers[slot.longestRun] = longerRun(numbers[slot.longestRun]!, run, isStill || !isElsewhere)
  } else if (isElsewhere) numbers[slot.longestElsewhere] = longerRun(numbers[slot.longestElsewhere]!, run, isStill)
  numbers[slot.stuckRun] = 0
  numbers[slot.changes]!++
}

/**
 * A sensor that was stuck does not make it ordinary to be: the longest run grows by twice at most, unless standing still is
 * what it does, or nobody knows yet: what a series does on its first day it has done.
 */
function longerRun(longest: number, run: number, isStill: boolean): number {
  return Math.max(longest, isStill ? run : Math.min(run, Math.max(settings.stuckReadings, 2 * longest)))
}
