import { describe, expect, test } from 'vitest'
import { eventsOfMachine } from '../support/watched-machine.ts'

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
