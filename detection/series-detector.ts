/**
 * A rolling robust score for one signal of one device: how far a reading lies from the median of the readings before
 * it, in robust standard deviations (1.4826 x MAD). An anomaly must not teach the detector that anomalies are normal,
 * so abnormal readings are kept out of the window, until they have lasted so long that they are the new normal.
 *
 * All state is one Float64Array, so that it can be kept in a table as bytes and restored bit for bit.
 */
import { medianAbsoluteDeviation, medianOfSorted, replaceSorted } from './sorted-window.ts'

export const detectorVersion = 1

export const detectorSettings = {
  windowReadings: 96,
  /** Readings before the first verdict. */
  learningReadings: 24,
  recentReadings: 48,
  onsetScore: 10,
  clearScore: 5,
  /** Abnormal readings until the level is adopted as normal: half an hour at one a second. */
  adoptReadings: 1800,
  /** A gap this long breaks a run of abnormal readings: no alert may be made of readings on both sides of it. */
  gapMs: 300_000,
} as const

const { windowReadings, recentReadings } = detectorSettings

// Layout of the state.
const slot = {
  count: 0,
  head: 1,
  recentHead: 2,
  recentCount: 3,
  lastTimeMs: 4,
  score: 5,
  abnormalRun: 6,
  baselineFromMs: 7,
  seen: 8,
} as const
const ringOffset = 16
const sortedOffset = ringOffset + windowReadings
const recentTimesOffset = sortedOffset + windowReadings
const recentValuesOffset = recentTimesOffset + recentReadings
export const seriesStateLength = recentValuesOffset + recentReadings

export type SeriesState = Float64Array

export function newSeriesState(): SeriesState {
  return new Float64Array(seriesStateLength)
}

export type Verdict =
  | { readonly kind: 'learning'; readonly readingsMissing: number }
  | { readonly kind: 'late' }
  | { readonly kind: 'normal' | 'doubtful' | 'anomaly'; readonly score: number; readonly expectedMin: number; readonly expectedMax: number }
  | { readonly kind: 'adopted' }

/**
 * Judges one reading and learns from it if it is not abnormal.
 * @param resolution the smallest change that means anything, in the signal's unit; 0 if not known
 */
export function observe(state: SeriesState, timeMs: number, value: number, resolution: number): Verdict {
  const elapsedMs = timeMs - state[slot.lastTimeMs]!
  // A little older than the last is disorder, and says nothing new; much older is a clock set back, or a recording begun again.
  if (elapsedMs < 0 && elapsedMs >= -detectorSettings.gapMs) return { kind: 'late' }
  if (Math.abs(elapsedMs) > detectorSettings.gapMs) state[slot.abnormalRun] = 0
  state[slot.lastTimeMs] = timeMs
  state[slot.seen]!++
  remember(state, timeMs, value)
  const count = state[slot.count]!
  if (count < detectorSettings.learningReadings) {
    learn(state, timeMs, value)
    return { kind: 'learning', readingsMissing: detectorSettings.learningReadings - count - 1 }
  }
  const { median, sigma } = baseline(state, resolution)
  const score = (value - median) / sigma
  state[slot.score] = score
  const expected = {
    score,
    expectedMin: median - detectorSettings.onsetScore * sigma,
    expectedMax: median + detectorSettings.onsetScore * sigma,
  }
  const size = Math.abs(score)
  if (size < detectorSettings.onsetScore) {
    // Doubtful readings are learned, too: kept out, they would freeze the window, and a slow wave would run away from it.
    if (size < detectorSettings.clearScore) state[slot.abnormalRun] = 0
    learn(state, timeMs, value)
    return { kind: size < detectorSettings.clearScore ? 'normal' : 'doubtful', ...expected }
  }
  if (++state[slot.abnormalRun]! >= detectorSettings.adoptReadings) {
    adopt(state)
    return { kind: 'adopted' }
  }
  return { kind: 'anomaly', ...expected }
}

/** Median and robust standard deviation of the window, the latter never below what the sensor can resolve. */
function baseline(state: SeriesState, resolution: number): { median: number; sigma: number } {
  const count = state[slot.count]!
  const median = medianOfSorted(state, sortedOffset, count)
  const deviation = 1.4826 * medianAbsoluteDeviation(state, sortedOffset, count, median)
  return { median, sigma: Math.max(deviation, resolution, 0.002 * Math.abs(median), 1e-9) }
}

function learn(state: SeriesState, timeMs: number, value: number): void {
  const count = state[slot.count]!
  const head = state[slot.head]!
  if (count === 0) state[slot.baselineFromMs] = timeMs
  const isFull = count === windowReadings
  replaceSorted(state, sortedOffset, count, value, isFull ? state[ringOffset + head]! : undefined)
  state[ringOffset + head] = value
  state[slot.head] = (head + 1) % windowReadings
  if (!isFull) state[slot.count] = count + 1
}

/** The recent readings become the baseline. */
function adopt(state: SeriesState): void {
  const { timesMs, values } = recentWindow(state)
  state[slot.count] = 0
  state[slot.head] = 0
  state[slot.abnormalRun] = 0
  for (let i = 0; i < values.length; i++) learn(state, timesMs[i]!, values[i]!)
}

function remember(state: SeriesState, timeMs: number, value: number): void {
  const head = state[slot.recentHead]!
  state[recentTimesOffset + head] = timeMs
  state[recentValuesOffset + head] = value
  state[slot.recentHead] = (head + 1) % recentReadings
  state[slot.recentCount] = Math.min(state[slot.recentCount]! + 1, recentReadings)
}

/** The last readings judged, oldest first. */
export function recentWindow(state: SeriesState): { timesMs: number[]; values: number[] } {
  const count = state[slot.recentCount]!
  const start = state[slot.recentHead]! - count + recentReadings
  const timesMs: number[] = []
  const values: number[] = []
  for (let i = 0; i < count; i++) {
    const index = (start + i) % recentReadings
    timesMs.push(state[recentTimesOffset + index]!)
    values.push(state[recentValuesOffset + index]!)
  }
  return { timesMs, values }
}

/** The newest reading judged, undefined before the first. */
export function lastReading(state: SeriesState): { timeMs: number; value: number } | undefined {
  if (state[slot.recentCount] === 0) return undefined
  const index = (state[slot.recentHead]! + recentReadings - 1) % recentReadings
  return { timeMs: state[recentTimesOffset + index]!, value: state[recentValuesOffset + index]! }
}

export function lastScore(state: SeriesState): { score: number; timeMs: number } {
  return { score: state[slot.score]!, timeMs: state[slot.lastTimeMs]! }
}

export function isLearning(state: SeriesState): boolean {
  return state[slot.count]! < detectorSettings.learningReadings
}

export function baselineSpan(state: SeriesState): { fromMs: number; readings: number } {
  return { fromMs: state[slot.baselineFromMs]!, readings: state[slot.count]! }
}
