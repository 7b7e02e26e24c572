import { describe, expect, test } from 'vitest'
import { placesOf } from '../../local-cloud/routing/endpoint-queue.ts'

describe('places of route endpoints', () => {
  const first = placesOf(['orders', 'archive'], new Map(), [0, 0, 0, 0])

  test('are partitions of their own', () => {
    expect(first).toEqual(
      new Map([
        ['orders', { partition: 0, next: 0 }],
        ['archive', { partition: 1, next: 0 }],
      ]),
    )
  })

  test('stay when the settings name the endpoints in another order, or one less', () => {
    const known = new Map([...first].map(([name, place]) => [name, { ...place, next: 7 }]))
    expect(placesOf(['archive', 'orders'], known, [9, 9, 0, 0])).toEqual(known)
    expect(placesOf(['archive'], known, [9, 9, 0, 0]).get('archive')).toEqual({ partition: 1, next: 7 })
  })

  test('of a new endpoint begin at the end of a partition that nobody has', () => {
    expect(placesOf(['audit', 'archive'], first, [9, 9, 4, 0]).get('audit')).toEqual({ partition: 2, next: 4 })
  })

  test('are limited', () => expect(() => placesOf(['a', 'b', 'c'], first, [0, 0, 0, 0])).toThrow(RangeError))
})
