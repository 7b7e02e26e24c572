import { describe, expect, test } from 'vitest'
import { standardConfiguration } from '../../detection/configuration.ts'
import { judgeMoment, learnMoment, newMomentJudgement, newRelation, renew } from '../../detection/relation.ts'
import { relationSettings } from '../../detection/settings.ts'
import { randomOf } from '../../device-sim/random.ts'

const noise = 0.05

/** Three signals that follow one load, and a fourth that follows nothing. */
function related({ hasModes = false, everyMs = 1000 } = {}) {
  const random = randomOf('relation')
  const state = newRelation([0.01, 0.01, 0.01, 0.01], hasModes)
  const judgement = newMomentJudgement()
  let second = 0
  const moment = (offsets: readonly number[] = [0, 0, 0, 0], load = Math.sin(++second / 500) + 0.3 * Math.sin(second / 91)) => {
    const values = [10 + 4 * load, 50 - 9 * load, 3 + load, 7].map((value, index) => value + noise * random.normal() + offsets[index]!)
    for (const [index, value] of values.entries()) renew(state, index, value, second * everyMs, 100)
    judgeMoment(state, judgement, standardConfiguration)
    const { worst, severity, expectedMin, expectedMax } = judgement
    learnMoment(state, judgement, false)
    return { worst, severity, expectedMin, expectedMax, values }
  }
  return { state, moment, many: (count: number, offsets?: readonly number[]) => Array.from({ length: count }, () => moment(offsets)) }
}

const warmUp = 6 * 3600

describe('the relation of signals', () => {
  test('is quiet while they move together, however far', () => {
    const { many } = related()
    expect(many(20_000).filter(({ severity }) => severity >= 1)).toEqual([])
  })

  test('is known as well after forty memories as after one', () => {
    const { moment, many } = related({ everyMs: 3_600_000 })
    for (let index = 0; index < 40 * relationSettings.memoryReadings; index++) moment()
    expect(many(20_000).filter(({ severity }) => severity >= 1)).toEqual([])
    expect(many(60, [1.5, 0, 0, 0]).find(({ severity }) => severity >= 1)).toMatchObject({ worst: 0 })
  })

  test('names the one that does not follow, and what the others let expect', () => {
    for (const index of [0, 1, 2]) {
      const { many } = related()
      many(warmUp)
      const offsets = [0, 0, 0, 0].map((_, at) => (at === index ? 1.5 : 0))
      const found = many(60, offsets).find(({ severity }) => severity >= 1)
      expect(found).toMatchObject({ worst: index })
      expect(found!.expectedMax).toBeLessThan(found!.values[index]!)
      expect(found!.expectedMin).toBeGreaterThan(found!.values[index]! - 4)
    }
  })

  test.each([1, 2])('is known well enough after %s h to tell an offset of thirty deviations', (hours) => {
    const { many } = related()
    expect(many(3600 * hours).filter(({ severity }) => severity >= 1)).toEqual([])
    expect(many(60, [1.5, 0, 0, 0]).find(({ severity }) => severity >= 1)).toMatchObject({ worst: 0 })
  })

  test('is not fooled by one that is far from its usual place: the others are not blamed', () => {
    const { many } = related()
    many(warmUp)
    const blamed = new Set(
      many(30, [0, 0, 0, 80])
        .filter(({ severity }) => severity >= 1)
        .map(({ worst }) => worst),
    )
    expect(blamed).toEqual(new Set([3]))
  })

  test('expects less of one signal the farther the others are from their usual place', () => {
    const severityAt = (load: number | undefined) => {
      const { many, moment } = related()
      many(warmUp)
      return moment([1.5, 0, 0, 0], load).severity
    }
    expect(severityAt(undefined)).toBeGreaterThan(3 * severityAt(40))
  })

  test.each([1, 10, 60])('says nothing of a machine with modes before it has gone through them for a day, read every %s s', (everyS) => {
    const unusualAfter = (moments: number) => {
      const { many } = related({ hasModes: true, everyMs: 1000 * everyS })
      many(moments)
      return many(90, [0, 0, 0, 80]).filter(({ severity }) => severity >= 1)
    }
    const aDay = 86_400 / everyS
    expect(unusualAfter(aDay - 100)).toEqual([])
    expect(unusualAfter(aDay + 1)[0]).toMatchObject({ worst: 3 })
  })

  test('takes what stays for normal', () => {
    const { many } = related()
    many(warmUp)
    const moments = many(relationSettings.adoptReadings + 1000, [1.5, 0, 0, 0])
    expect(moments[100]!.severity).toBeGreaterThan(1)
    expect(moments.slice(-500).filter(({ severity }) => severity >= 1)).toEqual([])
  })

  test('stays finite when signals never move', () => {
    const state = newRelation([0, 0], false)
    const judgement = newMomentJudgement()
    for (let second = 0; second < 100_000; second++) {
      renew(state, 0, 5, second * 1000, 100)
      renew(state, 1, 0, second * 1000, 100)
      judgeMoment(state, judgement, standardConfiguration)
      learnMoment(state, judgement, false)
    }
    expect(state.every(Number.isFinite)).toBe(true)
    expect(judgement.severity).toBeLessThan(1)
  })

  test('judges only moments of which every signal has a reading', () => {
    const state = newRelation([0, 0], false)
    expect(renew(state, 0, 1, 1000, 100)).toBe(false)
    expect(renew(state, 1, 1, 2000, 100)).toBe(false)
    expect(renew(state, 0, 1, 2050, 100)).toBe(true)
    expect(renew(state, 1, 1, 500, 100)).toBe(false)
  })

  test('does not mix two moments, however soon the second one comes', () => {
    const state = newRelation([0, 0], false)
    renew(state, 0, 1, 1000, 500)
    expect(renew(state, 1, 1, 1000, 500)).toBe(true)
    expect(renew(state, 0, 9, 1400, 500)).toBe(false)
    expect(renew(state, 1, 9, 1400, 500)).toBe(true)
  })
})
