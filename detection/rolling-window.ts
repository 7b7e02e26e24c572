/**
 * Median and median absolute deviation of the last readings, kept incrementally: the values lie sorted, each with its
 * age beside it, so that the oldest can be found when it must leave. Nothing is sorted again.
 */

/** Puts `arriving` into the sorted run of `count` values: in the place of the one of the same age if there is one, else beside all of them. */
export function putSorted(values: Float32Array, ages: Uint8Array, count: number, arriving: number, age: number): void {
  let position = 0
  while (position < count && ages[position] !== age) position++
  // Slide the gap from where a value left to where the new one belongs.
  while (position > 0 && values[position - 1]! > arriving) {
    values[position] = values[position - 1]!
    ages[position] = ages[position - 1]!
    position--
  }
  while (position + 1 < count && values[position + 1]! < arriving) {
    values[position] = values[position + 1]!
    ages[position] = ages[position + 1]!
    position++
  }
  values[position] = arriving
  ages[position] = age
}

export function medianOfSorted(values: Float32Array, count: number): number {
  const middle = count >> 1
  return count % 2 === 1 ? values[middle]! : (values[middle - 1]! + values[middle]!) / 2
}

/** A standard deviation from the window's tenths on both sides: two values that alternate spread, though half of them lie at the median. */
export function tenthsDeviation(values: Float32Array, count: number): number {
  const tenth = Math.floor(count / 10)
  return (values[count - 1 - tenth]! - values[tenth]!) / 2.563
}

/** Median absolute deviation around the median, walking outwards from it: no second sort. */
export function medianAbsoluteDeviation(values: Float32Array, count: number, median: number): number {
  let above = count >> 1
  let below = above - 1
  const wanted = count >> 1
  let previous = 0
  let current = 0
  for (let taken = 0; taken <= wanted; taken++) {
    previous = current
    const down = below >= 0 ? median - values[below]! : Number.POSITIVE_INFINITY
    const up = above < count ? values[above]! - median : Number.POSITIVE_INFINITY
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
