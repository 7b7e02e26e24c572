import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { beginAftermath, beginIncident, courseOf } from '../../detection/aftermath.ts'
import { standardConfiguration } from '../../detection/configuration.ts'
import { beginCooldown, isCoolingDown, newCooldown, suppress } from '../../detection/cooldown.ts'
import { newJudgement } from '../../detection/judgement.ts'
import { scoreSeries } from '../../detection/score-series.ts'
import { slot } from '../../detection/series-state.ts'
import { settings } from '../../detection/settings.ts'
import { addSignal, newDeviceWatch } from '../../detection/watch-state.ts'
import { randomOf } from '../../device-sim/random.ts'
import { watchedPump } from './watched-pump.ts'

const onsetS = 20_000
const endS = 20_400
const anHourS = 3600

const seeds = ['a', 'b', 'c']

describe('when a fault ends', () => {
  for (const fault of [
    { deviceId: 'pump-1', kind: 'imbalance', onsetS, rampS: 1, endS },
    { deviceId: 'pump-1', kind: 'drift', signal: 'dischargePressureBar', onsetS, rampS: 300, endS },
    // The pressure has gone on meanwhile: what was expected of it at the onset is not what it is at the end.
    { deviceId: 'pump-1', kind: 'unit-slip', signal: 'dischargePressureBar', onsetS, rampS: 1, endS },
  ])
    test.each(seeds)(`its alert does, and nothing more is told: ${fault.kind} of ${fault.signal ?? 'the pump'}, seed %s`, (seed) => {
      const { told } = watchedPump([fault], endS + anHourS, seed)
      expect(told.map(({ kind }) => kind)).toEqual(['raised', 'returned'])
      expect(told[1]!.second).toBeGreaterThan(endS)
      expect(told[1]!.second).toBeLessThan(endS + 120)
    })

  test('what has grown warm meanwhile cools down for half an hour, and that is no news', () => {
    const wear = { deviceId: 'pump-1', kind: 'bearing-wear', onsetS, rampS: 1, endS }
    for (const seed of seeds) {
      const { told } = watchedPump([wear], endS + anHourS, seed)
      expect(told.filter(({ kind, second }) => kind === 'raised' && second > endS)).toEqual([])
    }
  })

  test('another that begins soon after it is told', () => {
    const imbalance = { deviceId: 'pump-1', kind: 'imbalance', onsetS, rampS: 1, endS }
    const shift = { deviceId: 'pump-1', kind: 'level-shift', onsetS: endS + 60, rampS: 1, endS: endS + 300 }
    for (const signal of ['flowM3PerH', 'dischargePressureBar', 'motorCurrentA', 'bearingTemperatureC']) {
      const { told } = watchedPump([imbalance, { ...shift, signal }], shift.endS)
      expect(told).toContainEqual({ second: expect.closeTo(shift.onsetS, -1), kind: 'raised', signal })
    }
  })
})

describe('an episode', () => {
  test('is adopted after so many readings, whatever the signals together say of them too', () => {
    const shift = { deviceId: 'pump-1', kind: 'level-shift', signal: 'dischargePressureBar', onsetS, rampS: 1, endS: onsetS + 2500 }
    const { events } = watchedPump([shift], shift.endS)
    expect(events).toMatchObject([{ kind: 'raised' }, { kind: 'returned', why: 'adopted-as-normal' }])
    expect((events[1]!.atMs - events[0]!.atMs) / 1000).toBe(settings.adoptReadings)
  })

  test('of another signal does not keep a limit from being told, whatever the signals together say of it too', () => {
    const { events } = watchedPump([{ deviceId: 'pump-1', kind: 'bearing-wear', onsetS: 3600, rampS: 600, endS: 5400 }], 5000, 'backtest')
    expect(events.filter(({ kind }) => kind === 'raised')).toMatchObject([
      { signal: 'vibrationMmPerS' },
      { signal: 'bearingTemperatureC', condition: 'high-high', evidence: { detector: 'hard-limit', expectedMax: 90 } },
    ])
  })
})

describe('the course of a signal after an incident', () => {
  /** A signal that was at a level, and has changed to a value in one reading. */
  function course(level: number, before: number, value: number) {
    const watch = newDeviceWatch('pump-1')
    const signal = addSignal(watch, 'flowM3PerH')
    signal.origin = { level, untilCount: 1 }
    return courseOf(signal, value, { ...newJudgement(), detector: 'jump', jump: value - before })
  }

  test('leads back, or away, or past where it was', () => {
    expect(course(50, 80, 60)).toBe('returning')
    expect(course(50, 80, 53)).toBe('back')
    expect(course(50, 80, 47)).toBe('back')
    expect(course(50, 80, 30)).toBe('away')
    expect(course(50, 50, 60)).toBe('away')
    expect(course(50, 60, 80)).toBe('away')
  })

  test('is the same in a mirror, and away when it comes no closer', () => {
    const value = fc.double({ min: -1e6, max: 1e6, noNaN: true })
    fc.assert(
      fc.property(value, value, value, (level, before, now) => {
        const seen = course(level, before, now)
        expect(course(-level, -before, -now)).toBe(seen)
        if (Math.abs(now - level) > Math.abs(before - level)) expect(seen).toBe('away')
      }),
    )
  })

  test('is known while an incident lasts, however soon after another, and for a while after it', () => {
    const watch = newDeviceWatch('pump-1')
    const signal = addSignal(watch, 'flowM3PerH')
    const { numbers } = signal.state
    const courseAt = (count: number) => {
      numbers[slot.count] = count
      return courseOf(signal, 51, { ...newJudgement(), detector: 'jump', jump: -30 })
    }
    numbers[slot.count] = 500
    numbers[slot.slow] = 50
    beginIncident(watch, 0)
    beginAftermath(watch)
    expect(courseAt(500 + settings.adoptReadings - 1)).toBe('back')
    numbers[slot.slow] = 80
    beginIncident(watch, 0)
    expect(courseAt(90_000)).toBe('back')
    beginAftermath(watch)
    expect(courseAt(90_000 + settings.adoptReadings - 1)).toBe('back')
    expect(courseAt(90_000 + settings.adoptReadings)).toBe('away')
  })

  test('is not known of one that nothing happened to', () => {
    const signal = addSignal(newDeviceWatch('pump-1'), 'flowM3PerH')
    expect(courseOf(signal, 5, { ...newJudgement(), detector: 'jump', jump: 1 })).toBe('away')
  })
})

describe('what moved along', () => {
  const { cooldownReadings } = standardConfiguration
  /** Readings until one of these severities is told. */
  function toldAfter(severities: readonly number[]): number {
    const cooldown = newCooldown()
    beginCooldown(cooldown, 1.01 * severities[0]!, cooldownReadings, true)
    return severities.findIndex((severity) => {
      const isCool = isCoolingDown(cooldown, { severity, limit: undefined })
      if (isCool) suppress(cooldown, severity, 1, cooldownReadings)
      return !isCool
    })
  }

  test('is not told while it fades', () => {
    const fading = Array.from({ length: 10 * cooldownReadings }, (_, reading) => 1 + 20 * Math.exp(-reading / 300))
    expect(toldAfter(fading)).toBe(-1)
  })

  test('is told after a while when it stays, and at once when it is much worse', () => {
    expect(toldAfter(Array.from({ length: 1000 }, () => 5))).toBe(2 * cooldownReadings)
    expect(toldAfter([5, 5, 5, 11])).toBe(3)
  })
})

describe('a series by itself', () => {
  const faultFrom = 5_000
  const faultTo = 5_300
  /** The readings that are told, of noise around 50 with a fault in it. */
  function toldOf(seed: number, fault: (usual: number, last: number) => number): number[] {
    const random = randomOf(`aftermath ${seed}`)
    const score = scoreSeries()
    const told: number[] = []
    let last = 50
    for (let reading = 0; reading < faultTo + 15; reading++) {
      const usual = 50 + random.normal()
      const isFaulty = reading >= faultFrom && reading < faultTo
      const value = isFaulty ? fault(usual, last) : usual
      if (!isFaulty) last = value
      if (score(reading * 10_000, value).score >= 0.5) told.push(reading)
    }
    return told
  }

  const faults = {
    shift: (usual: number) => usual + 30,
    'wrong unit': (usual: number) => 10 * usual,
    stuck: (_: number, last: number) => last,
  }
  test.each(Object.entries(faults))('tells of a fault that begins, and not that it ends: %s', (_, fault) => {
    for (let seed = 0; seed < 20; seed++) {
      const told = toldOf(seed, fault)
      expect(told, `seed ${seed}`).toHaveLength(1)
      expect(told[0]! - faultFrom).toBeLessThan(60)
    }
  })
})
