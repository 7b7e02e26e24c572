/** What a machine does by nature has a first time: it may be news once or twice, and not all day. */
import { describe, expect, test } from 'vitest'
import { shapes } from '../../bench/detection/signal-shapes.ts'
import { randomOf } from '../../device-sim/random.ts'
import type { Random } from '../../device-sim/random.ts'
import { eventsOfMachine } from '../support/watched-machine.ts'
import { alertsOf } from '../support/watched-signal.ts'

const dayS = 86_400

type Signal = (second: number) => number

/** Seconds at which a reading is an alert. */
const secondsOf = (...of: Parameters<typeof alertsOf>) => alertsOf(...of).map(({ second }) => second)

/** On and off for a hundred readings or so, as a compressor or a heater. */
function switching(random: Random): Signal {
  let isOn = false
  let left = 0
  return () => {
    if (left-- <= 0) {
      isOn = !isOn
      left = 60 + Math.floor(120 * random.next())
    }
    return (isOn ? 12 : 2) + 0.1 * random.normal()
  }
}

/** Work from about six to about ten at night, never to the minute. */
function shifts(random: Random, faultAt?: (second: number) => number | undefined): Signal {
  let day = -1
  let [fromS, toS] = [0, 0]
  return (second) => {
    if (Math.floor(second / dayS) !== day) {
      day = Math.floor(second / dayS)
      fromS = 6 * 3600 + 600 * random.normal()
      toS = 22 * 3600 + 600 * random.normal()
    }
    const ofDay = second % dayS
    const usual = (ofDay > fromS && ofDay < toS ? 40 : 10) + random.normal()
    return faultAt?.(second) ?? usual
  }
}

describe('what is usual for a machine', () => {
  test.each([
    ['compressor-001', 'compressor', 'q4'],
    ['compressor-003', 'compressor', 'millwright'],
    ['motor-002', 'motor', 'q9'],
  ] as const)('%s (a %s, seed %s), switched on for the first time, goes through its loads and is no news', (deviceId, kind, seed) => {
    expect(eventsOfMachine({ deviceId, kind }, { seed, seconds: 2 * 3600 })).toEqual([])
  })

  test.each([1, 10, 60])('a machine that switches, read every %s s, is news three times at most in three days', (everyS) => {
    expect(secondsOf(switching(randomOf('switching')), everyS, 3).length).toBeLessThanOrEqual(3)
  })

  test.each([10, 60, 300])('shifts that begin and end about the same time, read every %s s, are news on the first day only', (everyS) => {
    const alerts = secondsOf(shifts(randomOf('shifts')), everyS, 5)
    expect(alerts.filter((second) => second >= dayS)).toEqual([])
    expect(alerts.length).toBeLessThanOrEqual(3)
  })

  test.each(['b', 'c'])('shifts read every second are soon no news, either (seed %s)', (seed) => {
    const alerts = secondsOf(shifts(randomOf(seed)), 1, 3)
    expect(alerts.filter((second) => second >= dayS).length).toBeLessThanOrEqual(2)
  })

  test('a shift that begins when it never did is news', () => {
    const random = randomOf('at night')
    const at = 3 * dayS + 2 * 3600
    const signal = shifts(randomOf('shifts'), (second) => (second >= at && second < at + 3600 ? 40 + random.normal() : undefined))
    const first = secondsOf(signal, 60, 3.5).find((second) => second >= dayS)
    expect(first).toBeGreaterThanOrEqual(at)
    expect(first).toBeLessThan(at + 120)
  })

  test.each([
    [20, 300],
    [40, 600],
  ])('what happened once, %s wide and %s s long, is news the second time, whenever it began', (height, lengthS) => {
    const again = (beganS: number) => beganS + 5_000
    const isTold = (beganS: number) => {
      const random = randomOf('twice')
      const during = (second: number, fromS: number) =>
        second >= fromS && second < fromS + lengthS ? Math.min(1, (second - fromS) / 60) : 0
      const signal = (second: number) =>
        10 + 2 * Math.sin(second / 900) + 0.3 * random.normal() + height * (during(second, beganS) + during(second, again(beganS)))
      return secondsOf(signal, 1, (again(beganS) + lengthS) / dayS).some((second) => second >= again(beganS))
    }
    const begins = Array.from({ length: 9 }, (_, index) => 6 * 3600 + 100 * index)
    expect(begins.filter((beganS) => !isTold(beganS))).toEqual([])
  })

  test('outliers that a series makes by nature are soon known', () => {
    const random = randomOf('outliers')
    expect(secondsOf(() => 10 + random.normal() * (random.next() < 0.02 ? 4 : 0.5), 1, 2).length).toBeLessThanOrEqual(3)
  })

  test('whole degrees that stand still for an hour at noon are not stuck', () => {
    const random = randomOf('degrees')
    const degrees: Signal = (second) => Math.round(22 + 2 * Math.sin((2 * Math.PI * second) / dayS) + 0.1 * random.normal())
    expect(secondsOf(degrees, 1, 2).length).toBeLessThanOrEqual(2)
  })

  test.each([10, 60])('a door that is shut all night, read every %s s, is not stuck', (everyS) => {
    const random = randomOf('door')
    let openS = 0
    const door: Signal = (second) => {
      openS -= everyS
      const hour = (second / 3600) % 24
      const isWork = hour > 7 && hour < 19
      if (openS <= 0 && isWork && random.next() < everyS / 1200) openS = 30 + 120 * random.next()
      return openS > 0 ? 1 : 0
    }
    const alerts = secondsOf(door, everyS, 10)
    expect(alerts.filter((second) => second >= dayS)).toEqual([])
  })

  test('what stands for four minutes of every twelve, each time elsewhere, is news twice', () => {
    const random = randomOf('stops')
    let at = 50
    const alerts = secondsOf((second) => (at += second % 720 < 480 ? 0.001 * random.normal() : 0), 1, 0.5)
    expect(alerts.length).toBeGreaterThan(0)
    expect(alerts.length).toBeLessThanOrEqual(2)
  })

  test('a value that is reached and kept for hours, such as a hundred percent, is not stuck', () => {
    const humid = (machine: number) =>
      secondsOf(shapes['humidity, saturated']!(randomOf(`scoreboard humidity, saturated 1 ${machine}`), 1), 1, 3)
    const later = [0, 1].flatMap((machine) => humid(machine).filter((second) => second >= dayS))
    expect(later.length).toBeLessThanOrEqual(2)
  })

  test('one hundredth that comes now and then is nothing', () => {
    const random = randomOf('hundredth')
    const alerts = secondsOf(() => (random.next() < 0.002 ? 5.01 : 5), 60, 10)
    expect(alerts.filter((second) => second >= 2 * dayS)).toEqual([])
  })
})

describe('one thing is told once', () => {
  test.each(['a', 'b', 'c', 'd', 'e'])('a level that stays is one alert, however severe its readings (seed %s)', (seed) => {
    const random = randomOf(`stays ${seed}`)
    const alerts = secondsOf((second) => (second < 2 * dayS ? 20 : 30 + 40 * random.next()) + random.normal(), 60, 3)
    expect(alerts.filter((second) => second >= 2 * dayS)).toHaveLength(1)
  })
})
