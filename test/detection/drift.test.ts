/** What creeps is told while it gets worse; where a signal has come to, it may stay. */
import { describe, expect, test } from 'vitest'
import { watchReading } from '../../detection/device-watch.ts'
import { scoreSeries } from '../../detection/score-series.ts'
import { newDeviceWatch } from '../../detection/watch-state.ts'
import { randomOf } from '../../device-sim/random.ts'

const startMs = Date.UTC(2026, 0, 5)
const dayS = 86_400

type Signal = (second: number) => number

/** Days at which a reading is an alert. */
function alertsOf(signal: Signal, everyS: number, days: number): { day: number; detector: string | undefined }[] {
  const score = scoreSeries()
  const alerts = []
  for (let second = 0; second < days * dayS; second += everyS) {
    const { score: told, detector } = score(startMs + second * 1000, signal(second))
    if (told >= 0.5) alerts.push({ day: second / dayS, detector })
  }
  return alerts
}

/** The same as the hot path tells it. */
function raisedOf(signal: Signal, everyS: number, days: number): { day: number }[] {
  const watch = newDeviceWatch('machine-1')
  const raised: { day: number }[] = []
  let seq = 0
  for (let second = 0; second < days * dayS; second += everyS) {
    const timeMs = startMs + second * 1000
    const reading = { signal: 'level', bootId: 'b', seq: ++seq, timeMs, value: signal(second) }
    for (const { kind } of watchReading(watch, reading, undefined, timeMs)) if (kind === 'raised') raised.push({ day: second / dayS })
  }
  return raised
}

const daily = (second: number) => Math.sin((2 * Math.PI * second) / dayS)

/** A level with the day's wave in it, of which something becomes otherwise after ten days. */
function wave(seed: string, otherwise: (value: number) => number): Signal {
  const random = randomOf(seed)
  return (second) => {
    const value = 50 + 10 * daily(second) + 0.5 * random.normal()
    return second < 10 * dayS ? value : otherwise(value)
  }
}

describe('drift', () => {
  test('a counter does not drift, a level does', () => {
    const random = randomOf('counter')
    let count = 0
    const counter: Signal = () => Math.round((count += 3 + random.next()))
    expect(alertsOf(counter, 300, 21)).toEqual([])
    const level: Signal = (second) => 20 + 5 * daily(second) + 0.3 * random.normal() + Math.max(0, second / dayS - 10)
    expect(alertsOf(level, 300, 21).length).toBeGreaterThan(0)
  })

  test.each([600, 900, 3600])('nor does one that is read every %s s, for months', (everyS) => {
    const random = randomOf('seldom')
    let count = 1000
    const counter: Signal = () => Math.round((count += everyS * (0.01 + 0.002 * random.normal())))
    expect(alertsOf(counter, everyS, 90)).toEqual([])
  })

  test.each([
    ['is read more often', 600, 0],
    ['counts on from another number', 60, 7000],
  ])('nor does one that %s from some day on', (_, firstEveryS, jump) => {
    const random = randomOf('from some day')
    const score = scoreSeries()
    const detectors = new Set<string | undefined>()
    let count = 1000
    for (let second = 0; second < 40 * dayS; second += 60) {
      count += 60 * (0.01 + 0.002 * random.normal())
      if (second === 10 * dayS) count += jump
      if (second < 10 * dayS && second % firstEveryS > 0) continue
      const { score: told, detector } = score(startMs + second * 1000, Math.round(count))
      if (told >= 0.5) detectors.add(detector)
    }
    expect(detectors).not.toContain('drift')
  })

  test('a level that is mostly at the bottom of its range drifts, too', () => {
    const random = randomOf('starts')
    // Twenty for ten minutes when the machine starts in the morning, and ten otherwise, until it wears.
    const starting: Signal = (second) =>
      ((second % dayS) / 60 < 10 ? 20 : 10) + 0.1 * random.normal() - 0.5 * Math.max(0, second / dayS - 10)
    const score = scoreSeries()
    let driftedAt = Number.POSITIVE_INFINITY
    for (let second = 0; second < 21 * dayS; second += 60)
      if (score(startMs + second * 1000, starting(second)).detector === 'drift') driftedAt = Math.min(driftedAt, second / dayS)
    expect(driftedAt).toBeGreaterThan(10)
    expect(driftedAt).toBeLessThan(18)
  })

  test.each([60, 300])('what creeps for weeks, read every %s s, is told when there is more of it, not every day', (everyS) => {
    const random = randomOf('creeps')
    const creeping: Signal = (second) => 50 + 3 * daily(second) + 0.5 * random.normal() + Math.max(0, (14 * (second / dayS - 10)) / 30)
    const told = alertsOf(creeping, everyS, 40)
    expect(told.map(({ detector }) => detector)).toEqual(['drift', 'drift'])
    expect(told[0]!.day).toBeLessThan(25)
  })

  const changes: readonly (readonly [string, (value: number) => number])[] = [
    ['moved', (value) => value + 35],
    ['more sensitive', (value) => 1.3 * value],
    ['less sensitive', (value) => 0.7 * value],
  ]
  test.each(changes.flatMap(([how, otherwise]) => [60, 300].map((everyS) => [how, everyS, otherwise] as const)))(
    'a sensor that is %s for good, read every %s s, is told in its first week, and no more',
    (how, everyS, otherwise) => {
      for (const toldOf of [alertsOf, raisedOf]) {
        const told = toldOf(wave(how, otherwise), everyS, 40)
        expect(told.filter(({ day }) => day < 10 || day > 17)).toEqual([])
        expect(told.length).toBeGreaterThan(0)
        expect(told.length).toBeLessThanOrEqual(4)
      }
    },
  )
})
