/** Sensors that tell whole degrees or half percents: most of the time nothing moves, and then one step. */
import { describe, expect, test } from 'vitest'
import { scoreSeries } from '../../detection/score-series.ts'
import { randomOf } from '../../device-sim/random.ts'
import { alertsOf } from '../support/watched-signal.ts'
import type { Signal } from '../support/watched-signal.ts'

const startMs = 1_700_000_000_000
const dayS = 86_400

/** A series that is slow, noisy by a tenth, and told in steps. */
function inSteps(step: number, change: (value: number, second: number) => number = (value) => value): Signal {
  const random = randomOf(`steps of ${step}`)
  return (second) => {
    const value = 22 + 2 * Math.sin((2 * Math.PI * second) / dayS) + 0.1 * random.normal()
    return Math.round(change(value, second) / step) * step
  }
}

describe('a series in whole steps', () => {
  test.each([
    [1, 1],
    [0.5, 10],
    [0.5, 60],
    [1, 300],
  ])('of %s, told every %s seconds, is at most once news on its first day, and never again', (step, everyS) => {
    const alerts = alertsOf(inSteps(step), everyS, 4).filter(({ detector }) => detector !== 'stuck')
    expect(alerts.filter(({ second }) => second < dayS).length).toBeLessThanOrEqual(1)
    expect(alerts.filter(({ second }) => second >= dayS)).toEqual([])
  })

  test('that moves by many steps is news at once', () => {
    const shifted = inSteps(0.5, (value, second) => (second >= 2.5 * dayS ? value + 6 : value))
    const alerts = alertsOf(shifted, 10, 3)
    expect(alerts.find(({ second }) => second >= 2.5 * dayS)!.second).toBeLessThan(2.5 * dayS + 30)
  })
})

test('what was nearly an alert hides none', () => {
  const score = scoreSeries()
  const random = randomOf('nearly')
  const next = (value: number, index: number) => score(startMs + index * 60_000, value).score
  for (let index = 0; index < 3_000; index++) next(50 + 10 * random.next(), index)
  // Two thirds of what makes an alert, and then a third more than it: not twice as much.
  const nearly = Array.from({ length: 5 }, (_, index) => next(65, 3_000 + index))
  expect(Math.max(...nearly)).toBeGreaterThan(0.4)
  expect(Math.max(...nearly)).toBeLessThan(0.5)
  expect(next(67, 3_005)).toBeGreaterThanOrEqual(0.5)
})
