import { describe, expect, test } from 'vitest'
import { faults, shapes } from '../../bench/detection/signal-shapes.ts'
import { ByteReader, ByteWriter } from '../../contract/telemetry/varint.ts'
import { watchReading } from '../../detection/device-watch.ts'
import { scoreSeries, scoreSignals } from '../../detection/score-series.ts'
import { readWatch, writeWatch } from '../../detection/watch-bytes.ts'
import { newDeviceWatch } from '../../detection/watch-state.ts'
import { randomOf } from '../../device-sim/random.ts'
import { eventsOfMachine } from '../support/watched-machine.ts'

const [hourS, dayS] = [3600, 86_400]
const startMs = Date.UTC(2026, 0, 5)

describe('a fault that lasted for half a day, and comes back a week after it was mended', () => {
  test.each([
    ['pump', 'imbalance'],
    ['compressor', 'valve-leak'],
    ['oven', 'overheating'],
    ['vehicle', 'cooling-failure'],
  ] as const)('%s: %s is told as early as the first time', (kind, fault) => {
    const deviceId = `${kind}-1`
    const onsets = [3 * dayS, 10 * dayS]
    const faults = onsets.map((onsetS) => ({ deviceId, kind: fault, onsetS, rampS: 6 * hourS, endS: onsetS + 12 * hourS }))
    const events = eventsOfMachine({ kind, deviceId }, { seed: fault, seconds: 10.25 * dayS, everyS: 10, faults })
    const [first, again] = onsets.map((onsetS) => {
      const told = events.find((event) => event.kind === 'raised' && event.atMs >= startMs + 1000 * onsetS)
      return told && (told.atMs - startMs) / 1000 - onsetS
    })
    expect(first).toBeLessThan(hourS)
    expect(again).toBeLessThan(1.5 * first! + 600)
  })
})

/** A level with noise, a reading every ten seconds, which stands elsewhere from one hour to another. */
function watched({ isAway, hours, isRestored = false }: { isAway: (hour: number) => boolean; hours: number; isRestored?: boolean }) {
  const random = randomOf('recovery')
  let watch = newDeviceWatch('machine-1')
  const raisedAt: number[] = []
  for (let seq = 1; seq <= hours * 360; seq++) {
    const [hour, timeMs] = [seq / 360, startMs + seq * 10_000]
    const value = (isAway(hour) ? 80 : 50) + random.normal()
    const events = watchReading(watch, { signal: 'level', bootId: 'b', seq, timeMs, value }, undefined, timeMs)
    if (events.some(({ kind }) => kind === 'raised')) raisedAt.push(Math.floor(hour))
    if (isRestored && seq % 97 === 0) {
      const writer = new ByteWriter()
      writeWatch(writer, watch)
      watch = readWatch(new ByteReader(writer.finish()), 'machine-1')
    }
  }
  return { raisedAt, watch }
}

describe('a level', () => {
  const isTwiceAway = (hour: number) => (hour >= 48 && hour < 60) || (hour >= 120 && hour < 132)

  test('that was elsewhere for half a day is news when it is there again, and its ways back are none', () => {
    expect(watched({ isAway: isTwiceAway, hours: 144 }).raisedAt).toEqual([48, 120])
  })

  test('is known as well after it was kept as bytes in between', () => {
    expect(watched({ isAway: isTwiceAway, hours: 144, isRestored: true })).toEqual(watched({ isAway: isTwiceAway, hours: 144 }))
  })

  test('that stays elsewhere for more than a fortnight is the usual one: going back is news', () => {
    const { raisedAt, watch } = watched({ isAway: (hour) => hour >= 48 && hour < 400, hours: 401 })
    expect(raisedAt).toEqual([48, 400])
    expect(watched({ isAway: (hour) => hour >= 48, hours: 400 }).watch.signals.get('level')!.known).toBeUndefined()
    expect(watch.signals.get('level')!.known).toBeDefined()
  })
})

type Scorer = (timeMs: number, value: number) => boolean

/** Who looks at one signal: `millwright detect`, alone and in a file with another column, and the hot path. */
const scorers: Readonly<Record<string, () => Scorer>> = {
  'as a series': () => {
    const score = scoreSeries()
    return (timeMs, value) => score(timeMs, value).score >= 0.5
  },
  'beside another signal': () => {
    const score = scoreSignals(2)
    const random = randomOf('another')
    return (timeMs, value) => score(timeMs, [value, 7 + random.normal()]).some((scored) => scored.score >= 0.5)
  },
  'in the hot path': () => {
    const watch = newDeviceWatch('machine-1')
    let seq = 0
    return (timeMs, value) =>
      watchReading(watch, { signal: 'level', bootId: 'b', seq: ++seq, timeMs, value }, undefined, timeMs).some(
        ({ kind }) => kind === 'raised',
      )
  },
}

describe.each(Object.keys(scorers))('a fault that comes back, seen %s', (how) => {
  test.each([
    ['spike', 'daily wave', 7],
    ['shift up', 'daily wave', 7],
    ['noise burst', 'daily wave', 7],
    ['noise burst', 'noise', 0.3],
    ['wrong unit', 'daily wave', 7],
  ])('is told each time: %s of %s', (kind, shape, spread) => {
    const isTold = scorers[how]!()
    const signal = shapes[shape]!(randomOf(`comes back ${kind}`), 60)
    const random = randomOf(kind)
    const [healthy, lasts, between] = [4320, 600, 3000]
    const told = Array.from({ length: 5 }, () => 0)
    let falseAlerts = 0
    for (let reading = 0; reading < healthy + told.length * (lasts + between); reading++) {
      const [which, index] = [Math.floor((reading - healthy) / (lasts + between)), (reading - healthy) % (lasts + between)]
      const isFaulty = which >= 0 && index < lasts
      const value = signal(reading * 60)!
      const seen = isFaulty ? faults[kind]!(value, index, { spread, last: 0, random }) : value
      if (!isTold(startMs + reading * 60_000, seen)) continue
      if (isFaulty) told[which]!++
      else if (which >= 0) falseAlerts++
    }
    expect(told).not.toContain(0)
    expect(falseAlerts).toBeLessThanOrEqual(1)
  })

  test.each([10, 60])('the weekends of a machine are known after three weeks, read every %s s', (everyS) => {
    const isTold = scorers[how]!()
    const signal = shapes['working week']!(randomOf('weekends'), everyS)
    const days: number[] = []
    for (let second = 0; second < 42 * dayS; second += everyS)
      if (isTold(startMs + second * 1000, signal(second)!)) days.push(Math.floor(second / dayS))
    expect(days.filter((day) => day >= 21)).toEqual([])
  })
})

describe('a signal that no longer follows another, far inside its own range, four times', () => {
  const [healthy, lasts, between] = [4880, 2400, 6000]
  function toldEachTime(look: (timeMs: number, values: readonly [number, number]) => boolean): boolean[] {
    const random = randomOf('follows')
    const told = Array.from({ length: 4 }, () => false)
    for (let reading = 0; reading < healthy + told.length * (lasts + between); reading++) {
      const [which, index] = [Math.floor((reading - healthy) / (lasts + between)), (reading - healthy) % (lasts + between)]
      const load = Math.sin(reading / 50) + 0.3 * Math.sin(reading / 9.1)
      const offset = which < 0 ? 0 : 4 * Math.max(0, Math.min(1, index / 200, (lasts - index) / 200))
      const isTold = look(startMs + reading * 60_000, [
        10 + 4 * load + 0.05 * random.normal(),
        50 + 9 * load + 0.05 * random.normal() + offset,
      ])
      if (isTold && offset > 0) told[which] = true
    }
    return told
  }

  test('is told each time in a file', () => {
    const score = scoreSignals(2)
    const told = toldEachTime((timeMs, values) => score(timeMs, values).some((scored) => scored.score >= 0.5))
    expect(told).toEqual([true, true, true, true])
  })

  test('is told each time in the hot path', () => {
    const watch = newDeviceWatch('machine-1')
    const told = toldEachTime((timeMs, values) =>
      ['load', 'follows'].some((signal, index) => {
        const reading = { signal, bootId: 'b', seq: timeMs / 60_000, timeMs, value: values[index]! }
        return watchReading(watch, reading, undefined, timeMs).some(({ kind }) => kind === 'raised')
      }),
    )
    expect(told).toEqual([true, true, true, true])
  })
})

test.each([1, 10, 60])('a level that moves within half an hour, and stays, is told once or twice, read every %s s', (everyS) => {
  const isTold = scorers['in the hot path']!()
  const random = randomOf('stays')
  let alerts = 0
  for (let second = 0; second < 4 * dayS; second += everyS)
    if (isTold(startMs + second * 1000, 20 + random.normal() + 16 * Math.max(0, Math.min(1, (second - 3 * dayS) / 1080)))) alerts++
  expect(alerts).toBeGreaterThan(0)
  expect(alerts).toBeLessThanOrEqual(2)
})

test.each([1, 10])('a sensor that is stuck for two days is told once, read every %s s', (everyS) => {
  const isTold = scorers['in the hot path']!()
  const random = randomOf('stuck')
  let alerts = 0
  for (let second = 0; second < 4 * dayS; second += everyS)
    if (isTold(startMs + second * 1000, second < 2 * dayS ? 20 + random.normal() : 21)) alerts++
  expect(alerts).toBe(1)
})
