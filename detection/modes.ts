/**
 * Where a series rests, and what it only jumps over. A machine that switches (on and off, low and high gear) has a few
 * modes: between them lies a range that it has crossed many times in one step, and where it has not stayed. A value
 * there is no value of this machine, though it lies well inside everything that was seen.
 *
 * The range is parted into bins, made coarser when it grows. Each has a byte for how often it was jumped over, and one
 * for in how many blocks of time it was visited, with the open block's visit in its lowest bit.
 */
import { modeBins, slot } from './series-state.ts'
import type { SeriesState } from './series-state.ts'
import { settings } from './settings.ts'

/** A gap between modes; the bounds are those of the nearest values that are ordinary. */
export type Gap = { low: number; high: number }

const gap: Gap = { low: 0, high: 0 }

/** The gap between modes that the value lies in, undefined where it lies in none; the same object again for every call. */
export function gapAt({ numbers, modes }: SeriesState, value: number): Gap | undefined {
  const width = numbers[slot.modesWidth]!
  if (width === 0) return undefined
  const at = Math.floor((value - numbers[slot.modesLow]!) / width)
  if (at < 0 || at >= modeBins || isOrdinary(modes, at) || modes[at]! < settings.modeCrossings) return undefined
  return gapAround(numbers, modes, at)
}

/**
 * The gap beside the highest, or the lowest, place where the series rests. Undefined where that place is wider than the gap:
 * it does not switch there, it moves.
 */
export function outermostGap({ numbers, modes }: SeriesState, isHigh: boolean): Gap | undefined {
  const inwards = isHigh ? -1 : 1
  const isInRange = (bin: number) => bin >= 0 && bin < modeBins
  let at = isHigh ? modeBins - 1 : 0
  while (isInRange(at) && !isOrdinary(modes, at)) at += inwards
  const outermost = at
  while (isInRange(at) && isOrdinary(modes, at)) at += inwards
  const found = isInRange(at) ? gapAround(numbers, modes, at) : undefined
  return found && found.high - found.low >= Math.abs(at - outermost) * numbers[slot.modesWidth]! ? found : undefined
}

/** What lies around a bin that is not ordinary, between two that are. */
function gapAround(numbers: Float64Array, modes: Uint8Array, at: number): Gap | undefined {
  let below = at - 1
  while (below >= 0 && !isOrdinary(modes, below)) below--
  let above = at + 1
  while (above < modeBins && !isOrdinary(modes, above)) above++
  if (below < 0 || above >= modeBins) return undefined
  const width = numbers[slot.modesWidth]!
  gap.low = numbers[slot.modesLow]! + (below + 1) * width
  gap.high = numbers[slot.modesLow]! + above * width
  return gap
}

/** Visited in two blocks of time at least: once may have been a fault. */
function isOrdinary(modes: Uint8Array, bin: number): boolean {
  return modes[modeBins + bin]! >> 1 >= 2
}

/** @param isAbnormal an anomaly must not make the bins coarser */
export function learnModes({ numbers, modes }: SeriesState, value: number, resolution: number, isAbnormal: boolean, isGap: boolean): void {
  if (numbers[slot.modesWidth] === 0) {
    const width = (numbers[slot.modesWidth] = Math.max(resolution, Math.abs(value) * 1e-3, 1e-9))
    numbers[slot.modesLow] = value - (width * modeBins) / 2
  }
  let at = Math.floor((value - numbers[slot.modesLow]!) / numbers[slot.modesWidth]!)
  while (at < 0 || at >= modeBins) {
    if (isAbnormal || !Number.isFinite(at)) return
    coarsen(numbers, modes, at < 0)
    at = Math.floor((value - numbers[slot.modesLow]!) / numbers[slot.modesWidth]!)
  }
  modes[modeBins + at]! |= 1
  const last = Math.floor((numbers[slot.lastValue]! - numbers[slot.modesLow]!) / numbers[slot.modesWidth]!)
  if (isGap || last < 0 || last >= modeBins) return
  for (let bin = Math.min(at, last) + 1; bin < Math.max(at, last); bin++) if (modes[bin]! < 255) modes[bin]!++
}

/** Twice the width, to one side: two bins become one. */
function coarsen(numbers: Float64Array, modes: Uint8Array, isDown: boolean): void {
  const half = modeBins / 2
  const merged = new Uint8Array(modes.length)
  const first = isDown ? half : 0
  for (let bin = 0; bin < half; bin++) {
    const [a, b] = [2 * bin, 2 * bin + 1]
    // What was jumped over in part was not jumped over as a whole.
    merged[first + bin] = Math.min(modes[a]!, modes[b]!)
    const visits = Math.max(modes[modeBins + a]! >> 1, modes[modeBins + b]! >> 1)
    merged[modeBins + first + bin] = (visits << 1) | ((modes[modeBins + a]! | modes[modeBins + b]!) & 1)
  }
  modes.set(merged)
  const width = numbers[slot.modesWidth]!
  if (isDown) numbers[slot.modesLow]! -= width * modeBins
  numbers[slot.modesWidth] = 2 * width
}

/** The open block's visits count from here on. */
export function closeModeBlock(modes: Uint8Array): void {
  for (let at = modeBins; at < 2 * modeBins; at++) {
    const visits = modes[at]!
    if (visits & 1) modes[at] = Math.min(127, (visits >> 1) + 1) << 1
  }
}

/** A new epoch: what is not seen again is forgotten within a few. Bins that an outlier has made too coarse begin again. */
export function turnModeEpoch({ numbers, modes }: SeriesState): void {
  let [first, last] = [modeBins, -1]
  for (let bin = 0; bin < modeBins; bin++) {
    modes[bin]! >>= 1
    modes[modeBins + bin] = (modes[modeBins + bin]! >> 2) << 1
    if (isOrdinary(modes, bin)) [first, last] = [Math.min(first, bin), bin]
  }
  if (last - first >= modeBins / 4) return
  modes.fill(0)
  numbers[slot.modesWidth] = 0
}
