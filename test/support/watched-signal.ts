import { watchReading } from '../../detection/device-watch.ts'
import { scoreSeries } from '../../detection/score-series.ts'
import { newDeviceWatch } from '../../detection/watch-state.ts'

const startMs = Date.UTC(2026, 0, 5)
const dayS = 86_400

/** Values at rising seconds; undefined where nothing is read. */
export type Signal = (second: number) => number | undefined
export type Told = { readonly second: number; readonly detector: string | undefined }

/** What `millwright detect` tells of a signal that is read every so many seconds. */
export function alertsOf(signal: Signal, everyS: number, days: number): Told[] {
  const score = scoreSeries()
  const alerts: Told[] = []
  for (let second = 0; second < days * dayS; second += everyS) {
    const value = signal(second)
    if (value === undefined) continue
    const { score: told, detector } = score(startMs + second * 1000, value)
    if (told >= 0.5) alerts.push({ second, detector })
  }
  return alerts
}

/** What the hot path raises of the same. */
export function raisedOf(signal: Signal, everyS: number, days: number): Told[] {
  const watch = newDeviceWatch('machine-1')
  const raised: Told[] = []
  let seq = 0
  for (let second = 0; second < days * dayS; second += everyS) {
    const value = signal(second)
    if (value === undefined) continue
    const timeMs = startMs + second * 1000
    for (const event of watchReading(watch, { signal: 'level', bootId: 'b', seq: seq++, timeMs, value }, undefined, timeMs))
      if (event.kind === 'raised') raised.push({ second, detector: event.evidence.detector })
  }
  return raised
}
