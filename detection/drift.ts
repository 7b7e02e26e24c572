/**
 * Creeping wear, to which all other pasts adapt: the average of a day, compared with all that was seen while the machine
 * was new. What stays where it has crept to belongs to what the machine is, and so does the edge at which it comes and goes.
 */
import type { Judgement } from './judgement.ts'
import { highOf, lowOf } from './past.ts'
import { slot, statistic } from './series-state.ts'
import type { SeriesState } from './series-state.ts'
import { settings } from './settings.ts'

export function judgeDrift({ numbers }: SeriesState, elapsedMs: number, value: number, judgement: Judgement): void {
  if (!isCommissioned(numbers)) return
  const level = levelAfter(numbers, elapsedMs, value)
  // All or nothing: what creeps would otherwise be a little worse with every reading.
  if (!isOut(numbers, level)) return
  const room = roomOf(numbers)
  judgement.severity = 1
  judgement.detector = 'drift'
  judgement.isHigh = level > numbers[slot.driftHigh]!
  judgement.expectedMin = numbers[slot.driftLow]! - room
  judgement.expectedMax = numbers[slot.driftHigh]! + room
}

export function learnDrift({ numbers, past }: SeriesState, timeMs: number, elapsedMs: number, value: number): void {
  const before = numbers[slot.driftLevel]!
  const level = (numbers[slot.driftLevel] = levelAfter(numbers, elapsedMs, value))
  if (!isCommissioned(numbers)) {
    if (timeMs - numbers[slot.firstTimeMs]! >= settings.commissioningMs) commission(numbers, past, level)
    return
  }
  const unusualRun = numbers[slot.unusualRun]!
  // What comes back by itself, as an average of days goes up and down, would be news every day.
  const isBack = unusualRun > 0 && isOut(numbers, before) && !isOut(numbers, level)
  // A level that has stayed is confirmed.
  if (isBack || unusualRun >= settings.adoptReadings) widenTo(numbers, level)
}

/** The level the series has now is normal from here on: its fast average, and the day's, whose waves it may be the crest of. */
export function adoptDrift(numbers: Float64Array, level: number): void {
  if (isCommissioned(numbers)) {
    widenTo(numbers, level)
    widenTo(numbers, numbers[slot.driftLevel]!)
  }
  numbers[slot.driftLevel] = level
}

/** A fault is over that the average of a day still holds: it is no drift of what is left. */
export function forgetDrift({ numbers }: SeriesState): void {
  const [low, high] = [numbers[slot.driftLow]!, numbers[slot.driftHigh]!]
  if (isCommissioned(numbers)) numbers[slot.driftLevel] = Math.min(high, Math.max(low, numbers[slot.driftLevel]!))
}

/** The average of a day with one more reading in it. */
function levelAfter(numbers: Float64Array, elapsedMs: number, value: number): number {
  const level = numbers[slot.driftLevel]!
  return level + Math.min(0.1, Math.max(0, elapsedMs) / settings.driftTauMs) * (value - level)
}

/** Unknown until the machine is no longer new. */
function isCommissioned(numbers: Float64Array): boolean {
  return numbers[slot.driftHigh]! >= numbers[slot.driftLow]!
}

function commission(numbers: Float64Array, past: Float32Array, level: number): void {
  const [low, high] = [lowOf(past, statistic.level), highOf(past, statistic.level)]
  // What has crept all the while, such as a counter, has no level yet: its last readings are near where it has come to, and its average behind them.
  const edge = settings.driftEdge * (high - low)
  const [lowest, highest] = [Math.min(numbers[slot.fast]!, numbers[slot.slow]!), Math.max(numbers[slot.fast]!, numbers[slot.slow]!)]
  if (lowest < Math.min(low + edge, level) || highest > Math.max(high - edge, level)) return
  numbers[slot.driftLow] = low
  numbers[slot.driftHigh] = high
}

/** How far outside the average must be. */
function roomOf(numbers: Float64Array): number {
  const low = numbers[slot.driftLow]!
  return settings.driftMarginRanges * Math.max(numbers[slot.driftHigh]! - low, settings.levelRangeMin * Math.abs(low))
}

/** Once it is out, half as far is enough. */
function isOut(numbers: Float64Array, level: number): boolean {
  const distance = Math.max(level - numbers[slot.driftHigh]!, numbers[slot.driftLow]! - level)
  return distance >= (numbers[slot.unusualRun]! > 0 ? settings.driftHysteresis : 1) * roomOf(numbers)
}

function widenTo(numbers: Float64Array, level: number): void {
  numbers[slot.driftLow] = Math.min(numbers[slot.driftLow]!, level)
  numbers[slot.driftHigh] = Math.max(numbers[slot.driftHigh]!, level)
}
