/**
 * How far outside everything this series has done before: a statistic is compared with the second most extreme values
 * of its own past, in units of its own range. One outlier does not make the next one ordinary; two do. Two epochs are
 * kept, the present one and the one before it, so that a range of long ago is forgotten. What is seen joins the past in
 * blocks: a change too slow to leave the range of the last seconds still leaves that of the blocks before it.
 *
 * Each statistic has ten floats: lowest, second lowest, highest, second highest block of the epoch, the same of the
 * epoch before, and lowest and highest of the open block.
 */
import { pastFloats } from './series-state.ts'

const lowest = 0
const highest = 2
const before = 4
const block = 8

/** The range of the past of one statistic; low above high while nothing is known. */
export function lowOf(past: Float32Array, statistic: number): number {
  const at = statistic * pastFloats
  return Math.min(past[at + lowest + 1]!, past[at + before + lowest + 1]!)
}

export function highOf(past: Float32Array, statistic: number): number {
  const at = statistic * pastFloats
  return Math.max(past[at + highest + 1]!, past[at + before + highest + 1]!)
}

/** Whether the value lies outside the past's range; false while nothing is known. */
export function isOutside(past: Float32Array, statistic: number, value: number): boolean {
  const low = lowOf(past, statistic)
  const high = highOf(past, statistic)
  return high >= low && (value > high || value < low)
}

/**
 * Distance from the past's range, in ranges: negative below, positive above, 0 inside or while nothing is known.
 * @param rangeMin a range narrower than this is noise
 */
export function outside(past: Float32Array, statistic: number, value: number, rangeMin: number): number {
  const low = lowOf(past, statistic)
  const high = highOf(past, statistic)
  if (!(high >= low)) return 0
  if (value > high) return (value - high) / Math.max(high - low, rangeMin)
  if (value < low) return (value - low) / Math.max(high - low, rangeMin)
  return 0
}

/** How far the most extreme block lies beyond the second most extreme one, in ranges, on the side where it is farther: large where tails are heavy. */
export function tailOf(past: Float32Array, statistic: number, rangeMin: number): number {
  const at = statistic * pastFloats
  const low = lowOf(past, statistic)
  const high = highOf(past, statistic)
  const below = low - Math.min(past[at + lowest]!, past[at + before + lowest]!)
  const above = Math.max(past[at + highest]!, past[at + before + highest]!) - high
  return Math.max(below, above) / Math.max(high - low, rangeMin)
}

export function remember(past: Float32Array, statistic: number, value: number): void {
  const at = statistic * pastFloats + block
  if (value < past[at]!) past[at] = value
  if (value > past[at + 1]!) past[at + 1] = value
}

/** Whether the open block holds less and more than this already, so that remembering it would change nothing. */
export function isInBlock(past: Float32Array, statistic: number, value: number): boolean {
  const at = statistic * pastFloats + block
  return value >= past[at]! && value <= past[at + 1]!
}

/** Whether more lies between the extremes of the open block than between those of the past. */
export function isWider(past: Float32Array, statistic: number): boolean {
  const at = statistic * pastFloats + block
  return past[at + 1]! - past[at]! > highOf(past, statistic) - lowOf(past, statistic)
}

/** What was seen of the statistics from one to another since their blocks were closed last joins their past. */
export function closeBlocks(past: Float32Array, from: number, to: number): void {
  for (let at = from * pastFloats; at < to * pastFloats; at += pastFloats) {
    insertLow(past, at + lowest, past[at + block]!)
    insertHigh(past, at + highest, past[at + block + 1]!)
    past[at + block] = Number.POSITIVE_INFINITY
    past[at + block + 1] = Number.NEGATIVE_INFINITY
  }
}

/** What was seen of a statistic in the open block has gone on for long enough: it counts as if it had been in two. */
export function adoptBlock(past: Float32Array, statistic: number): void {
  const at = statistic * pastFloats
  for (let blocks = 0; blocks < 2; blocks++) {
    insertLow(past, at + lowest, past[at + block]!)
    insertHigh(past, at + highest, past[at + block + 1]!)
  }
}

function insertLow(past: Float32Array, at: number, value: number): void {
  if (value < past[at]!) {
    past[at + 1] = past[at]!
    past[at] = value
  } else if (value < past[at + 1]!) past[at + 1] = value
}

function insertHigh(past: Float32Array, at: number, value: number): void {
  if (value > past[at]!) {
    past[at + 1] = past[at]!
    past[at] = value
  } else if (value > past[at + 1]!) past[at + 1] = value
}

/** Begins a new epoch of all statistics. */
export function turnEpoch(past: Float32Array): void {
  for (let at = 0; at < past.length; at += pastFloats) {
    for (let i = 0; i < before; i++) past[at + before + i] = past[at + i]!
    past[at + lowest] = past[at + lowest + 1] = Number.POSITIVE_INFINITY
    past[at + highest] = past[at + highest + 1] = Number.NEGATIVE_INFINITY
  }
}
