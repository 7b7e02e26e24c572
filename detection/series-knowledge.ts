/** What is known of a series so far, and how long nothing was heard of it. */
import type { DetectorName } from '../contract/alert.ts'
import { slot } from './series-state.ts'
import type { SeriesState } from './series-state.ts'
import { dayMs, settings } from './settings.ts'

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
