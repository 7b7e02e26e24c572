/**
 * Series scored reading by reading, as `millwright detect` and the public benchmarks want it: a number from 0 to 1,
 * 0.5 where the hot path would begin an episode. What was told once is told again only when it gets worse, as on an
 * operator's page.
 */
import type { DetectorName } from '../contract/alert.ts'
import { courseOf, keepOrigin } from './aftermath.ts'
import type { Course, Origin } from './aftermath.ts'
import { standardConfiguration } from './configuration.ts'
import { judge } from './judge-series.ts'
import { newJudgement } from './judgement.ts'
import type { Judgement } from './judgement.ts'
import { adoptLevel, learn } from './learn-series.ts'
import { plainTraits } from './plain-traits.ts'
import { judgeMoment, learnMoment, newMomentJudgement, newRelation, renew } from './relation.ts'
import { isCompared, keepKnown, keepKnownTogether, newTogether, recover, recoverTogether } from './recovery.ts'
import type { Recovering } from './recovery.ts'
import type { MomentJudgement, RelationState } from './relation.ts'
import { isLearning, silentForMs } from './series-knowledge.ts'
import { newSeriesState, slot } from './series-state.ts'
import type { SeriesState } from './series-state.ts'
import { episodeSettings, relationSettings, settings } from './settings.ts'

export type ScoredReading = {
  readonly score: number
  /** `missing` where nothing was measured */
  readonly kind: Judgement['kind'] | 'missing'
  /** What stands behind it, and what that would have expected; none where nothing is the least unusual. */
  readonly detector: DetectorName | undefined
  readonly expectedMin: number
  readonly expectedMax: number
}

/** Severities below this are not worth a cooldown. */
const toldFrom = 0.04

/** One series; without a value where nothing was measured. */
export function scoreSeries(): (timeMs: number, value: number | undefined) => ScoredReading {
  const series = newScoredSeries()
  return (timeMs, value) => {
    if (value === undefined) return missing(series, timeMs)
    take(series, timeMs, value)
    return scored(series.judgement, newsOf(series))
  }
}

/** The signals of one machine, moment by moment: each by itself, and by what the others let expect of it. */
export function scoreSignals(count: number): (timeMs: number, values: readonly (number | undefined)[]) => ScoredReading[] {
  const all = Array.from({ length: count }, newScoredSeries)
  const moment = newMomentJudgement()
  /** What is told of the signals together is told of the worst of them, once. */
  const told = newTold()
  const together = newTogether()
  return (timeMs, values) => {
    let isWhole = false
    for (const [index, value] of values.entries()) {
      if (value === undefined) continue
      take(all[index]!, timeMs, value)
      if (all[index]!.judgement.kind === 'late' || count < 2 || count > relationSettings.signalsMax) continue
      if (!together.state && !all.some(({ state }) => isLearning(state)))
        together.state = newRelation(
          all.map(() => plainTraits.resolution),
          plainTraits.hasModes,
        )
      if (together.state) isWhole = renew(together.state, index, value, timeMs, 0)
    }
    if (isWhole && isCompared(together)) takeTogether(all, together, moment, timeMs)
    const { severity, worst, expectedMin, expectedMax } = moment
    const news = isWhole ? newsAfter(told, severity) : 0
    return all.map((series, index) => {
      if (values[index] === undefined) return missing(series, timeMs)
      const ownNews = newsOf(series)
      const isRelation = isWhole && worst === index && severity > severityOf(series)
      return isRelation
        ? scored({ kind: series.judgement.kind, detector: 'relation', expectedMin, expectedMax }, Math.max(news, ownNews))
        : scored(series.judgement, ownNews)
    })
  }
}

/** The severity that was told last, and how many calm readings until it is forgotten. */
type Told = { severity: number; readingsLeft: number }

const newTold = (): Told => ({ severity: 0, readingsLeft: 0 })

type ScoredSeries = Recovering<SeriesState> & {
  readonly judgement: Judgement
  readonly told: Told
  origin: Origin | undefined
  course: Course
  isSilenceTold: boolean
}

function newScoredSeries(): ScoredSeries {
  return {
    state: newSeriesState(),
    known: undefined,
    absences: [],
    judgement: newJudgement(),
    told: newTold(),
    origin: undefined,
    course: 'away',
    isSilenceTold: false,
  }
}

const notMeasured: ScoredReading = { score: 0, kind: 'missing', detector: undefined, expectedMin: Number.NaN, expectedMax: Number.NaN }

/** Nothing was measured, though something was expected by now: told once. */
function missing(series: ScoredSeries, timeMs: number): ScoredReading {
  const { state } = series
  if (series.isSilenceTold || silentForMs(state, timeMs) === undefined) return notMeasured
  series.isSilenceTold = true
  const last = state.numbers[slot.lastValue]!
  return scored({ kind: 'missing', detector: 'missing', expectedMin: last, expectedMax: last }, 1)
}

function take(series: ScoredSeries, timeMs: number, value: number): void {
  const { state, judgement } = series
  judge(state, timeMs, value, plainTraits, judgement)
  series.course = 'away'
  if (judgement.kind === 'late') return
  series.isSilenceTold = false
  const level = state.numbers[slot.slow]!
  series.course = courseOf(series, value, judgement)
  if (judgement.severity >= 1) keepKnown(series, timeMs)
  learn(state, timeMs, value, plainTraits, judgement)
  if (state.numbers[slot.unusualRun] === settings.adoptReadings) adoptLevel(state)
  recover(series, timeMs, value, plainTraits, true)
  // As in the hot path, the way back to where the series was is no news.
  if (severityOf(series) >= 1 || series.course !== 'away') keepOrigin(series, level)
}

/** A moment of which every signal has a reading. */
function takeTogether(all: readonly ScoredSeries[], together: Recovering<RelationState>, moment: MomentJudgement, timeMs: number): void {
  judgeMoment(together.state, moment, standardConfiguration)
  const isSuspicious = all.some(({ state }) => state.numbers[slot.unusualRun]! > 0)
  if (isSuspicious || moment.severity >= 1) {
    for (const series of all) keepKnown(series, timeMs)
    keepKnownTogether(together, timeMs)
  }
  learnMoment(together.state, moment, isSuspicious)
  recoverTogether(together, timeMs, standardConfiguration, !isSuspicious)
}

function severityOf(series: ScoredSeries): number {
  return series.course === 'away' ? unusualOf(series) : 0
}

/** Drift and stuck say the same for as long as they last: their onset counts. */
function unusualOf({ state, judgement }: ScoredSeries): number {
  return state.numbers[slot.unusualRun]! > 1 ? judgement.momentary : judgement.severity
}

function newsOf(series: ScoredSeries): number {
  const { kind, detector, severity } = series.judgement
  if (kind === 'late') return 0
  return newsAfter(series.told, severityOf(series), detector === 'stuck' ? severity : unusualOf(series))
}

/**
 * What of a severity is news; 0 when it was told.
 * @param unusual how unusual the reading is, news or not: what was told is not forgotten while it lasts
 */
function newsAfter(told: Told, now: number, unusual = now): number {
  const severity = Math.min(episodeSettings.tellMost, now)
  // Where an alert would begin, one begins, whatever was nearly one before it.
  const isNews = severity > episodeSettings.worseBy * told.severity || (severity >= 1 && told.severity < 1)
  const isQuiet = told.readingsLeft > 0 && !isNews
  // What stays as it was told is not told again.
  if (told.readingsLeft > 0 && episodeSettings.worseBy * unusual < told.severity) told.readingsLeft--
  if (isQuiet) return 0
  if (severity >= toldFrom) {
    told.severity = severity
    told.readingsLeft = standardConfiguration.cooldownReadings
  }
  return severity
}

function scored({ kind, detector, expectedMin, expectedMax }: Omit<ScoredReading, 'score'>, severity: number): ScoredReading {
  return { score: severity / (1 + severity), kind, detector, expectedMin, expectedMax }
}
