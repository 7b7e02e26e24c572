/**
 * What follows an episode. When a fault ends, a machine goes back to where it was, some signals at once and some slowly. That is
 * a change as the fault's beginning was, but nobody has to be told of it.
 */
import type { DetectedEvent } from '../contract/alert.ts'
import { beginCooldown } from './cooldown.ts'
import { forgetDrift } from './drift.ts'
import { quiet } from './episode.ts'
import type { Judgement } from './judgement.ts'
import { forgetRecent } from './learn-series.ts'
import { isCompared, keepKnown, keepKnownTogether } from './recovery.ts'
import { slot } from './series-state.ts'
import type { SeriesState } from './series-state.ts'
import { episodeSettings, settings } from './settings.ts'
import { isEpisodeOpen } from './watch-state.ts'
import type { DeviceWatch, SignalWatch } from './watch-state.ts'

/** The level a signal had before something went wrong with its device, and the number of its reading until which that counts. */
export type Origin = { readonly level: number; untilCount: number }

/** A series that may have one. */
export type Followed = { readonly state: SeriesState; origin: Origin | undefined; readonly known?: unknown }

/** @param level of the series now, kept unless one from before counts still: then it only counts for longer */
export function keepOrigin(series: Followed, level: number, untilCount = afterwards(series.state)): void {
  const { origin } = series
  if (origin === undefined || originOf(series) === undefined) series.origin = { level, untilCount }
  else origin.untilCount = Math.max(origin.untilCount, untilCount)
}

/** What was before an incident counts for so many readings after it. */
function afterwards({ numbers }: SeriesState): number {
  return numbers[slot.count]! + settings.adoptReadings
}

/** The first episode of a device begins: what its signals are when nothing is wrong is kept. */
export function beginIncident(watch: DeviceWatch, timeMs: number): void {
  const { signals, together } = watch
  for (const signal of signals.values()) {
    const { numbers } = signal.state
    if (numbers[slot.count]! > 0) keepOrigin(signal, numbers[slot.slow]!, Number.MAX_SAFE_INTEGER)
    keepKnown(signal, timeMs)
  }
  together.cooldown.severity = 0
  if (isCompared(together)) keepKnownTogether(together, timeMs)
}

/** The last episode of a device has ended: what moved along with it may take its time. */
export function beginAftermath(watch: DeviceWatch): void {
  const { signals, together, configuration } = watch
  const { cooldownReadings } = configuration
  for (const signal of signals.values()) {
    const { phase, origin, state, cooldown } = signal
    if (origin) origin.untilCount = afterwards(state)
    if (phase.kind !== 'joined') continue
    signal.phase = quiet
    beginCooldown(cooldown, phase.severity, cooldownReadings, true)
  }
  if (together.cooldown.severity >= 1) beginCooldown(together.cooldown, together.cooldown.severity, cooldownReadings, true)
}

/** `back` and `returning`: all that is unusual about a reading is a change that ends, or leads to, where the signal was before. */
export type Course = 'away' | 'returning' | 'back'

/** @param judgement of this value */
export function courseOf(series: Followed, value: number, judgement: Judgement): Course {
  const level = originOf(series)
  const change = changeOf(judgement, value)
  if (level === undefined || change === undefined) return 'away'
  const now = value - level
  const then = now - change
  if (Math.abs(now) >= Math.abs(then)) return 'away'
  if (Math.abs(now) <= episodeSettings.backShare * Math.abs(change)) return 'back'
  return now > 0 === then > 0 ? 'returning' : 'away'
}

/** After a reading was learned: what a signal did before an episode's end, or before it was back, is nothing to compare with. */
export function settle(watch: DeviceWatch, signal: SignalWatch, course: Course, events: readonly DetectedEvent[]): void {
  // What was expected at an episode's onset is not what is expected now: the machine has gone on meanwhile.
  if (course === 'back' && signal.phase.kind === 'active') signal.phase.expected = undefined
  const isBack = course === 'back' && !isEpisodeOpen(watch)
  if (isBack) signal.origin = undefined
  else if (course === 'returning') keepOrigin(signal, signal.origin!.level)
  const returned = events.find((event) => event.kind === 'returned')
  if (isBack || returned) forgetRecent(signal.state)
  if (isBack || returned?.why === 'normal-again') forgetDrift(signal.state)
}

/** Undefined when nothing has happened, or long ago. */
function originOf({ origin, known, state }: Followed): number | undefined {
  return origin && (known !== undefined || state.numbers[slot.count]! < origin.untilCount) ? origin.level : undefined
}

/** How far the series has moved, of detectors that compare a reading with those just before it. */
function changeOf({ detector, highPassed, jump, fast, slow }: Judgement, value: number): number | undefined {
  switch (detector) {
    case 'high-pass':
      return highPassed
    case 'jump':
      return jump
    case 'step':
      return fast - slow
    case 'rolling':
      return value - slow
    default:
      return undefined
  }
}
