/** Watches a column of one message, the readings that came and the summary of those that did not, in the order of time. */
import type { DetectedEvent } from '../contract/alert.ts'
import type { DeviceModel } from '../contract/device-model.ts'
import type { Series } from '../contract/telemetry/telemetry.ts'
import { watchFiltered, watchReading } from './device-watch.ts'
import type { DeviceWatch } from './device-watch.ts'

export type SeriesContext = {
  readonly bootId: string
  /** Readings up to this seq were watched before, or stand in a summary that was. */
  readonly afterSeq: number
  readonly model: DeviceModel | undefined
  /** Whoever saw every reading has judged them: here they are only learned. */
  readonly isJudged?: boolean
  /** Time for the events: when the hub took the message, so that a replay writes the same. */
  readonly nowMs: number
}

export function watchSeries(
  watch: DeviceWatch,
  series: Series,
  { bootId, afterSeq, model, nowMs, isJudged = false }: SeriesContext,
): DetectedEvent[] {
  const { signal, timesMs, seqs, values, filtered } = series
  const events: DetectedEvent[] = []
  const calm = () => filtered && events.push(...watchFiltered(watch, signal, filtered.lastTimeMs, filtered.mean, model, nowMs))
  const isFilteredFirst = filtered !== undefined && timesMs.length > 0 && filtered.lastTimeMs < timesMs[0]!
  if (isFilteredFirst) calm()
  for (let i = 0; i < values.length; i++) {
    const seq = seqs[i]!
    if (seq > afterSeq)
      events.push(...watchReading(watch, { signal, bootId, seq, timeMs: timesMs[i]!, value: values[i]! }, model, nowMs, isJudged))
  }
  if (!isFilteredFirst) calm()
  return events
}
