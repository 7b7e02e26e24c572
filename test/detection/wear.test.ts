import { describe, expect, test } from 'vitest'
import { shapes } from '../../bench/detection/signal-shapes.ts'
import { randomOf } from '../../device-sim/random.ts'
import { eventsOfMachine } from '../support/watched-machine.ts'
import { alertsOf, raisedOf } from '../support/watched-signal.ts'
import type { Signal } from '../support/watched-signal.ts'

const dayS = 86_400
const startMs = Date.UTC(2026, 0, 5)

/** When a fault that takes a day to grow is told first, as the part of it that is there by then. */
function grownWhenTold(kind: 'pump' | 'compressor' | 'vehicle' | 'motor', fault: string, everyS: number, healthyDays: number): number {
  const onsetS = healthyDays * dayS
  const deviceId = `${kind}-1`
  const faults = [{ deviceId, kind: fault, onsetS, rampS: dayS, endS: onsetS + dayS }]
  const events = eventsOfMachine({ kind, deviceId }, { seed: fault, seconds: onsetS + dayS / 4, everyS, faults })
  const first = events.find((event) => event.kind === 'raised')
  return first ? (first.atMs - startMs - 1000 * onsetS) / (1000 * dayS) : Number.POSITIVE_INFINITY
}

describe('wear that takes a day to grow is told before it is a sixth of what it will be', () => {
  test.each([
    ['pump', 'imbalance', 1, 2],
    ['pump', 'cavitation', 1, 2],
    ['motor', 'gear-wear', 10, 3],
    ['compressor', 'loose-mounting', 10, 3],
    ['motor', 'overheating', 10, 3],
    ['vehicle', 'cooling-failure', 10, 3],
    ['pump', 'cavitation', 60, 3],
    ['compressor', 'overheating', 60, 3],
  ] as const)('%s: %s, read every %s s', (kind, fault, everyS, healthyDays) => {
    const grown = grownWhenTold(kind, fault, everyS, healthyDays)
    expect(grown).toBeGreaterThan(0)
    expect(grown).toBeLessThan(1 / 6)
  })
})

describe('a signal alone that creeps away', () => {
  const cases = ['noise', 'daily wave', 'on and off', 'working week', 'batches', 'whole degrees', 'processor load'].flatMap((shape) =>
    [10, 60].flatMap((everyS) =>
      [
        [6, 2],
        [24, 3],
      ].map(([hours, ranges]) => [shape, everyS, ranges!, hours!] as const),
    ),
  )

  test.each(cases)('%s, read every %s s: by %s times its range within %s h is told, before it is there', (shape, everyS, ranges, hours) => {
    const onsetS = 4 * dayS
    const creeping = (): Signal => {
      const signal = shapes[shape]!(randomOf(`creeps ${shape}`), everyS)
      let [low, high] = [Infinity, -Infinity]
      return (second) => {
        const value = signal(second)!
        if (second >= onsetS) return value + (ranges * (high - low) * (second - onsetS)) / hours / 3600
        low = Math.min(low, value)
        high = Math.max(high, value)
        return value
      }
    }
    for (const toldOf of [alertsOf, raisedOf]) {
      const seconds = toldOf(creeping(), everyS, 4 + hours / 24).map(({ second }) => second)
      expect(seconds.filter((second) => second >= dayS && second < onsetS)).toEqual([])
      expect(seconds.some((second) => second >= onsetS)).toBe(true)
      expect(seconds.length).toBeLessThanOrEqual(24)
    }
  })
})

test.each([1, 10, 60])('a signal that is noisy from now on is told of once or twice in two days, read every %s s', (everyS) => {
  const noisy = (): Signal => {
    const random = randomOf('noisy')
    return (second) => 20 + (second < 2 * dayS ? 0.2 : 5) * random.normal()
  }
  expect([1, 2]).toContain(alertsOf(noisy(), everyS, 4).length)
  expect([1, 2]).toContain(raisedOf(noisy(), everyS, 4).length)
})
