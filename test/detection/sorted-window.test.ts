import fc from 'fast-check'
import { median, medianAbsoluteDeviation as oracleMad } from 'simple-statistics'
import { describe, expect, test } from 'vitest'
import { medianAbsoluteDeviation, medianOfSorted, replaceSorted } from '../../detection/sorted-window.ts'

const values = fc.array(
  fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e9, max: 1e9 }), fc.integer({ min: 0, max: 5 })),
  { minLength: 1, maxLength: 200 },
)

describe('sorted window', () => {
  test('agrees with simple-statistics on every reading', () => {
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 40 }), (readings, size) => {
        const state = new Float64Array(size)
        let count = 0
        readings.forEach((value, index) => {
          const leaving = index >= size ? readings[index - size] : undefined
          replaceSorted(state, 0, count, value, leaving)
          count = Math.min(size, count + 1)
          const window = readings.slice(Math.max(0, index + 1 - size), index + 1)
          const middle = medianOfSorted(state, 0, count)
          expect(middle).toBeCloseTo(median(window), 6)
          expect(medianAbsoluteDeviation(state, 0, count, middle)).toBeCloseTo(oracleMad(window), 6)
        })
      }),
    )
  })
})
