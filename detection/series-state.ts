/**
 * The state of all detectors of one series in one buffer, so that it can be kept in a table as bytes and restored bit
 * for bit. Counters, times and levels are doubles; ranges, the day's profile and the rolling window are floats, which lie
 * a ten-millionth beside the truth; the rolling window keeps the age of each value in a byte.
 */

/** Doubles from the start of the buffer. */
export const slot = {
  count: 0,
  /** Of the first reading; a gap that is longer than what was seen before it moves it on. */
  firstTimeMs: 1,
  lastTimeMs: 2,
  lastValue: 3,
  /** Usual time between readings, and the longest pause that was none of the detectors' business. */
  intervalMs: 4,
  longestGapMs: 5,
  fast: 6,
  slow: 7,
  highPass: 8,
  blockStartMs: 9,
  epochStartMs: 10,
  epochReadings: 11,
  seasonBin: 12,
  /** Readings of the first visit to the bin; negative when the bin was known before. */
  seasonVisit: 13,
  /** Readings in a row that were equal to the one before; negative once that was taken for normal. */
  stuckRun: 14,
  longestRun: 15,
  changes: 16,
  driftLevel: 17,
  driftLow: 18,
  driftHigh: 19,
  /** Readings that the rolling window has taken since it began. */
  windowTaken: 20,
  /** Readings in a row outside the rolling window, and abnormal in any way. */
  abnormalRun: 21,
  unusualRun: 22,
  severity: 23,
  /** The change before the last: one that goes straight back is a spike. */
  lastJump: 24,
  /** The value that the longest run of equal readings had, and runs at any other: what rests at zero does not rest elsewhere. */
  restValue: 25,
  longestElsewhere: 26,
  readingsElsewhere: 27,
  changesElsewhere: 28,
  /** Bins of `modes.ts`. */
  modesLow: 29,
  modesWidth: 30,
  /** The smallest change so far: what comes in whole steps has no smaller noise. 0 before the first. */
  smallestStep: 31,
  /** The same of the averages, which also begin again when a fault is over. */
  averaged: 32,
  levelBlockStartMs: 33,
} as const

const doubles = 34
export const windowReadings = 23
export const seasonBins = 48
export const modeBins = 32
/** Statistics whose own past is kept. */
export const statistic = { level: 0, highPass: 1, season: 2, jump: 3, step: 4, rolling: 5 } as const
export const statistics = 6
/** Two extremes on two sides in two epochs, and the extremes of the open block. */
export const pastFloats = 10

const pastOffset = doubles * 8
const seasonOffset = pastOffset + statistics * pastFloats * 4
const windowOffset = seasonOffset + seasonBins * 4
const agesOffset = windowOffset + windowReadings * 4
const modesOffset = agesOffset + windowReadings
export const seriesStateBytes = Math.ceil((modesOffset + 2 * modeBins) / 8) * 8

export type SeriesState = {
  readonly numbers: Float64Array
  /** Extremes of each statistic, one statistic after the other. */
  readonly past: Float32Array
  /** Usual value by time of day; NaN where none was seen. */
  readonly season: Float32Array
  /** The rolling window, sorted, and how old each of its values is. */
  readonly window: Float32Array
  readonly ages: Uint8Array
  /** Crossings and visits of each bin of its range. */
  readonly modes: Uint8Array
}

/** Views upon a state's bytes, which are not copied and must begin at a multiple of eight. */
function seriesStateOf(buffer: ArrayBuffer, byteOffset = 0): SeriesState {
  return {
    numbers: new Float64Array(buffer, byteOffset, doubles),
    past: new Float32Array(buffer, byteOffset + pastOffset, statistics * pastFloats),
    season: new Float32Array(buffer, byteOffset + seasonOffset, seasonBins),
    window: new Float32Array(buffer, byteOffset + windowOffset, windowReadings),
    ages: new Uint8Array(buffer, byteOffset + agesOffset, windowReadings),
    modes: new Uint8Array(buffer, byteOffset + modesOffset, 2 * modeBins),
  }
}

export function newSeriesState(): SeriesState {
  const state = seriesStateOf(new ArrayBuffer(seriesStateBytes))
  state.past.set(emptyPast)
  state.season.fill(Number.NaN)
  state.numbers[slot.driftLow] = Number.POSITIVE_INFINITY
  state.numbers[slot.driftHigh] = Number.NEGATIVE_INFINITY
  return state
}

const emptyPast = Float32Array.from({ length: statistics * pastFloats }, (_, index) =>
  [0, 1, 4, 5, 8].includes(index % pastFloats) ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY,
)

/** The state's own bytes, not a copy. */
export function seriesBytes({ numbers }: SeriesState): Uint8Array {
  return new Uint8Array(numbers.buffer, numbers.byteOffset, seriesStateBytes)
}

export function copyOfSeries(state: SeriesState): SeriesState {
  return seriesStateFrom(seriesBytes(state))
}

/** @throws RangeError when the bytes are not those of a state */
export function seriesStateFrom(bytes: Uint8Array): SeriesState {
  if (bytes.length !== seriesStateBytes)
    throw new RangeError(`a series state of ${bytes.length} bytes, this program reads ${seriesStateBytes}`)
  return seriesStateOf(new Uint8Array(bytes).buffer)
}

/** A small whole number out of a state's doubles, as one that indices can be worked out from without a conversion at every step. */
export function whole(double: number): number {
  return double | 0
}
