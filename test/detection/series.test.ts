import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { DetectorName } from '../../contract/alert.ts'
import { judge } from '../../detection/judge-series.ts'
import { newJudgement } from '../../detection/judgement.ts'
import type { SeriesTraits } from '../../detection/judgement.ts'
import { learn } from '../../detection/learn-series.ts'
import { plainTraits } from '../../detection/plain-traits.ts'
import { silentForMs, stillLearning } from '../../detection/series-knowledge.ts'
import { newSeriesState, seriesBytes, seriesStateBytes, seriesStateFrom } from '../../detection/series-state.ts'
import { dayMs, settings } from '../../detection/settings.ts'
import { randomOf } from '../../device-sim/random.ts'

const startMs = 1_700_000_000_000 - (1_700_000_000_000 % dayMs)

type Told = {
  readonly detector: DetectorName | undefined
  readonly severity: number
  readonly atMs: number
  readonly expectedMin: number
  readonly expectedMax: number
}

/** A series that is fed and tells where it was abnormal. */
function series(traits: Partial<SeriesTraits> = {}, state = newSeriesState()) {
  const judgement = newJudgement()
  let timeMs = startMs
  const told: Told[] = []
  const all: Told[] = []
  const feed = (values: Iterable<number>, intervalMs = 60_000) => {
    for (const value of values) {
      timeMs += intervalMs
      judge(state, timeMs, value, { ...plainTraits, ...traits }, judgement)
      const { detector, severity, expectedMin, expectedMax } = judgement
      all.push({ detector, severity, atMs: timeMs, expectedMin, expectedMax })
      if (severity >= 1) told.push(all.at(-1)!)
      learn(state, timeMs, value, { ...plainTraits, ...traits }, judgement)
    }
  }
  return {
    state,
    told,
    all,
    judgement,
    feed,
    pause: (lengthMs: number) => (timeMs += lengthMs),
    detectors: () => new Set(told.map(({ detector }) => detector)),
  }
}

/** A day's wave with noise, one value a minute. */
function* days(count: number, { noise = 0.05, level = 20, swing = 3, fromDay = 0, seed = 'days' } = {}): Generator<number> {
  const random = randomOf(`${seed}/${fromDay}`)
  for (let minute = fromDay * 1440; minute < (fromDay + count) * 1440; minute++)
    yield level + swing * Math.sin((2 * Math.PI * minute) / 1440) + noise * random.normal()
}

describe('a healthy series', () => {
  test('with the wave of a day is never abnormal, from its first reading to its tenth day', () => {
    const { told, feed } = series()
    feed(days(10))
    expect(told).toEqual([])
  })

  test('whatever its level and scale are', () => {
    fc.assert(
      fc.property(fc.double({ min: -1e6, max: 1e6, noNaN: true }), fc.integer({ min: -3, max: 4 }), (level, power) => {
        const { told, feed } = series()
        const scale = 10 ** power
        feed([...days(2, { seed: 'scale' })].map((value) => level + scale * (value - 20)))
        expect(told).toEqual([])
      }),
      { numRuns: 20 },
    )
  })

  test('states what it has not seen enough of', () => {
    const { state, feed } = series()
    expect(stillLearning(state)).toContain('rolling')
    feed(days(1 / 12))
    // Two hours are 120 readings here: enough for what looks back on one, and not on twenty or two hundred.
    expect(stillLearning(state)).toEqual(['stuck', 'high-pass', 'step', 'level', 'season', 'drift'])
    feed(days(0.93, { fromDay: 1 / 12 }))
    expect(stillLearning(state)).toEqual(['season', 'drift'])
    feed(days(7, { fromDay: 1 }))
    expect(stillLearning(state)).toEqual([])
  })
})

describe('what each detector sees', () => {
  test.each([
    ['always goes about as far', 0.7, 20],
    ['went farther once', 1, 26],
  ])('a value outside everything the series has done, of one that jumps about within it and %s', (_, share, once) => {
    const { told, feed } = series()
    const random = randomOf('jumps about')
    feed(Array.from({ length: 4 * 1440 }, (_minute, minute) => (minute === 2 * 1440 ? once : 17 + 6 * random.next())))
    expect(told).toEqual([])
    // From the middle: the change is not the largest, nor is the distance from what was lately.
    feed([20, 27.5])
    expect(told).toMatchObject([{ detector: 'level', expectedMax: expect.closeTo(23 + share * 0.625 * 6, 1) }])
  })

  test('a value that is usual, but not at this time of day', () => {
    const { detectors, feed } = series()
    feed(days(5))
    // At its warmest a value like those of the night, reached slowly: no jump, no step.
    const afternoon = [...days(1, { fromDay: 5 })]
    feed(afternoon.map((value, minute) => value - 5 * Math.min(1, minute / 60)))
    expect(detectors()).toContain('season')
  })

  test('a jump from one reading to the next, inside the range', () => {
    const { told, feed } = series()
    const wave = (minute: number) => 20 + 10 * Math.sin(minute / 6)
    feed(Array.from({ length: 3 * 1440 }, (_, minute) => wave(minute)))
    expect(told).toEqual([])
    // Half a turn at once: all values as usual, and their averages.
    feed(Array.from({ length: 3 }, (_, minute) => wave(3 * 1440 + 4 + 19 + minute)))
    expect(told).toMatchObject([{ detector: 'jump' }])
  })

  test('a change over minutes that is slow for one reading and fast for the series', () => {
    const { detectors, feed } = series()
    feed(days(3, { noise: 0.02 }))
    feed(Array.from({ length: 90 }, (_, minute) => 20 + minute * 0.06))
    expect([...detectors()].some((detector) => detector === 'step' || detector === 'high-pass')).toBe(true)
  })

  test('a drift so slow that every other past adapts to it', () => {
    const { told, feed } = series()
    feed(days(8))
    for (let day = 8; day < 60; day++) feed([...days(1, { fromDay: day })].map((value, minute) => value + 0.25 * (day - 8 + minute / 1440)))
    expect(told.length).toBeGreaterThan(0)
    expect(new Set(told.map(({ detector }) => detector))).toEqual(new Set(['drift']))
  })

  test('a value that no longer changes', () => {
    const { told, feed } = series()
    feed(days(1))
    feed(Array.from({ length: settings.stuckReadings + 5 }, () => 20))
    expect(told[0]).toMatchObject({ detector: 'stuck' })
  })

  test('a series that repeats itself by nature is not stuck', () => {
    const { told, feed } = series()
    const random = randomOf('repeats')
    feed(Array.from({ length: 3000 }, () => (random.next() < 0.5 ? 20 : 21)))
    feed(Array.from({ length: settings.stuckReadings }, () => 20))
    expect(told).toEqual([])
  })

  test('a change faster than the signal can', () => {
    const { told, feed } = series({ ratePerSMax: 0.5 })
    feed([20, 20.1, 20.2, 55], 1000)
    expect(told).toMatchObject([{ detector: 'rate', expectedMin: expect.closeTo(19.7), expectedMax: expect.closeTo(20.7) }])
  })

  test('two readings almost at once are no fast change', () => {
    const { told, feed } = series({ ratePerSMax: 0.5 })
    feed([20, 20.1, 20.2], 1000)
    feed([20.4], 1)
    expect(told).toEqual([])
  })

  test('the expected range is where the verdict turns', () => {
    const { state, feed, judgement } = series()
    feed(days(3))
    const timeMs = startMs + 3 * dayMs + 60_000
    let [normal, abnormal] = [20, 40]
    while (abnormal - normal > 1e-9) {
      const value = (normal + abnormal) / 2
      judge(state, timeMs, value, plainTraits, judgement)
      if (judgement.severity < 1) normal = value
      else abnormal = value
    }
    judge(state, timeMs, abnormal, plainTraits, judgement)
    expect(judgement.expectedMax).toBeCloseTo(abnormal, 5)
  })
})

describe('time', () => {
  test('late readings and duplicates of the past say nothing', () => {
    const { state, feed, judgement } = series()
    feed(days(1))
    const before = seriesBytes(state).slice()
    judge(state, startMs + dayMs - 120_000, 99, plainTraits, judgement)
    expect(judgement).toMatchObject({ kind: 'late', severity: 0 })
    learn(state, startMs + dayMs - 120_000, 99, plainTraits, judgement)
    expect(seriesBytes(state)).toEqual(before)
  })

  test('no jump is seen across a gap', () => {
    const { all, feed, pause } = series()
    feed(days(2))
    pause(6 * 3_600_000)
    feed([22])
    expect(all.at(-1)!.detector).not.toBe('jump')
  })

  test('irregular sampling is no anomaly', () => {
    const { told, feed } = series()
    const random = randomOf('irregular')
    let minute = 0
    for (const value of days(3)) {
      minute++
      if (random.next() < 0.6) continue
      feed([value], minute * 60_000)
      minute = 0
    }
    expect(told).toEqual([])
  })

  test('silence is measured by the usual pauses of the series', () => {
    const { state, feed } = series()
    feed(days(0.1))
    const lastMs = startMs + 144 * 60_000
    expect(silentForMs(state, lastMs + 10 * 60_000)).toBeUndefined()
    expect(silentForMs(state, lastMs + 21 * 60_000)).toBe(21 * 60_000)
  })
})

describe('the state', () => {
  test('takes less than 1 KB, and goes on from its bytes bit for bit', () => {
    expect(seriesStateBytes).toBeLessThan(1024)
    const one = series()
    one.feed(days(1.5))
    const other = series({}, seriesStateFrom(seriesBytes(one.state)))
    other.pause(1.5 * dayMs)
    one.feed(days(1, { fromDay: 2 }))
    other.feed(days(1, { fromDay: 2 }))
    expect(seriesBytes(other.state)).toEqual(seriesBytes(one.state))
    expect(() => seriesStateFrom(new Uint8Array(8))).toThrow(RangeError)
  })
})
