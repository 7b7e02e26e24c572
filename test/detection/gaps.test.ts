/** Pauses, and how slowly a series may be read: what was recent before a long gap is not recent after it. */
import { describe, expect, test } from 'vitest'
import { judge } from '../../detection/judge-series.ts'
import { newJudgement } from '../../detection/judgement.ts'
import { learn } from '../../detection/learn-series.ts'
import { plainTraits } from '../../detection/plain-traits.ts'
import { stillLearning } from '../../detection/series-knowledge.ts'
import { newSeriesState } from '../../detection/series-state.ts'
import { mixedMachines } from '../../device-sim/plant.ts'
import { randomOf } from '../../device-sim/random.ts'
import { eventsOfMachine } from '../support/watched-machine.ts'

const startMs = Date.UTC(2026, 0, 5)

/** Whether each reading was behind a gap, of readings so many seconds apart. */
function gapsOf(intervalsS: readonly number[]): boolean[] {
  const random = randomOf('gaps')
  const state = newSeriesState()
  const judgement = newJudgement()
  let timeMs = startMs
  return intervalsS.map((seconds) => {
    const value = 20 + random.normal()
    judge(state, (timeMs += seconds * 1000), value, plainTraits, judgement)
    learn(state, timeMs, value, plainTraits, judgement)
    return judgement.isGap
  })
}

const times = (count: number, seconds: number) => Array.from({ length: count }, () => seconds)

describe('a gap', () => {
  test.each([60, 600, 3600, 86_400])('is none between readings that always come every %s s', (seconds) => {
    expect(gapsOf(times(50, seconds))).not.toContain(true)
  })

  test('is longer than five minutes and ten intervals', () => {
    const after = (seconds: number, everyS: number) => gapsOf([...times(50, everyS), seconds]).at(-1)
    expect([after(299, 1), after(301, 1), after(590, 60), after(610, 60), after(35_000, 3600), after(37_000, 3600)]).toEqual([
      false,
      true,
      false,
      true,
      false,
      true,
    ])
  })

  test('is none any more once a series is read more slowly for good', () => {
    expect(gapsOf([...times(1000, 1), ...times(200, 600)]).slice(-50)).not.toContain(true)
  })

  test('leaves the interval what it was when it is over', () => {
    expect(gapsOf([...times(1000, 1), 7200, ...times(20, 1), 400]).at(-1)).toBe(true)
  })
})

describe('a gap of a series that is read every second', () => {
  test('is a minute, if none came while the slow average was made', () => {
    const after = (seconds: number, ...before: number[]) => gapsOf([...times(300, 1), ...before, seconds]).at(-1)
    expect([after(59), after(61)]).toEqual([false, true])
    expect([after(61, 61, ...times(100, 1)), after(61, 61, ...times(250, 1))]).toEqual([false, true])
  })

  test('is none below half a minute, however often it is read', () => {
    const after = (seconds: number) => gapsOf([...times(300, 0.1), seconds]).at(-1)
    expect([after(29), after(31)]).toEqual([false, true])
  })

  test('is none in bursts', () => {
    const bursts = Array.from({ length: 100 }, () => [240, ...times(59, 1)]).flat()
    expect(gapsOf(bursts).filter(Boolean).length).toBeLessThan(30)
  })
})

describe('a machine whose cloud sleeps for some minutes every half hour', () => {
  test.each(mixedMachines(8))('$deviceId goes on elsewhere, and that is no news', (machine) => {
    const isAway = (second: number) => second % 1800 >= 300 && second % 1800 < 570
    expect(eventsOfMachine(machine, { seed: 'millwright', seconds: 2 * 3600, isAway })).toEqual([])
  })
})

describe('a machine that was seen for twenty minutes, and again the next day', () => {
  test.each(mixedMachines(8))('$deviceId is elsewhere in its day, and that is no news', (machine) => {
    const isAway = (second: number) => second >= 1200 && second < 15 * 3600
    expect(eventsOfMachine(machine, { seed: 'millwright', seconds: 17 * 3600, isAway })).toEqual([])
  })

  test.each(['pump', 'oven'] as const)('or for four hours: a %s learns again what its signals let expect of each other', (kind) => {
    const isAway = (second: number) => second >= 4 * 3600 && second < 18 * 3600
    expect(eventsOfMachine({ deviceId: `${kind}-001`, kind }, { seed: 'millwright', seconds: 20 * 3600, isAway })).toEqual([])
  })
})

describe('how long a series is known', () => {
  const learningAfter = (intervalsS: readonly number[]) => {
    const state = newSeriesState()
    const judgement = newJudgement()
    const random = randomOf('known')
    let timeMs = startMs
    for (const seconds of intervalsS) {
      const value = 20 + random.normal()
      judge(state, (timeMs += seconds * 1000), value, plainTraits, judgement)
      learn(state, timeMs, value, plainTraits, judgement)
    }
    return stillLearning(state)
  }
  const shift = [16 * 3600, ...times(8 * 60 - 1, 60)]

  test('a day is not known that nobody saw', () => {
    expect(learningAfter([...times(20, 60), 30 * 3600, ...times(200, 60)])).toContain('level')
    expect(learningAfter(times(30 * 60, 60))).not.toContain('level')
  })

  test('what works in shifts is known after days, as what works day and night is', () => {
    expect(learningAfter([...shift, ...shift])).toContain('level')
    expect(learningAfter([...shift, ...shift, ...shift])).not.toContain('level')
    expect(learningAfter(Array.from({ length: 4 }, () => shift).flat())).not.toContain('season')
  })
})

describe('a machine that is away for half an hour again and again', () => {
  test.each(['pump', 'compressor', 'tank'] as const)('a %s comes back elsewhere in its day, and that is no news', (kind) => {
    const isAway = (second: number) => second % 6000 < 1800
    const events = eventsOfMachine({ deviceId: `${kind}-001`, kind }, { seed: 'millwright', seconds: 20 * 3600, isAway })
    expect(events).toEqual([])
  })
})
