/**
 * What a machine did while something was wrong with it is none of its habits once it has come back: a fault that lasted for hours, and
 * was taken for the new normal, must be found again when it returns the week after. So with the first unusual reading a second
 * memory parts from the first, which learns only what is ordinary by what was known before. When nothing else has come for as
 * long as makes a level normal, it is what is known. What stays has changed, and what comes again and again is a habit after all.
 */
import type { DetectionConfiguration } from './configuration.ts'
import { judge } from './judge-series.ts'
import { newJudgement } from './judgement.ts'
import type { SeriesTraits } from './judgement.ts'
import { learn } from './learn-series.ts'
import { judgeMoment, learnMoment, newMomentJudgement, relationAgeMs, restoreRelation, takeMoment } from './relation.ts'
import type { RelationState } from './relation.ts'
import { isMostlyStill } from './runs.ts'
import { copyOfSeries, slot } from './series-state.ts'
import type { SeriesState } from './series-state.ts'
import { episodeSettings, recoverySettings, settings } from './settings.ts'

/** What was known when something unusual began, whether anything was since, and how many readings in a row were ordinary by it. */
export type Known<T> = { readonly state: T; readonly sinceMs: number; awayUntilMs: number; ordinaryRun: number }

/** What is known, what was known before, and since when it had been away whenever it came back. */
export type Recovering<T> = { readonly state: T; known: Known<T> | undefined; readonly absences: number[] }

/** What the signals of a machine say together; nothing until each of them has been learned. */
export type Together = Omit<Recovering<RelationState>, 'state'> & { state: RelationState | undefined }

export function newTogether(): Together {
  return { state: undefined, known: undefined, absences: [] }
}

export function isCompared(together: Together): together is Recovering<RelationState> {
  return together.state !== undefined
}

/** Something unusual begins in a series, or in another of its machine. */
export function keepKnown(series: Recovering<SeriesState>, timeMs: number): void {
  const { numbers } = series.state
  if (isWorthKeeping(series, timeMs, timeMs - numbers[slot.firstTimeMs]!)) series.known = known(copyOfSeries(series.state), timeMs)
}

/** The same of what the signals of a machine say together. */
export function keepKnownTogether(together: Recovering<RelationState>, timeMs: number): void {
  if (isWorthKeeping(together, timeMs, relationAgeMs(together.state))) together.known = known(together.state.slice(), timeMs)
}

function known<T>(state: T, sinceMs: number): Known<T> {
  return { state, sinceMs, awayUntilMs: 0, ordinaryRun: 0 }
}

/** What is young knows little, and would know less again. */
function isWorthKeeping({ known: before, absences }: Recovering<unknown>, timeMs: number, ageMs: number): boolean {
  return before === undefined && ageMs >= settings.levelMaturityMs && !isHabit(absences, timeMs)
}

/** What comes every week at the same time, or again and again. */
function isHabit(absences: readonly number[], timeMs: number): boolean {
  const { habitMs, returnsMax } = recoverySettings
  const recent = absences.filter((sinceMs) => timeMs - sinceMs < habitMs)
  return recent.length >= returnsMax || recent.some((sinceMs) => isWeeksBefore(timeMs - sinceMs))
}

function isWeeksBefore(agoMs: number): boolean {
  const { weekMs, sameTimeMs } = recoverySettings
  return agoMs > weekMs / 2 && (agoMs + sameTimeMs) % weekMs < 2 * sameTimeMs
}

const byKnown = newJudgement()

/**
 * Takes a reading that was learned.
 * @param isQuiet no episode of the machine is open
 */
export function recover(series: Recovering<SeriesState>, timeMs: number, value: number, traits: SeriesTraits, isQuiet: boolean): void {
  const { known } = series
  if (!known) return
  judge(known.state, timeMs, value, traits, byKnown)
  if (byKnown.kind === 'late') return
  const isOrdinary = byKnown.severity < episodeSettings.normalBelow
  if (isOrdinary && known.ordinaryRun >= recoverySettings.calmReadings) {
    const { numbers } = known.state
    // The time that was left out is no part of an epoch.
    if (known.ordinaryRun === recoverySettings.calmReadings) numbers[slot.epochStartMs]! += timeMs - numbers[slot.lastTimeMs]!
    learn(known.state, timeMs, value, traits, byKnown)
  }
  if (isBack(series, known, timeMs, !isOrdinary, isOrdinary && isQuiet)) restore(series.state, known.state)
}

const momentByKnown = newMomentJudgement()

/** Takes a moment that was learned. */
export function recoverTogether(
  together: Recovering<RelationState>,
  timeMs: number,
  configuration: DetectionConfiguration,
  isQuiet: boolean,
): void {
  const { known } = together
  if (!known) return
  takeMoment(known.state, together.state)
  judgeMoment(known.state, momentByKnown, configuration)
  const isAway = momentByKnown.severity >= 1
  const isOrdinary = isQuiet && !isAway
  if (isOrdinary) learnMoment(known.state, momentByKnown, false)
  if (isBack(together, known, timeMs, isAway, isOrdinary)) restoreRelation(together.state, known.state)
}

/** Whether what was known before is what is known from now on. */
function isBack(series: Recovering<unknown>, known: Known<unknown>, timeMs: number, isAway: boolean, isOrdinary: boolean): boolean {
  if (isAway) known.awayUntilMs = timeMs
  known.ordinaryRun = isOrdinary ? known.ordinaryRun + 1 : 0
  const isOver = known.ordinaryRun >= settings.adoptReadings && timeMs - known.awayUntilMs >= known.awayUntilMs - known.sinceMs
  const hasChanged = timeMs - known.sinceMs > recoverySettings.knownForMs
  const wasSetBack = timeMs < known.sinceMs
  if (isOver || hasChanged || wasSetBack) series.known = undefined
  if (!isOver || known.awayUntilMs === 0) return false
  series.absences.push(known.sinceMs)
  if (series.absences.length > recoverySettings.returnsMax) series.absences.shift()
  return true
}

const restored = [
  slot.blockStartMs,
  slot.levelBlockStartMs,
  slot.epochStartMs,
  slot.epochReadings,
  slot.driftLow,
  slot.driftHigh,
  slot.modesLow,
  slot.modesWidth,
  slot.smallestStep,
]

const restoredRuns = [slot.longestRun, slot.restValue, slot.longestElsewhere]

/** Averages, times and counts are those of now. */
function restore({ numbers, past, season, modes }: SeriesState, before: SeriesState): void {
  past.set(before.past)
  season.set(before.season)
  modes.set(before.modes)
  for (const index of restored) numbers[index] = before.numbers[index]!
  // What mostly stands still goes on learning for how long.
  if (!isMostlyStill(before.numbers)) for (const index of restoredRuns) numbers[index] = before.numbers[index]!
  numbers[slot.driftLevel] = numbers[slot.slow]!
}
