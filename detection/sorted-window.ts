/**
 * Median and median absolute deviation of the last readings, kept incrementally: a ring tells which value leaves,
 * a sorted copy answers the order statistics. Both live in one Float64Array that belongs to the caller.
 */

/** Replaces `leaving` (or nothing, while filling) by `arriving` in the sorted run of `count` values at `offset`. */
export function replaceSorted(state: Float64Array, offset: number, count: number, arriving: number, leaving: number | undefined): void {
  let position: number
  if (leaving === undefined) {
    position = offset + count
  } else {
    position = lowerBound(state, offset, offset + count, leaving)
  }
  const end = offset + count
  // Slide the gap from where a value left to where the new one belongs.
  while (position > offset && state[position - 1]! > arriving) {
    state[position] = state[position - 1]!
    position--
  }
  while (leaving !== undefined && position + 1 < end && state[position + 1]! < arriving) {
    state[position] = state[position + 1]!
    position++
  }
  state[position] = arriving
}

function lowerBound(state: Float64Array, from: number, to: number, value: number): number {
  let low = from
  let high = to
  while (low < high) {
    const middle = (low + high) >>> 1
    if (state[middle]! < value) low = middle + 1
    else high = middle
  }
  return low
}

export function medianOfSorted(state: Float64Array, offset: number, count: number): number {
  const middle = offset + (count >> 1)
  return count % 2 === 1 ? state[middle]! : (state[middle - 1]! + state[middle]!) / 2
}

/** Median absolute deviation around `median`, walking outwards from it: no second sort. */
export function medianAbsoluteDeviation(state: Float64Array, offset: number, count: number, median: number): number {
  let below = lowerBound(state, offset, offset + count, median) - 1
  let above = below + 1
  const end = offset + count
  const wanted = count >> 1
  let previous = 0
  let current = 0
  for (let taken = 0; taken <= wanted; taken++) {
    previous = current
    const down = below >= offset ? median - state[below]! : Number.POSITIVE_INFINITY
    const up = above < end ? state[above]! - median : Number.POSITIVE_INFINITY
    if (down <= up) {
      current = down
      below--
    } else {
      current = up
      above++
    }
  }
  return count % 2 === 1 ? current : (previous + current) / 2
}
