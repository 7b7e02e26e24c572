/** What creeps is told while it gets worse; where a signal has come to, it may stay. */
import { describe, expect, test } from 'vitest'
import { randomOf } from '../../device-sim/random.ts'
import { alertsOf, raisedOf } from '../support/watched-signal.ts'
import type { Signal } from '../support/watched-signal.ts'

const dayS = 86_400

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
    let count = 1000
    const counter: Signal = (second) => {
      count += 60 * (0.01 + 0.002 * random.normal()) + (second === 10 * dayS ? jump : 0)
      return second < 10 * dayS && second % firstEveryS > 0 ? undefined : Math.round(count)
    }
    const detectors = alertsOf(counter, 60, 40).map(({ detector }) => detector)
    expect(detectors).not.toContain('drift')
  })

  test('a level that is mostly at the bottom of its range drifts, too', () => {
    const random = randomOf('starts')
    // Twenty for ten minutes when the machine starts in the morning, and ten otherwise, until it wears.
    const starting: Signal = (second) =>
      ((second % dayS) / 60 < 10 ? 20 : 10) + 0.1 * random.normal() - 0.5 * Math.max(0, second / dayS - 10)
    const driftedAt = alertsOf(starting, 60, 21).find(({ detector }) => detector === 'drift')!.second / dayS
    expect(driftedAt).toBeGreaterThan(10)
    expect(driftedAt).toBeLessThan(18)
  })

  test.each([60, 300])('what creeps for weeks, read every %s s, is told when there is more of it, not every day', (everyS) => {
    const random = randomOf('creeps')
    const creeping: Signal = (second) => 50 + 3 * daily(second) + 0.5 * random.normal() + Math.max(0, (14 * (second / dayS - 10)) / 30)
    const told = alertsOf(creeping, everyS, 40)
    expect(told.map(({ detector }) => detector)).toEqual(['drift', 'drift'])
    expect(told[0]!.second).toBeLessThan(25 * dayS)
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
        expect(told.filter(({ second }) => second < 10 * dayS || second > 17 * dayS)).toEqual([])
        expect(told.length).toBeGreaterThan(0)
        expect(told.length).toBeLessThanOrEqual(4)
      }
    },
  )
})
