import fc from 'fast-check'
import { median, medianAbsoluteDeviation as oracleMad } from 'simple-statistics'
import { describe, expect, test } from 'vitest'
import { medianAbsoluteDeviation, medianOfSorted, putSorted } from '../../detection/rolling-window.ts'

// The window holds floats.
const values = fc.array(fc.oneof(fc.float({ noNaN: true, noDefaultInfinity: true, min: -1e9, max: 1e9 }), fc.integer({ min: 0, max: 5 })), {
  minLength: 1,
  maxLength: 200,
})

describe('rolling window', () => {
  test('agrees with simple-statistics on every reading', () => {
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 40 }), (readings, size) => {
        const window = new Float32Array(size)
        const ages = new Uint8Array(size)
        let count = 0
        readings.forEach((value, index) => {
          const age = index % size
          putSorted(window, ages, count, value, age)
          count = Math.min(size, count + 1)
          const last = readings.slice(Math.max(0, index + 1 - size), index + 1)
          const middle = medianOfSorted(window, count)
          expect(middle).toBeCloseTo(median(last), 6)
          expect(medianAbsoluteDeviation(window, count, middle)).toBeCloseTo(oracleMad(last), 6)
        })
      }),
    )
  })
})
