import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ScoredReading } from '../../detection/score-series.ts'
import { scoreSeries, scoreSignals } from '../../detection/score-series.ts'
import { randomOf } from '../../device-sim/random.ts'

test('a signal that has no others is scored as a series', () => {
  fc.assert(
    fc.property(fc.string(), fc.integer({ min: 1, max: 400 }), (seed, outlierAt) => {
      const random = randomOf(seed)
      const [one, several] = [scoreSeries(), scoreSignals(1)]
      for (let index = 0; index < 400; index++) {
        const value = 20 + random.normal() + (index === outlierAt ? 30 : 0)
        expect(several(index * 1000, [value])).toEqual([one(index * 1000, value)])
      }
    }),
    { numRuns: 20 },
  )
})

test('a signal that is silent for a while is scored when it is back, and does not hold up the others', () => {
  const random = randomOf('silent')
  const score = scoreSignals(3)
  for (let second = 0; second < 2_000; second++) {
    const [a, b, c] = [random.normal(), random.normal(), random.normal()]
    const isSilent = second >= 100 && second < 200
    const [first, second_, third] = score(second * 1000, [a, isSilent ? undefined : a + 0.1 * b, second < 300 ? undefined : c])
    expect([first, second_, third].map((scored) => scored!.kind === 'missing')).toEqual([false, isSilent, second < 300])
  }
  // What no other signal explains.
  const verdicts = score(2_000_000, [2.5, -2.5, 0])
  expect(verdicts.map((verdict) => verdict.detector)).toContain('relation')
})

/** Seconds at which a signal is told to be missing that a machine sends every second, but for some spans of them. */
function missingAt(silent: readonly (readonly [number, number])[], score: (timeMs: number, value: number | undefined) => ScoredReading) {
  const random = randomOf('missing')
  const told: number[] = []
  for (let second = 0; second < 2_000; second++) {
    const isSilent = silent.some(([from, to]) => second >= from && second < to)
    const { kind, detector, score: reached } = score(second * 1000, isSilent ? undefined : 20 + random.normal())
    expect(kind === 'missing').toBe(isSilent)
    if (reached >= 0.5 && detector === 'missing') told.push(second)
  }
  return told
}

describe.each([
  ['alone', () => scoreSeries()],
  [
    'beside another',
    () => {
      const score = scoreSignals(2)
      const random = randomOf('another')
      return (timeMs: number, value: number | undefined) => score(timeMs, [random.normal(), value])[1]!
    },
  ],
])('a signal that is not measured any more, seen %s', (_, scorer) => {
  test('is told to be missing once, when it is overdue, and again the next time', () => {
    expect(
      missingAt(
        [
          [500, 900],
          [1_400, 1_999],
        ],
        scorer(),
      ),
    ).toEqual([530, 1490])
  })

  test('is not told while it is no longer away than three times as long as ever', () => {
    expect(
      missingAt(
        [
          [500, 520],
          [600, 640],
          [700, 750],
        ],
        scorer(),
      ),
    ).toEqual([])
  })

  test('is not told again because a reading from before comes late', () => {
    const score = scorer()
    const random = randomOf('late')
    for (let second = 0; second < 500; second++) score(second * 1000, random.normal())
    const told = Array.from({ length: 100 }, (_late, index) => score((500 + index) * 1000, undefined))
    expect(told.filter(({ detector }) => detector === 'missing')).toHaveLength(1)
    expect(score(498_500, 0).kind).toBe('late')
    expect(score(601_000, undefined).detector).toBeUndefined()
  })

  test('is not told before anything was measured', () => {
    expect(missingAt([[0, 1_000]], scorer())).toEqual([])
  })
})
