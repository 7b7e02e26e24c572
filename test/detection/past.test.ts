import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  adoptBlock,
  closeBlocks,
  highOf,
  isInBlock,
  isOutside,
  isWider,
  lowOf,
  outside,
  remember,
  turnEpoch,
} from '../../detection/past.ts'
import { newSeriesState, statistics } from '../../detection/series-state.ts'

const number = fc.integer({ min: -1000, max: 1000 })

/** The past of one statistic after blocks of values. */
function pastOf(blocks: readonly (readonly number[])[]): Float32Array {
  const { past } = newSeriesState()
  for (const block of blocks) {
    for (const value of block) remember(past, 2, value)
    closeBlocks(past, 0, statistics)
  }
  return past
}

describe('the past of a statistic', () => {
  test('reaches to the second most extreme block on each side', () => {
    fc.assert(
      fc.property(fc.array(fc.array(number, { minLength: 1, maxLength: 5 }), { minLength: 2, maxLength: 20 }), (blocks) => {
        const past = pastOf(blocks)
        const second = (values: number[], sign: number) => values.sort((a, b) => sign * (a - b))[1]
        expect(highOf(past, 2)).toBe(
          second(
            blocks.map((block) => Math.max(...block)),
            -1,
          ),
        )
        expect(lowOf(past, 2)).toBe(
          second(
            blocks.map((block) => Math.min(...block)),
            1,
          ),
        )
      }),
    )
  })

  test('what lies within the open block changes nothing, and anything else does', () => {
    fc.assert(
      fc.property(fc.array(number, { maxLength: 5 }), number, (block, value) => {
        const { past } = newSeriesState()
        for (const known of block) remember(past, 2, known)
        const before = past.slice()
        const wasInBlock = isInBlock(past, 2, value)
        remember(past, 2, value)
        expect(past.every((float, index) => Object.is(float, before[index]))).toBe(wasInBlock)
      }),
    )
  })

  test('has a value outside it when there is a distance between them', () => {
    fc.assert(
      fc.property(fc.array(fc.array(number, { maxLength: 3 }), { maxLength: 5 }), number, (blocks, value) => {
        const past = pastOf(blocks)
        expect(isOutside(past, 2, value)).toBe(outside(past, 2, value, 1) !== 0)
      }),
    )
  })

  test('says how many ranges a value lies outside it', () => {
    const past = pastOf([[0, 10], [0, 10], [3]])
    expect(outside(past, 2, 5, 1)).toBe(0)
    expect(outside(past, 2, 15, 1)).toBe(0.5)
    expect(outside(past, 2, -20, 1)).toBe(-2)
    expect(outside(past, 2, 15, 100)).toBe(0.05)
  })

  test('is unknown at first, and what is in the open block does not count yet', () => {
    const { past } = newSeriesState()
    remember(past, 2, 5)
    expect(outside(past, 2, 500, 1)).toBe(0)
  })

  test('holds what is seen now as if it had been seen twice, once that is taken for normal', () => {
    const past = pastOf([
      [0, 40],
      [0, 10],
    ])
    remember(past, 2, 25)
    adoptBlock(past, 2)
    expect([lowOf(past, 2), highOf(past, 2)]).toEqual([0, 25])
    expect(outside(past, 2, 30, 1)).toBe(0.2)
    remember(past, 2, 35)
    closeBlocks(past, 0, statistics)
    expect(highOf(past, 2)).toBe(35)
  })

  test('is narrower than a block between whose extremes lies more', () => {
    const past = pastOf([
      [0, 10],
      [0, 10],
    ])
    remember(past, 2, 11)
    remember(past, 2, 2)
    expect(isWider(past, 2)).toBe(false)
    remember(past, 2, 0.5)
    expect(isWider(past, 2)).toBe(true)
  })

  test('is forgotten after one to two epochs', () => {
    const past = pastOf([[0], [0], [100], [100]])
    turnEpoch(past)
    expect(highOf(past, 2)).toBe(100)
    for (const value of [1, 2, 3]) {
      remember(past, 2, value)
      closeBlocks(past, 0, statistics)
    }
    turnEpoch(past)
    expect(highOf(past, 2)).toBe(2)
  })
})
