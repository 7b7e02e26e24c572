/** What a series that is an hour or a day old is told of: faults soon, its own first shifts never. */
import { describe, expect, test } from 'vitest'
import { scoreSeries } from '../../detection/score-series.ts'
import type { Random } from '../../device-sim/random.ts'
import { randomOf } from '../../device-sim/random.ts'
import { eventsOfMachine } from '../support/watched-machine.ts'

const startMs = Date.UTC(2026, 0, 5)

/** Whether anything is told of the first minute of a fault, and nothing of the hour before it. */
function isTold(
  seed: string,
  healthy: (second: number, random: Random) => number,
  fault: (index: number, random: Random) => number,
): boolean {
  const score = scoreSeries()
  const random = randomOf(seed)
  for (let second = 0; second < 3660; second++) {
    const value = healthy(second, random) + (second < 3600 ? 0 : fault(second - 3600, random))
    const isNews = score(startMs + second * 1000, value).score >= 0.5
    if (isNews) return second >= 3600
  }
  return false
}

describe('a signal that has been read every second for an hour', () => {
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
    Object.entries(faults).map(([name, fault]) => ({ kind, name, healthy, fault })),
  )
  test.each(cases)('$name is told of $kind', ({ kind, name, healthy, fault }) => {
    const seeds = Array.from({ length: 10 }, (_, seed) => `${kind} ${name} ${seed}`)
    expect(seeds.filter((seed) => !isTold(seed, healthy, fault))).toEqual([])
  })
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
