/** What a series that is minutes, an hour or a day old is told of: faults soon, its own first shifts never. */
import { describe, expect, test } from 'vitest'
import { shapes } from '../../bench/detection/signal-shapes.ts'
import { scoreSeries } from '../../detection/score-series.ts'
import type { Random } from '../../device-sim/random.ts'
import { randomOf } from '../../device-sim/random.ts'
import { eventsOfMachine } from '../support/watched-machine.ts'

const startMs = Date.UTC(2026, 0, 5)

type Healthy = (second: number, random: Random) => number

/** The highest scores before a fault that begins at `onset`, from `since` on, and in its first minute; both in seconds from the series' begin. */
function highest(seed: string, onset: number, healthy: Healthy, fault: (index: number, random: Random) => number, since = 0) {
  const score = scoreSeries()
  const random = randomOf(seed)
  let [before, after] = [0, 0]
  for (let second = 0; second < onset + 60; second++) {
    const value = healthy(second, random) + (second < onset ? 0 : fault(second - onset, random))
    const reached = score(startMs + second * 1000, value).score
    if (second >= onset) after = Math.max(after, reached)
    else if (second >= since) before = Math.max(before, reached)
  }
  return { before, after }
}

describe('a signal that is read every second', () => {
  const kinds = {
    noise: (_: number, random: Random) => 5 + random.normal(),
    wave: (second: number, random: Random) => 20 + 10 * Math.sin(second / 40) + random.normal(),
  }
  const faults = {
    'a spike of fifteen deviations': (index: number) => (index === 0 ? 15 : 0),
    'noise that is eight times as loud': (_: number, random: Random) => 8 * random.normal(),
    'a level that shifts by fifteen deviations': () => -15,
  }
  const cases = Object.entries(kinds).flatMap(([kind, healthy]) =>
    Object.entries(faults).flatMap(([name, fault]) => [20, 60].map((minutes) => ({ kind, name, minutes, healthy, fault }))),
  )
  const seeds = Array.from({ length: 10 }, (_, seed) => seed)

  test.each(cases)('$name is told of $kind after $minutes minutes', ({ kind, name, minutes, healthy, fault }) => {
    const told = seeds.map((seed) => highest(`${kind} ${name} ${minutes} ${seed}`, 60 * minutes, healthy, fault))
    expect(told.filter(({ before, after }) => before >= 0.5 || after < 0.5)).toEqual([])
  })

  // What is not sure enough to be told yet is most unusual all the same.
  test.each(Object.entries(kinds))(
    'noise that is four times as loud after ten minutes of %s scores higher than five minutes of it',
    (kind, healthy) => {
      const reached = seeds.map((seed) => highest(`${kind} ${seed}`, 600, healthy, (_, random) => 4 * random.normal(), 300))
      expect(reached.filter(({ before, after }) => after < 2 * before)).toEqual([])
    },
  )
})

test.each([5, 20, 90])('a signal that stands still for its first %s minutes and then does something is news once', (minutes) => {
  const told = Array.from({ length: 10 }, (_, seed) => {
    const score = scoreSeries()
    const random = randomOf(`start ${minutes} ${seed}`)
    let [level, news] = [0, 0]
    for (let second = 0; second < 3 * 3_600; second++) {
      const isRunning = second >= minutes * 60
      level += ((isRunning ? 50 : 0) - level) * (seed % 2 === 0 ? 1 : 0.05)
      if (score(startMs + second * 1000, level + (isRunning ? random.normal() : 0)).score >= 0.5) news++
    }
    return news
  })
  expect(told).toEqual(told.map(() => 1))
})

test.each([1, 10, 60])('whole degrees that begin to change are news once, read every %s s', (everyS) => {
  const told = Array.from({ length: 10 }, (_, seed) => {
    const signal = shapes['whole degrees']!(randomOf(`degrees ${seed}`), everyS)
    const score = scoreSeries()
    let news = 0
    for (let second = 0; second < 86_400; second += everyS) if (score(startMs + second * 1000, signal(second)).score >= 0.5) news++
    return news
  })
  expect(Math.max(...told)).toBe(1)
})

describe('a healthy machine in its first two days', () => {
  test.each([
    ['motor', 60],
    ['pump', 60],
    ['compressor', 60],
    ['motor', 10],
    ['oven', 30],
  ] as const)('the first shifts of a %s that is read every %s s are no news', (kind, everyS) => {
    const seeds = ['a', 'b', 'c', 'd']
    const told = seeds.flatMap((seed) => eventsOfMachine({ kind, deviceId: `${kind}-1` }, { seed, seconds: 2 * 86_400, everyS }))
    expect(told.filter((event) => event.kind === 'raised')).toEqual([])
  })
})
