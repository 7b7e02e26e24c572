/**
 * Repairs event times that cannot be. A reading from the future, or from before there were such devices, is moved to
 * when the hub took it, and all readings of its message with it; by how much is kept beside them. A reading that is
 * only old is left as it is: it may have waited in a buffer, or be a recording. How far the clock seems to be behind is
 * estimated all the same, as the least of the delays lately seen.
 */
import type { DeviceBlock, Series } from '../../contract/telemetry/telemetry.ts'

export const clockLimits = {
  /** The hub's clock and a device's may differ by so much. */
  aheadMsMax: 60_000,
  /** Before this, a clock that was never set speaks. */
  earliestMs: Date.UTC(2000, 0, 1),
  /** An offset is kept while the next one is so near: delays on the way differ. */
  settledMs: 2_000,
  /** The least delay is forgotten after one to two of these. */
  epochMs: 600_000,
} as const

/** Plain data. Offsets are what must be added to the device's time. */
export type DeviceClock = {
  /** Added to the times of readings now; 0 while they are possible. */
  offsetMs: number
  leastDelayMs: number | null
  previousDelayMs: number | null
  epochStartMs: number
}

export function newDeviceClock(): DeviceClock {
  return { offsetMs: 0, leastDelayMs: null, previousDelayMs: null, epochStartMs: 0 }
}

/** How far the device's clock seems to be behind the hub's; negative when it is ahead. */
export function clockBehindMs({ offsetMs, leastDelayMs, previousDelayMs }: DeviceClock): number {
  if (offsetMs !== 0) return offsetMs
  const delays = [leastDelayMs, previousDelayMs].filter((delay) => delay !== null)
  return delays.length === 0 ? 0 : Math.min(...delays)
}

/** The block with times that are possible; the same block when they were. */
export function repairTimes(clock: DeviceClock, block: DeviceBlock, arrivedMs: number): DeviceBlock {
  let newestMs = Number.NEGATIVE_INFINITY
  for (const { timesMs, filtered } of block.series) {
    for (const timeMs of timesMs) if (timeMs > newestMs) newestMs = timeMs
    if (filtered && filtered.lastTimeMs > newestMs) newestMs = filtered.lastTimeMs
  }
  if (newestMs === Number.NEGATIVE_INFINITY) return block
  const delayMs = arrivedMs - newestMs
  const isPossible = delayMs >= -clockLimits.aheadMsMax && newestMs >= clockLimits.earliestMs
  if (isPossible) {
    clock.offsetMs = 0
    noteDelay(clock, delayMs, arrivedMs)
    return block
  }
  if (clock.offsetMs === 0 || Math.abs(delayMs - clock.offsetMs) > clockLimits.settledMs) clock.offsetMs = delayMs
  const { offsetMs } = clock
  return { ...block, series: block.series.map((series) => moved(series, offsetMs)) }
}

function moved(series: Series, offsetMs: number): Series {
  const { timesMs, filtered } = series
  return {
    ...series,
    timesMs: timesMs.map((timeMs) => timeMs + offsetMs),
    ...(filtered ? { filtered: { ...filtered, lastTimeMs: filtered.lastTimeMs + offsetMs } } : {}),
  }
}

function noteDelay(clock: DeviceClock, delayMs: number, arrivedMs: number): void {
  if (arrivedMs - clock.epochStartMs >= clockLimits.epochMs) {
    clock.previousDelayMs = clock.leastDelayMs
    clock.leastDelayMs = null
    clock.epochStartMs = arrivedMs
  }
  clock.leastDelayMs = clock.leastDelayMs === null ? delayMs : Math.min(clock.leastDelayMs, delayMs)
}
