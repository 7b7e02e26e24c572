import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { applyDeadband, newDeadband } from '../../edge-module/deadband.ts'
import type { DeadbandState } from '../../edge-module/deadband.ts'

/** Runs values, one a second, through a deadband and returns those it lets through. */
function sentThrough(width: number, values: readonly number[], maxIntervalMs = Number.POSITIVE_INFINITY): number[] {
  let state: DeadbandState = newDeadband
  return values.filter((value, second) => {
    const result = applyDeadband(state, { timeMs: second * 1000, value }, { width, maxIntervalMs })
    state = result.state
    return result.passed
  })
}

describe('deadband', () => {
  test('sends the first reading, whatever it is', () => expect(sentThrough(0.5, [20])).toEqual([20]))
  test('holds back changes no wider than its width', () => expect(sentThrough(0.5, [20, 20.4, 19.6, 20.5])).toEqual([20]))
  test('follows a slow drift', () => expect(sentThrough(0.5, [20, 20.3, 20.6, 20.9, 21.2])).toEqual([20, 20.6, 21.2]))
  test('reports a signal that does not move, now and then', () =>
    expect(sentThrough(0.5, [20, 20, 20, 20, 20, 20], 2000)).toEqual([20, 20, 20]))
  test('passes everything at width 0', () => expect(sentThrough(0, [1, 1, 1])).toEqual([1, 1, 1]))

  test('what the cloud last saw is never further off than the width', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ noNaN: true, min: -1e6, max: 1e6 }), { minLength: 1 }),
        fc.double({ noNaN: true, min: 0.001, max: 1000 }),
        (values, width) => {
          let state: DeadbandState = newDeadband
          for (const [second, value] of values.entries()) {
            state = applyDeadband(state, { timeMs: second, value }, { width, maxIntervalMs: 1e12 }).state
            expect(Math.abs(value - state.lastPassed!.value)).toBeLessThanOrEqual(width)
          }
        },
      ),
    )
  })
})
