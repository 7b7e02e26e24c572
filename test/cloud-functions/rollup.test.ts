import fc from 'fast-check'
import { max, mean, min, quantileSorted, standardDeviation } from 'simple-statistics'
import { describe, expect, test } from 'vitest'
import { digestOf, mergeDigests, quantile } from '../../cloud-functions/hot-path/digest.ts'
import { addFiltered, addReading, openSegment } from '../../cloud-functions/hot-path/open-segment.ts'
import { newOpenRollups, rollUp } from '../../cloud-functions/hot-path/roll-up.ts'
import type { Rollup } from '../../cloud-functions/hot-path/roll-up.ts'
import {
  bucketize,
  bucketOf,
  coarsen,
  decodeBuckets,
  encodeBuckets,
  mergeBuckets,
  resolutions,
} from '../../cloud-functions/hot-path/bucket.ts'
import type { Bucket } from '../../cloud-functions/hot-path/bucket.ts'
import { randomOf } from '../../device-sim/random.ts'

const values = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 300 })
const startMs = 1_700_000_000_000 - (1_700_000_000_000 % resolutions['1d'])

describe('a bucket', () => {
  test('agrees with simple-statistics, in whatever parts it was gathered', () => {
    fc.assert(
      fc.property(fc.array(values, { minLength: 1, maxLength: 6 }), (parts) => {
        // A bucket takes -0 for 0.
        const all = parts.flat().map((value) => value + 0)
        const merged = mergeBuckets(
          0,
          parts.map((part) => bucketOf(0, part)),
        )
        expect(merged).toMatchObject({ count: all.length, min: min(all), max: max(all) })
        expect(merged.mean).toBeCloseTo(mean(all), 4)
        expect(Math.sqrt(merged.m2 / merged.count)).toBeCloseTo(standardDeviation(all), 2)
        expect(merged.digest.counts.reduce((sum, count) => sum + count, 0)).toBe(all.length)
      }),
      { examples: [[[[-0], [0]]], [[[-0]]]] },
    )
  })

  test('takes the readings of its span, in whatever order they come', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(600_000), fc.integer({ min: -50, max: 50 })), { maxLength: 60 }), (readings) => {
        const columns = { timesMs: readings.map(([timeMs]) => startMs + timeMs), values: readings.map(([, value]) => value) }
        const minuteOf = (timeMs: number) => startMs + Math.floor(timeMs / 60_000) * 60_000
        const buckets = bucketize(columns, 60_000)
        const minutes = new Set(readings.map(([timeMs]) => minuteOf(timeMs)))
        expect(buckets.map((bucket) => bucket.startMs)).toEqual([...minutes].toSorted((a, b) => a - b))
        for (const bucket of buckets) {
          const own = readings.flatMap(([timeMs, value]) => (minuteOf(timeMs) === bucket.startMs ? [value] : []))
          expect(bucket.count).toBe(own.length)
          expect(bucket.mean).toBeCloseTo(mean(own), 9)
        }
      }),
    )
  })

  test('comes back from its bytes as it was, -0 and all', () => {
    for (const part of [[-0], [0], [-0, 1], [5e-324]]) {
      const buckets = new Map([['flow', [bucketOf(startMs, part)]]])
      expect(decodeBuckets(encodeBuckets(buckets, startMs), startMs)).toEqual(buckets)
    }
    fc.assert(
      fc.property(fc.array(values, { minLength: 1, maxLength: 5 }), (parts) => {
        const buckets = new Map([['flow', parts.map((part, index) => bucketOf(startMs + index * 60_000, part))]])
        expect(decodeBuckets(encodeBuckets(buckets, startMs), startMs)).toEqual(buckets)
      }),
    )
  })
})

describe('a digest', () => {
  test('estimates quantiles within four per cent of the rank, merged or not', () => {
    const random = randomOf('digest')
    for (const draw of [() => random.normal(), () => -Math.log(1 - random.next()), () => random.next() ** 8]) {
      const sample = Array.from({ length: 20_000 }, draw)
      const sorted = sample.toSorted((a, b) => a - b)
      const merged = mergeDigests(Array.from({ length: 40 }, (_, part) => digestOf(sample.slice(part * 500, (part + 1) * 500))))
      for (const digest of [digestOf(sample), merged])
        for (const share of [0.01, 0.1, 0.5, 0.9, 0.99]) {
          const estimate = quantile(digest, share)!
          expect(estimate).toBeGreaterThanOrEqual(quantileSorted(sorted, Math.max(0, share - 0.04)))
          expect(estimate).toBeLessThanOrEqual(quantileSorted(sorted, Math.min(1, share + 0.04)))
        }
    }
  })
})

describe('rolling up', () => {
  /** Segments of ten minutes, readings a second, a few of them late by hours. */
  function rolledUp(hours: number): { rollups: Rollup[]; readings: { timeMs: number; value: number }[] } {
    const random = randomOf('roll-up')
    const open = newOpenRollups()
    const readings: { timeMs: number; value: number }[] = []
    const rollups: Rollup[] = []
    for (let part = 0; part < hours * 6; part++) {
      const segment = openSegment('b', part * 600 + 1, startMs + part * 600_000)
      for (let second = 0; second < 600; second += 10) {
        const lateMs = random.next() < 0.02 ? random.next() * 7_200_000 : 0
        const reading = { timeMs: Math.max(startMs, Math.round(startMs + (part * 600 + second) * 1000 - lateMs)), value: random.normal() }
        readings.push(reading)
        addReading(segment, 'flow', reading.timeMs, part * 600 + second + 1, reading.value)
      }
      rollups.push(...rollUp(open, segment))
    }
    return { rollups, readings }
  }

  const bucketsOf = (rollups: readonly Rollup[], wanted: string): Bucket[] =>
    rollups.flatMap(({ resolution, buckets }) => (resolution === wanted ? (buckets.get('flow') ?? []) : []))

  test('puts every reading into exactly one minute, and into one hour and one day once they are over', () => {
    const { rollups, readings } = rolledUp(50)
    const count = (buckets: readonly Bucket[]) => buckets.reduce((sum, bucket) => sum + bucket.count, 0)
    expect(count(bucketsOf(rollups, '1m'))).toBe(readings.length)
    const before = (endMs: number) => readings.filter(({ timeMs }) => timeMs < endMs).length
    expect(count(bucketsOf(rollups, '1h'))).toBe(before(startMs + 49 * resolutions['1h']))
    expect(count(bucketsOf(rollups, '1d'))).toBe(before(startMs + 2 * resolutions['1d']))
  })

  test('keeps minimum and maximum at every width', () => {
    const { rollups, readings } = rolledUp(25)
    const [day] = coarsen(bucketsOf(rollups, '1d'), resolutions['1d'])
    const ofDay = readings.filter(({ timeMs }) => timeMs < startMs + resolutions['1d']).map(({ value }) => value)
    expect(day).toMatchObject({ min: min(ofDay), max: max(ofDay), count: ofDay.length })
    expect(day!.mean).toBeCloseTo(mean(ofDay), 9)
  })

  test('counts what the edge held back, so that means are not those of the interesting readings', () => {
    const segment = openSegment('b', 1, startMs)
    addReading(segment, 'flow', startMs + 1000, 1, 100)
    addFiltered(segment, 'flow', { count: 99, min: 9, max: 11, mean: 10, lastTimeMs: startMs + 50_000 })
    const [minute] = bucketsOf(rollUp(newOpenRollups(), segment), '1m')
    expect(minute).toMatchObject({ count: 100, min: 9, max: 100, mean: expect.closeTo(10.9) })
  })
})
