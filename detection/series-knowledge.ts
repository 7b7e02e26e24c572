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
  const isNew = (reach: number) => count < settings.noveltyReadings || seenMs < changeMaturityMs(reach, numbers[slot.intervalMs]!)
  if (isNew(1 / settings.highPassWeight)) learning.push('high-pass')
  if (isNew(1)) learning.push('jump')
  if (isNew(1 / settings.slowWeight)) learning.push('step')
  if (seenMs < settings.levelMaturityMs) learning.push('level')
  if (seenMs < 2 * dayMs) learning.push('season')
  if (seenMs < settings.commissioningMs) learning.push('drift')
  return learning
}

/**
 * The past of a change is worth as much as it ever will be after it has been seen over many times what it reaches back,
 * and for long enough that the machine has done this and that; no later than what a day decides.
 * @param reach readings that the statistic looks back upon
 */
export function changeMaturityMs(reach: number, intervalMs: number): number {
  const { changeMaturity, maturityReaches, levelMaturityMs } = settings
  return Math.min(levelMaturityMs, Math.max(timeOf(changeMaturity, intervalMs), maturityReaches * reach * intervalMs))
}

/** From when on the short average is compared with the long one. */
export function stepAfterMs(intervalMs: number): number {
  return timeOf(settings.stepAfter, intervalMs)
}

type Span = { readonly readings: number; readonly msMin: number; readonly msMax: number }

function timeOf({ readings, msMin, msMax }: Span, intervalMs: number): number {
  return Math.min(msMax, Math.max(msMin, readings * intervalMs))
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
