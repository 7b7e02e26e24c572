import { describe, expect, test } from 'vitest'
import { ByteReader, ByteWriter } from '../../contract/telemetry/varint.ts'
import { watchReading } from '../../detection/device-watch.ts'
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

  test('that stays elsewhere for more than a week is the usual one: going back is news', () => {
    const { raisedAt, watch } = watched({ isAway: (hour) => hour >= 48 && hour < 300, hours: 301 })
    expect(raisedAt).toEqual([48, 300])
    expect(watched({ isAway: (hour) => hour >= 48, hours: 300 }).watch.signals.get('level')!.known).toBeUndefined()
    expect(watch.signals.get('level')!.known).toBeDefined()
  })
})
