import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FilterSpec } from '../../contract/filter-spec.ts'
import { filterReading, heldReading, newFilterState } from '../../edge-module/filters.ts'
import type { SignalRule } from '../../edge-module/filters.ts'

type Point = { readonly timeMs: number; readonly seq: number; readonly value: number }
const hourMs = 3_600_000
const ruleOf = (filter: FilterSpec, intervals: Partial<SignalRule> = {}): SignalRule => ({
  filter,
  minIntervalMs: 0,
  maxIntervalMs: hourMs,
  ...intervals,
})

/** One reading a second. */
const series = (values: readonly number[]): Point[] => values.map((value, index) => ({ timeMs: 1000 * (index + 1), seq: index + 1, value }))

/** What gets through, in order, the corner that is still held at the end included. */
function through(
  rule: SignalRule | ((index: number) => SignalRule),
  points: readonly Point[],
  isOpen: (index: number) => boolean = () => false,
) {
  const state = newFilterState()
  const sent: Point[] = []
  points.forEach((point, index) => {
    const before = heldReading(state)
    const { send, sendHeld } = filterReading(state, typeof rule === 'function' ? rule(index) : rule, point, isOpen(index))
    if (sendHeld) sent.push(before!)
    if (send) sent.push(point)
  })
  const last = heldReading(state)
  return last ? [...sent, last] : sent
}
const values = (rule: SignalRule, numbers: readonly number[]) => through(rule, series(numbers)).map(({ value }) => value)

/** The curve that a receiver draws: a step between what was sent, or a line. */
function drawn(sent: readonly Point[], at: Point, kind: FilterSpec['kind']): number {
  const before = sent.findLast(({ seq }) => seq <= at.seq)!
  const after = sent.find(({ seq }) => seq >= at.seq)
  if (kind !== 'swinging-door' || !after || after === before) return before.value
  return before.value + ((after.value - before.value) * (at.timeMs - before.timeMs)) / (after.timeMs - before.timeMs)
}

function toleranceOf(filter: FilterSpec, sentValue: number): number {
  switch (filter.kind) {
    case 'deadband':
      return filter.width
    case 'relative-deadband':
      return Math.max(filter.floor, (Math.abs(sentValue) * filter.pct) / 100)
    case 'swinging-door':
      return filter.tolerance
    default:
      return 0
  }
}

const bounded: fc.Arbitrary<FilterSpec> = fc.oneof(
  fc.record({ kind: fc.constant('deadband' as const), width: fc.double({ min: 0, max: 5, noNaN: true }) }),
  fc.record({
    kind: fc.constant('relative-deadband' as const),
    pct: fc.double({ min: 0.01, max: 20, noNaN: true }),
    floor: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
  fc.record({ kind: fc.constant('swinging-door' as const), tolerance: fc.double({ min: 0.01, max: 5, noNaN: true }) }),
  fc.constant<FilterSpec>({ kind: 'on-change' }),
  fc.constant<FilterSpec>({ kind: 'pass' }),
)
/** Walks, jumps and noise, at irregular times; clocks that stand or go back now and then. */
const points = fc
  .array(
    fc.tuple(
      fc.oneof({ weight: 20, arbitrary: fc.integer({ min: 1, max: 5000 }) }, { weight: 1, arbitrary: fc.integer({ min: -3000, max: 0 }) }),
      fc.double({ min: -10, max: 10, noNaN: true }),
    ),
    {
      minLength: 1,
      maxLength: 120,
    },
  )
  .map((steps) => {
    let [timeMs, value] = [1_000_000, 20]
    return steps.map(([stepMs, change], index): Point => {
      timeMs += stepMs
      value += change
      return { timeMs, seq: index + 1, value }
    })
  })

describe('edge filters', () => {
  test('send the first reading, whatever it is', () => {
    for (const filter of [{ kind: 'deadband', width: 5 }, { kind: 'on-change' }, { kind: 'swinging-door', tolerance: 1 }] as const)
      expect(values(ruleOf(filter), [20])).toEqual([20])
  })

  test('a deadband holds back changes narrower than its width, and follows a slow drift', () => {
    const rule = ruleOf({ kind: 'deadband', width: 0.5 })
    expect(values(rule, [20, 20.4, 19.6, 20.5])).toEqual([20])
    expect(values(rule, [20, 20.3, 20.6, 20.9, 21.2])).toEqual([20, 20.6, 21.2])
  })

  test('a relative deadband widens with the value, and never below its floor', () => {
    const rule = ruleOf({ kind: 'relative-deadband', pct: 10, floor: 0.5 })
    expect(values(rule, [100, 109, 111, 121, 123])).toEqual([100, 111, 123])
    expect(values(rule, [0, 0.4, 0.6])).toEqual([0, 0.6])
  })

  test('on change sends every change and no repetition', () =>
    expect(values(ruleOf({ kind: 'on-change' }), [1, 1, 2, 2, 1])).toEqual([1, 2, 1]))

  test('a swinging door sends the corners of a ramp and nothing between', () => {
    const rampUpAndDown = [0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0]
    expect(values(ruleOf({ kind: 'swinging-door', tolerance: 0.1 }), rampUpAndDown)).toEqual([0, 5, 0])
  })

  test('an aggregate sends one reading a period', () =>
    expect(values(ruleOf({ kind: 'aggregate', periodMs: 3000 }), [1, 2, 3, 4, 5, 6, 7])).toEqual([1, 4, 7]))

  test('a signal that does not move is still sent now and then; one that jumps all the time not too often', () => {
    expect(values(ruleOf({ kind: 'deadband', width: 1 }, { maxIntervalMs: 3000 }), [5, 5, 5, 5, 5, 5, 5])).toEqual([5, 5, 5])
    expect(values(ruleOf({ kind: 'deadband', width: 1 }, { minIntervalMs: 3000 }), [0, 9, 0, 9, 0, 9, 0])).toEqual([0, 9, 0])
  })

  test('what is drawn of it is never further off than the tolerance', () => {
    fc.assert(
      fc.property(
        bounded,
        points,
        fc.integer({ min: 1_000, max: 200_000 }),
        fc.func(fc.boolean()),
        (filter, all, maxIntervalMs, isOpen) => {
          const sent = through(ruleOf(filter, { maxIntervalMs }), all, isOpen)
          for (const point of all) {
            const before = sent.findLast(({ seq }) => seq <= point.seq)!
            expect(Math.abs(drawn(sent, point, filter.kind) - point.value)).toBeLessThanOrEqual(toleranceOf(filter, before.value) + 1e-9)
          }
        },
      ),
      { numRuns: 500 },
    )
  })

  test('everything passes an open filter', () => {
    fc.assert(
      fc.property(bounded, points, (filter, all) => {
        expect(through(ruleOf(filter, { minIntervalMs: hourMs }), all, () => true)).toEqual(all)
      }),
    )
  })

  test('a change of the filter in midstream loses no corner', () => {
    fc.assert(
      fc.property(bounded, bounded, points, fc.nat(), (first, second, all, where) => {
        const at = where % all.length
        const sent = through((index) => ruleOf(index < at ? first : second), all)
        const seqs = sent.map(({ seq }) => seq)
        expect(new Set(seqs).size).toBe(seqs.length)
        expect(seqs).toEqual([...seqs].sort((a, b) => a - b))
        for (const point of all.slice(0, at)) {
          const before = sent.findLast(({ seq }) => seq <= point.seq)!
          const tolerance = Math.max(toleranceOf(first, before.value), toleranceOf(second, before.value))
          if (sent.some(({ seq }) => seq >= point.seq && seq <= at))
            expect(Math.abs(drawn(sent, point, first.kind) - point.value)).toBeLessThanOrEqual(tolerance + 1e-9)
        }
      }),
    )
  })

  test('a specification with a width that is none is refused', () => {
    for (const wrong of [
      { kind: 'deadband', width: -1 },
      { kind: 'swinging-door', tolerance: 0 },
      { kind: 'aggregate' },
      { kind: 'median' },
    ])
      expect(FilterSpec.safeParse(wrong).success).toBe(false)
  })
})
