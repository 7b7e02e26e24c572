/**
 * The statement of what was held back of one signal: how many readings, how low, how high, their sum. It goes to the cloud
 * once in a while rather than with every block: it would often weigh more than the readings it stands for.
 */
import type { FilteredSummary } from '../contract/telemetry/telemetry.ts'

const slot = { count: 0, min: 1, max: 2, sum: 3, lastTimeMs: 4, sinceMs: 5 } as const
export const heldBackLength = 6
export type HeldBack = Float64Array

/** How long a statement may wait for more. */
const tellEveryMs = 60_000
const countMax = 10_000
const decimalsMax = 9

export function newHeldBack(): HeldBack {
  return new Float64Array(heldBackLength)
}

export function holdBack(state: HeldBack, timeMs: number, value: number, nowMs: number): void {
  addSummary(state, { count: 1, min: value, max: value, mean: value, lastTimeMs: timeMs }, nowMs)
}

export function addSummary(state: HeldBack, { count, min, max, mean, lastTimeMs }: FilteredSummary, nowMs: number): void {
  const isFirst = state[slot.count] === 0
  state[slot.min] = isFirst ? min : Math.min(state[slot.min]!, min)
  state[slot.max] = isFirst ? max : Math.max(state[slot.max]!, max)
  state[slot.sum]! += mean * count
  state[slot.count]! += count
  state[slot.lastTimeMs] = isFirst ? lastTimeMs : Math.max(state[slot.lastTimeMs]!, lastTimeMs)
  if (isFirst) state[slot.sinceMs] = nowMs
}

/** The statement, when it is time for it; the next one begins. */
export function takeStatement(state: HeldBack, nowMs: number): FilteredSummary | undefined {
  const count = state[slot.count]!
  if (count === 0 || (nowMs - state[slot.sinceMs]! < tellEveryMs && count < countMax)) return undefined
  const [min, max] = [state[slot.min]!, state[slot.max]!]
  const summary = { count, min, max, mean: roundedMean(state[slot.sum]! / count, min, max), lastTimeMs: state[slot.lastTimeMs]! }
  state.fill(0)
  return summary
}

/** One that nobody has taken in twice its time: what comes now belongs to another. */
export function takeOverdueStatement(state: HeldBack, nowMs: number): FilteredSummary | undefined {
  return takeStatement(state, nowMs - tellEveryMs)
}

/** Two decimals more than the readings have: enough for any statistics, and few bytes. */
function roundedMean(mean: number, min: number, max: number): number {
  let decimals = 0
  for (; decimals < decimalsMax - 2; decimals++) if ([min, max].every((value) => Number(value.toFixed(decimals)) === value)) break
  return Math.min(max, Math.max(min, Number(mean.toFixed(decimals + 2))))
}
