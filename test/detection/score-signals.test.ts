import fc from 'fast-check'
import { expect, test } from 'vitest'
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
    expect([first === undefined, second_ === undefined, third === undefined]).toEqual([false, isSilent, second < 300])
  }
  // What no other signal explains.
  const verdicts = score(2_000_000, [2.5, -2.5, 0])
  expect(verdicts.map((verdict) => verdict?.detector)).toContain('relation')
})
