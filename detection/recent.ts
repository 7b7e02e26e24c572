/** The last readings of a series as they came, abnormal ones too: what an alert shows. Serialisable: one array. */
import { whole } from './series-state.ts'

export const recentReadings = 48

const head = 0
const count = 1
const timesAt = 2
const valuesAt = timesAt + recentReadings
export const recentLength = valuesAt + recentReadings

export function newRecent(): Float64Array {
  return new Float64Array(recentLength)
}

export function rememberRecent(recent: Float64Array, timeMs: number, value: number): void {
  const at = whole(recent[head]!)
  recent[timesAt + at] = timeMs
  recent[valuesAt + at] = value
  recent[head] = (at + 1) % recentReadings
  recent[count] = Math.min(recent[count]! + 1, recentReadings)
}

/** Oldest first. */
export function recentWindow(recent: Float64Array): { timesMs: number[]; values: number[] } {
  const timesMs: number[] = []
  const values: number[] = []
  const start = recent[head]! - recent[count]! + recentReadings
  for (let i = 0; i < recent[count]!; i++) {
    const at = (start + i) % recentReadings
    timesMs.push(recent[timesAt + at]!)
    values.push(recent[valuesAt + at]!)
  }
  return { timesMs, values }
}

/** Undefined before the first. */
export function lastReading(recent: Float64Array): { timeMs: number; value: number } | undefined {
  if (recent[count] === 0) return undefined
  const at = (recent[head]! + recentReadings - 1) % recentReadings
  return { timeMs: recent[timesAt + at]!, value: recent[valuesAt + at]! }
}
