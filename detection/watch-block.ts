/** Watches what one message says of a device: the readings that came and the summaries of those that did not, in the order of time. */
import type { DetectedEvent } from '../contract/alert.ts'
import type { DeviceModel } from '../contract/device-model.ts'
import type { Series } from '../contract/telemetry/telemetry.ts'
import { watchFiltered, watchSignal, watchSilence } from './device-watch.ts'
import { signalOf } from './watch-state.ts'
import type { DeviceWatch, SignalWatch } from './watch-state.ts'

export type BlockContext = {
  readonly bootId: string
  /** Readings up to this seq were watched before, or stand in a summary that was. */
  readonly afterSeq: number
  readonly model: DeviceModel | undefined
  /** Whoever saw every reading has judged them: here they are only learned. */
  readonly isJudged?: boolean
  /** Time for the events: when the hub took the message, so that a replay writes the same. */
  readonly nowMs: number
}

export function watchBlock(watch: DeviceWatch, series: readonly Series[], context: BlockContext): DetectedEvent[] {
  const { bootId, afterSeq, model, nowMs, isJudged = false } = context
  const events: DetectedEvent[] = []
  for (const columns of series) if (isFilteredFirst(columns)) calm(watch, columns, context, events)
  // Column by column the signals' moments would come one after the other: they are watched as they happened.
  const next = series.map(() => 0)
  const signals: SignalWatch[] = []
  // Used again for every reading of the block.
  const reading = { bootId, seq: 0, timeMs: 0, value: 0 }
  let newestMs = Number.NEGATIVE_INFINITY
  for (;;) {
    let momentMs = Number.POSITIVE_INFINITY
    for (let i = 0; i < series.length; i++) momentMs = Math.min(momentMs, series[i]!.timesMs[next[i]!] ?? Number.POSITIVE_INFINITY)
    if (momentMs === Number.POSITIVE_INFINITY) break
    for (let i = 0; i < series.length; i++) {
      const { signal, timesMs, seqs, values } = series[i]!
      let at = next[i]!
      // Whatever is older stood behind a reading of this moment: it came late.
      for (; at < timesMs.length && timesMs[at]! <= momentMs; at++) {
        reading.seq = seqs[at]!
        if (reading.seq <= afterSeq) continue
        reading.timeMs = timesMs[at]!
        reading.value = values[at]!
        newestMs = Math.max(newestMs, reading.timeMs)
        const found = watchSignal(watch, (signals[i] ??= signalOf(watch, signal, model)), reading, model, nowMs, isJudged)
        if (found.length > 0) events.push(...found)
      }
      next[i] = at
    }
  }
  for (const columns of series) if (!isFilteredFirst(columns)) calm(watch, columns, context, events)
  if (newestMs > Number.NEGATIVE_INFINITY && !isJudged) events.push(...watchSilence(watch, newestMs, model, nowMs))
  return events
}

function isFilteredFirst({ filtered, timesMs }: Series): boolean {
  return filtered !== undefined && timesMs.length > 0 && filtered.lastTimeMs < timesMs[0]!
}

function calm(watch: DeviceWatch, { signal, filtered }: Series, { model, nowMs }: BlockContext, events: DetectedEvent[]): void {
  if (filtered) events.push(...watchFiltered(watch, signal, filtered.lastTimeMs, filtered.mean, model, nowMs))
}
