/**
 * Explains after the fact. Why an alert: its evidence holds the detector's state before the last reading, and judging
 * that reading again must give the same numbers, bit for bit. Why none: the readings are judged again, and what came
 * nearest to an alert is told.
 */
import type { DetectorName, Evidence } from '../contract/alert.ts'
import type { DeviceModel } from '../contract/device-model.ts'
import { standardConfiguration } from './configuration.ts'
import { crossedLimit, traitsOf } from './watch-state.ts'
import { isEnough, onsetOf } from './episode.ts'
import type { Phase } from './episode.ts'
import { fromBase64, limitRange } from './evidence.ts'
import { judge } from './judge-series.ts'
import { newJudgement } from './judgement.ts'
import type { Judgement } from './judgement.ts'
import { learn } from './learn-series.ts'
import { judgeMoment, newMomentJudgement } from './relation.ts'
import { silentForMs, stillLearning } from './series-knowledge.ts'
import { newSeriesState, seriesStateFrom } from './series-state.ts'
import { detectorVersion } from './settings.ts'

export type Recomputed = {
  readonly detector: DetectorName
  readonly severity: number
  readonly expectedMin: number
  readonly expectedMax: number
}

/** What the alert's detector says of its last reading, asked again; undefined when another version of it, or another configuration, raised the alert. */
export function recompute(evidence: Evidence, signal: string, model: DeviceModel | undefined): Recomputed | undefined {
  if (evidence.detectorVersion !== detectorVersion || evidence.configurationVersion !== standardConfiguration.version) return undefined
  const { detector, observed, expectedMin, expectedMax, firstSeenMs, durationMs } = evidence
  if (evidence.before === '' && detector !== 'silence') return undefined
  switch (detector) {
    case 'hard-limit': {
      const limit = crossedLimit(traitsOf(model, signal), observed)
      return limit && { detector, severity: judgedAgain(evidence, signal, model).severity, ...limitRange(limit, observed) }
    }
    case 'relation': {
      const moment = newMomentJudgement()
      judgeMoment(new Float64Array(fromBase64(evidence.before).buffer), moment, standardConfiguration)
      return { detector, severity: moment.severity, expectedMin: moment.expectedMin, expectedMax: moment.expectedMax }
    }
    case 'silence':
      return { detector, severity: durationMs / 1000 / expectedMax, expectedMin, expectedMax }
    case 'missing': {
      const isSilent = silentForMs(seriesStateFrom(fromBase64(evidence.before)), firstSeenMs + durationMs) !== undefined
      return { detector, severity: isSilent ? 1 : 0, expectedMin, expectedMax }
    }
    default: {
      const { detector: again = detector, ...judgement } = judgedAgain(evidence, signal, model)
      return { detector: again, severity: judgement.severity, expectedMin: judgement.expectedMin, expectedMax: judgement.expectedMax }
    }
  }
}

function judgedAgain({ before, window }: Evidence, signal: string, model: DeviceModel | undefined): Judgement {
  const judgement = newJudgement()
  const state = seriesStateFrom(fromBase64(before))
  judge(state, window.timesMs.at(-1)!, window.values.at(-1)!, traitsOf(model, signal), judgement)
  return judgement
}

/** Whether an alert's numbers follow from its own evidence, to the bit. */
export function isReproduced(evidence: Evidence, again: Recomputed | undefined): boolean {
  return (
    again !== undefined &&
    again.detector === evidence.detector &&
    Object.is(again.severity, evidence.severity) &&
    Object.is(again.expectedMin, evidence.expectedMin) &&
    Object.is(again.expectedMax, evidence.expectedMax)
  )
}

export type Nearest = {
  readonly detector: DetectorName
  /** 1 is where an alert begins. */
  readonly severity: number
  readonly timeMs: number
  readonly value: number
  readonly expectedMin: number
  readonly expectedMax: number
}

export type Review = {
  readonly readings: number
  /** What came nearest to an alert, by detector, the nearest first. */
  readonly nearest: Nearest[]
  /** Readings that were abnormal but too few in a row. */
  readonly abnormalReadings: number
  readonly wouldBegin: number
  /** What had not seen enough of the series at the end of the span. */
  readonly learning: DetectorName[]
}

/**
 * Judges a series again and says what came nearest to an alert in a span of it.
 * @param readings in the order of time, from long enough before the span that the detectors know the series
 */
export function reviewSeries(
  readings: Iterable<{ readonly timeMs: number; readonly value: number }>,
  {
    fromMs,
    toMs,
    signal,
    model,
  }: { readonly fromMs: number; readonly toMs: number; readonly signal: string; readonly model: DeviceModel | undefined },
): Review {
  const state = newSeriesState()
  const judgement = newJudgement()
  const traits = traitsOf(model, signal)
  const nearest = new Map<DetectorName, Nearest>()
  let [count, abnormalReadings, wouldBegin] = [0, 0, 0]
  let phase: Phase = { kind: 'quiet' }
  for (const { timeMs, value } of readings) {
    if (timeMs > toMs) break
    judge(state, timeMs, value, traits, judgement)
    const { kind, severity, detector, expectedMin, expectedMax } = judgement
    if (timeMs >= fromMs && kind !== 'late') {
      count++
      if (detector && severity > (nearest.get(detector)?.severity ?? 0))
        nearest.set(detector, { detector, severity, timeMs, value, expectedMin, expectedMax })
      if (severity < 1) phase = { kind: 'quiet' }
      else {
        abnormalReadings++
        const onset = onsetOf(phase, 0, timeMs)
        if (isEnough(onset, { severity, detector, expectedMin, expectedMax, limit: undefined }, standardConfiguration)) wouldBegin++
        phase = { kind: 'pending', ...onset }
      }
    }
    learn(state, timeMs, value, traits, judgement)
  }
  return {
    readings: count,
    nearest: [...nearest.values()].sort((a, b) => b.severity - a.severity),
    abnormalReadings,
    wouldBegin,
    learning: stillLearning(state),
  }
}
