/**
 * One series scored reading by reading, as `millwright detect` and the public benchmarks want it: a number from 0 to 1,
 * 0.5 where the hot path would begin an episode. What was told once is told again only when it gets worse, as on an
 * operator's page.
 */
import { standardConfiguration } from './configuration.ts'
import { judge } from './judge-series.ts'
import { newJudgement } from './judgement.ts'
import type { Judgement } from './judgement.ts'
import { learn } from './learn-series.ts'
import { plainTraits } from './plain-traits.ts'
import { newSeriesState, slot } from './series-state.ts'
import { episodeSettings } from './settings.ts'

export type ScoredReading = {
  readonly score: number
  /** What stands behind it; the same object again for every reading. */
  readonly judgement: Judgement
}

/** Severities below this are not worth a cooldown. */
const toldFrom = 0.04

export function scoreSeries(): (timeMs: number, value: number) => ScoredReading {
  const state = newSeriesState()
  const judgement = newJudgement()
  let told = { readingsLeft: 0, severity: 0 }
  return (timeMs, value) => {
    judge(state, timeMs, value, plainTraits, judgement)
    learn(state, timeMs, value, plainTraits, judgement)
    if (judgement.kind === 'late') return { score: 0, judgement }
    // Drift and stuck say the same for as long as they last.
    const now = state.numbers[slot.unusualRun]! > 1 ? judgement.momentary : judgement.severity
    const severity = Math.min(episodeSettings.tellMost, now)
    // Where an alert would begin, one begins, whatever was nearly one before it.
    const isNews = severity > episodeSettings.worseBy * told.severity || (severity >= 1 && told.severity < 1)
    const isQuiet = told.readingsLeft > 0 && !isNews
    // What stays as it was told is not told again.
    if (told.readingsLeft > 0 && episodeSettings.worseBy * severity < told.severity) told.readingsLeft--
    if (isQuiet) return { score: 0, judgement }
    if (severity >= toldFrom) told = { readingsLeft: standardConfiguration.cooldownReadings, severity }
    return { score: severity / (1 + severity), judgement }
  }
}
