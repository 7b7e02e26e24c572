import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { DetectedEvent } from '../../contract/alert.ts'
import { deviceModel } from '../../contract/device-model.ts'
import { standardConfiguration } from '../../detection/configuration.ts'
import { watchFiltered, watchReading, watchSilence } from '../../detection/device-watch.ts'
import { newDeviceWatch, signalCondition } from '../../detection/watch-state.ts'
import type { DeviceWatch } from '../../detection/watch-state.ts'
import { isCoolingDown, newCooldown } from '../../detection/cooldown.ts'
import { watchEdgeEvent } from '../../detection/edge-incidents.ts'
import { isReproduced, recompute } from '../../detection/explain.ts'
import { relationLength } from '../../detection/relation.ts'
import { settings } from '../../detection/settings.ts'
import { readWatch, writeWatch } from '../../detection/watch-bytes.ts'
import { ByteReader, ByteWriter } from '../../contract/telemetry/varint.ts'
import { createPlant } from '../../device-sim/plant.ts'
import { randomOf } from '../../device-sim/random.ts'
import { watchedPump } from './watched-pump.ts'

const pump = deviceModel('dtmi:millwright:CentrifugalPump;1')
const startMs = 1_700_000_000_000

/** A watch that is fed one reading a second, and what it had to say. */
function watching(model = pump, configuration = standardConfiguration) {
  const watch: DeviceWatch = newDeviceWatch('pump-1', { configuration })
  const events: DetectedEvent[] = []
  let seq = 0
  let second = 0
  const feed = (signal: string, values: readonly number[]) => {
    for (const value of values) {
      const timeMs = startMs + second++ * 1000
      events.push(...watchReading(watch, { signal, bootId: 'b', seq: ++seq, timeMs, value }, model, timeMs))
    }
  }
  const raised = () => events.flatMap((event) => (event.kind === 'raised' ? [event] : []))
  return { watch, events, feed, raised, skip: (seconds: number) => (second += seconds), kinds: () => events.map(({ kind }) => kind) }
}

/** The pump's vibration resolves 0.03 mm/s: ten of them are where an alert begins. */
const [justOut, farOut] = [2.32, 2.5]
const flat = Array.from({ length: 60 }, (_, index) => 2 + (index % 2) * 0.001)

/** Healthy readings: noise around a level. */
function healthy(count: number, level = 2, sigma = 0.02, seed = 'healthy'): number[] {
  const random = randomOf(seed)
  return Array.from({ length: count }, () => level + sigma * random.normal())
}

describe('episodes', () => {
  test('say nothing while the signal is learned, and nothing while it is healthy', () => {
    const { watch, events, feed } = watching()
    feed('vibrationMmPerS', healthy(10))
    expect(signalCondition(watch.signals.get('vibrationMmPerS')!)).toBe('learning')
    feed('vibrationMmPerS', healthy(3600, 2, 0.02, 'long'))
    expect(events).toEqual([])
    expect(signalCondition(watch.signals.get('vibrationMmPerS')!)).toBe('fine')
  })

  test('one reading a little too far out is not an episode, two are, and one far out is', () => {
    const after = (...tail: number[]) => {
      const { feed, kinds } = watching()
      feed('vibrationMmPerS', [...flat, ...tail])
      return kinds()
    }
    expect(after(justOut, ...flat)).toEqual([])
    expect(after(justOut, justOut)).toEqual(['raised'])
    expect(after(farOut)).toEqual(['raised'])
  })

  test('of a device whose signals all move, those that move most are named', () => {
    const watch = newDeviceWatch('wide-1', { configuration: standardConfiguration })
    const events: DetectedEvent[] = []
    const feed = (second: number, valueOf: (signal: number) => number) => {
      for (let signal = 0; signal < 40; signal++) {
        const timeMs = startMs + second * 1000
        const reading = { signal: `signal${signal}`, bootId: 'b', seq: 40 * second + signal + 1, timeMs, value: valueOf(signal) }
        events.push(...watchReading(watch, reading, undefined, timeMs))
      }
    }
    const random = randomOf('wide')
    for (let second = 0; second < 120; second++) feed(second, () => 2 + 0.02 * random.normal())
    expect(events).toEqual([])
    // The first one is read last: all others have moved a little by then.
    feed(120, (signal) => (signal === 0 ? 2 : 2.14 + 0.0005 * signal))
    const last = { signal: 'signal0', bootId: 'b', seq: 9_999, timeMs: startMs + 121_000, value: 9 }
    const [raised] = watchReading(watch, last, undefined, last.timeMs)
    const { alsoMoving } = (raised as DetectedEvent & { kind: 'raised' }).evidence
    expect(alsoMoving).toHaveLength(12)
    const severities = alsoMoving.map(({ severity }) => severity)
    expect(severities).toEqual([...severities].sort((one, other) => other - one))
  })

  test('a lasting deviation is one alert, with its evidence', () => {
    const { events, feed, raised } = watching()
    feed('vibrationMmPerS', [...healthy(60), ...healthy(200, 4)])
    expect(events).toHaveLength(1)
    expect(raised()[0]).toMatchObject({ deviceId: 'pump-1', signal: 'vibrationMmPerS', condition: 'unusual', priority: 'medium' })
    const { evidence } = raised()[0]!
    expect(evidence).toMatchObject({
      detector: 'rolling',
      reason: 'unusually-high',
      direction: 'high',
      baselineReadings: 60,
      suppressed: 0,
    })
    expect(evidence.observed).toBeGreaterThan(evidence.expectedMax)
    expect(evidence.distance).toBeCloseTo((evidence.observed - evidence.expectedMax) / (evidence.expectedMax - evidence.expectedMin))
    expect(evidence.window.values.at(-1)).toBe(evidence.observed)
    expect(evidence.firstSeenMs).toBe(startMs + 60_000)
    expect(evidence.learning).toContain('level')
  })

  test('an episode ends after several normal readings, and only something worse is told soon after it', () => {
    const { events, feed, kinds, raised } = watching()
    feed('vibrationMmPerS', [...healthy(60), ...healthy(20, 4), ...healthy(standardConfiguration.offReadings - 1)])
    expect(kinds()).toEqual(['raised'])
    feed('vibrationMmPerS', [...healthy(20), ...healthy(20, 3.5), ...healthy(20)])
    expect(kinds()).toEqual(['raised', 'returned'])
    feed('vibrationMmPerS', [...healthy(20, 6), ...healthy(20)])
    expect(kinds()).toEqual(['raised', 'returned', 'raised', 'returned'])
    expect(raised()[1]!.evidence.suppressed).toBeGreaterThan(0)
    expect(events[0]!.alertId).toBe(events[1]!.alertId)
    expect(events[2]!.alertId).not.toBe(events[0]!.alertId)
  })

  test('worse is twice as severe: a little more is the same again', () => {
    const cooldown = { ...newCooldown(), readings: 10, severity: 3 }
    const finding = { detector: 'level', expectedMin: 0, expectedMax: 1, limit: undefined } as const
    const isToldAgain = (severity: number) => !isCoolingDown(cooldown, { ...finding, severity })
    expect([3, 5, 6, 6.1].map(isToldAgain)).toEqual([false, false, false, true])
  })

  test('the same that comes back and stays is told once the cooldown is over', () => {
    // Shorter than the blocks in which a new signal learns what it always does.
    const { feed, kinds } = watching(pump, { ...standardConfiguration, cooldownReadings: 40 })
    feed('vibrationMmPerS', [...healthy(60), ...healthy(20, 4), ...healthy(20)])
    feed('vibrationMmPerS', healthy(10, 3.5))
    expect(kinds()).toEqual(['raised', 'returned'])
    feed('vibrationMmPerS', healthy(30, 3.5))
    expect(kinds()).toEqual(['raised', 'returned', 'raised'])
  })

  test('after the cooldown the same is told again', () => {
    const { feed, kinds } = watching()
    feed('vibrationMmPerS', [...healthy(60), ...healthy(20, 4), ...healthy(standardConfiguration.cooldownReadings + 50), ...healthy(5, 4)])
    expect(kinds()).toEqual(['raised', 'returned', 'raised'])
  })

  test('passing a hard limit escalates the open alert instead of raising a second', () => {
    const { events, feed, kinds } = watching()
    feed('vibrationMmPerS', [...healthy(60), ...healthy(10, 4), ...healthy(10, 8)])
    expect(kinds()).toEqual(['raised', 'escalated'])
    expect(events[1]).toMatchObject({ condition: 'high-high', priority: 'high', evidence: { detector: 'hard-limit', expectedMax: 7.1 } })
    const { evidence } = events[1] as Extract<DetectedEvent, { kind: 'escalated' }>
    expect(evidence.distance).toBeCloseTo((evidence.observed - 7.1) / 7.1)
  })

  test('a hard limit needs no learning, and no cooldown hides it', () => {
    const { feed, kinds } = watching()
    feed('bearingTemperatureC', [95, 96])
    expect(kinds()).toEqual(['raised'])
    feed('bearingTemperatureC', [...healthy(20, 60, 0.1), 95, 96])
    expect(kinds()).toEqual(['raised', 'returned', 'raised'])
  })

  test('signals that move along are evidence, not alerts of their own', () => {
    const { raised, feed } = watching()
    feed('vibrationMmPerS', healthy(60))
    feed('motorCurrentA', healthy(60, 21, 0.05))
    feed('vibrationMmPerS', healthy(10, 4))
    feed('motorCurrentA', healthy(10, 30))
    expect(raised().map(({ signal }) => signal)).toEqual(['vibrationMmPerS'])
  })

  test('a deviation that stays becomes the new normal', () => {
    const { events, feed, kinds } = watching()
    feed('flowM3PerH', [...healthy(60, 60, 0.1), ...healthy(settings.adoptReadings + 300, 40, 0.1)])
    expect(kinds()).toEqual(['raised', 'returned'])
    expect(events[1]).toMatchObject({ why: 'adopted-as-normal' })
  })

  test('no episode is made of readings on both sides of a gap', () => {
    const { events, feed, skip } = watching()
    feed('vibrationMmPerS', [...flat, justOut])
    skip(3600)
    feed('vibrationMmPerS', [justOut, ...flat])
    expect(events).toEqual([])
  })

  test('signals that jump by nature raise alerts by their limits alone', () => {
    const computer = deviceModel('dtmi:millwright:Computer;1')
    const { events, feed } = watching(computer)
    feed('cpuLoadPct', [...healthy(60, 5, 0.5), ...healthy(60, 90, 0.5)])
    expect(events).toEqual([])
  })

  test('readings held back can end an episode but never begin one', () => {
    const { watch, events, feed, kinds } = watching()
    feed('vibrationMmPerS', [...healthy(60), ...healthy(10, 4)])
    for (let i = 0; i < standardConfiguration.offReadings; i++)
      events.push(...watchFiltered(watch, 'vibrationMmPerS', startMs + 100_000 + i * 1000, 2, pump, startMs))
    expect(kinds()).toEqual(['raised', 'returned'])
    for (let i = 0; i < 50; i++) events.push(...watchFiltered(watch, 'vibrationMmPerS', startMs + 200_000 + i * 1000, 6, pump, startMs))
    expect(kinds()).toEqual(['raised', 'returned'])
  })

  test('whatever comes, raised and returned alternate for each signal', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constantFrom(2, 4, 8), fc.double({ min: 1.9, max: 2.1, noNaN: true })), { maxLength: 400 }),
        (tail) => {
          const { events, feed } = watching()
          feed('vibrationMmPerS', [...healthy(40), ...tail])
          let open: string | undefined
          for (const event of events) {
            if (event.kind === 'raised') expect(open).toBeUndefined()
            else expect(event.alertId).toBe(open)
            open = event.kind === 'returned' ? undefined : event.alertId
          }
        },
      ),
    )
  })
})

describe('a signal that falls silent', () => {
  /** Two signals a second; the second one stops. */
  function silentAfter(seconds: number, untilSecond: number): DetectedEvent[] {
    const watch = newDeviceWatch('pump-1')
    const events: DetectedEvent[] = []
    let seq = 0
    const [flow, pressure] = [healthy(untilSecond, 60, 0.1, 'flow'), healthy(untilSecond, 4, 0.01, 'pressure')]
    for (let second = 0; second < untilSecond; second++) {
      const timeMs = startMs + second * 1000
      const readings = [
        ['flowM3PerH', flow[second]!] as const,
        ...(second < seconds ? [['dischargePressureBar', pressure[second]!] as const] : []),
      ]
      for (const [signal, value] of readings)
        events.push(...watchReading(watch, { signal, bootId: 'b', seq: ++seq, timeMs, value }, pump, timeMs))
      events.push(...watchSilence(watch, timeMs, pump, timeMs))
    }
    return events
  }

  test('while its device goes on is told once', () => {
    expect(silentAfter(100, 300)).toMatchObject([
      { kind: 'raised', signal: 'dischargePressureBar', evidence: { detector: 'missing', reason: 'missing' } },
    ])
  })

  test('is no news while the pause is a usual one', () => expect(silentAfter(100, 125)).toEqual([]))
})

describe('the signals of a machine together', () => {
  test('a small offset inside the range of its signal does not fit the others', () => {
    // 0.1 bar, while the demand moves the pressure by half a bar.
    const fault = { deviceId: 'pump-1', kind: 'calibration-offset', signal: 'dischargePressureBar', onsetS: 6000, rampS: 1, endS: 6600 }
    const { events } = watchedPump([fault], 6060)
    expect(events).toMatchObject([{ kind: 'raised', signal: 'dischargePressureBar' }])
  })

  test('a healthy machine raises nothing', () => expect(watchedPump([], 7200).events).toEqual([]))

  test('are related anew when the edge tells of one that was never read here', () => {
    const { watch, events } = watchedPump(
      [{ deviceId: 'pump-1', kind: 'level-shift', signal: 'flowM3PerH', onsetS: 1000, rampS: 1, endS: 1300 }],
      1010,
    )
    const [raised] = events
    expect(watch.together.state).toBeDefined()
    expect(watchEdgeEvent(watch, { ...raised!, kind: 'returned', why: 'normal-again' }, 'oilTemperatureC')).toEqual([])
    expect(watch.signals.size).toBe(5)
    watchEdgeEvent(watch, raised!, 'oilTemperatureC')
    for (let second = 1011; second < 1060; second++)
      for (const signal of watch.signals.keys())
        watchReading(watch, { signal, bootId: 'b', seq: second, timeMs: startMs + second * 1000, value: second % 7 }, pump, startMs)
    expect(watch.together.state).toHaveLength(relationLength(6))
  })
})

describe('a watch', () => {
  const fault = { deviceId: 'pump-1', kind: 'level-shift', signal: 'flowM3PerH', onsetS: 1000, rampS: 1, endS: 1300 }

  test('goes on from its bytes as if nothing had happened', () => {
    const [device] = createPlant({ machines: [{ deviceId: 'pump-1', kind: 'pump' }], seed: 'bytes', faults: [fault] })
    const moments = Array.from({ length: 1400 }, (_, second) => device!.read(second + 1).values)
    const run = (restoredAt: number) => {
      let watch = newDeviceWatch('pump-1')
      const events: DetectedEvent[] = []
      let seq = 0
      for (const [second, values] of moments.entries()) {
        if (second === restoredAt) {
          const writer = new ByteWriter()
          writeWatch(writer, watch)
          watch = readWatch(new ByteReader(writer.finish()), 'pump-1')
        }
        const timeMs = startMs + second * 1000
        for (const [signal, value] of Object.entries(values))
          events.push(...watchReading(watch, { signal, bootId: 'b', seq: ++seq, timeMs, value }, pump, timeMs))
      }
      const writer = new ByteWriter()
      writeWatch(writer, watch)
      return { events, bytes: Buffer.from(writer.finish()).toString('base64') }
    }
    const whole = run(-1)
    expect(whole.events.map(({ kind }) => kind)).toContain('raised')
    for (const at of [5, 22, 23, 24, 500, 1001, 1100, 1302, 1320]) expect(run(at)).toEqual(whole)
  })
})

describe('explaining', () => {
  test('every alert is recomputed from its own evidence, bit for bit', () => {
    const kinds = ['level-shift', 'spike', 'stuck', 'calibration-offset', 'unit-slip', 'noise-burst', 'bearing-wear', 'cavitation', 'drift']
    const detectors = new Set<string>()
    const signals = new Map<string, string>()
    for (const kind of kinds) {
      const faults = [{ deviceId: 'pump-1', kind, signal: 'vibrationMmPerS', onsetS: 4000, rampS: 60, endS: 4300 }]
      for (const event of watchedPump(faults, 4300).events) {
        if (event.kind === 'returned') continue
        if (event.kind === 'raised') signals.set(event.alertId, event.signal)
        const { evidence } = JSON.parse(JSON.stringify(event)) as typeof event
        const signal = signals.get(event.alertId)!
        detectors.add(evidence.detector)
        expect(isReproduced(evidence, recompute(evidence, signal, pump)), `${kind}: ${evidence.detector}`).toBe(true)
        expect(isReproduced({ ...evidence, severity: evidence.severity * 1.000_001 }, recompute(evidence, signal, pump))).toBe(false)
      }
    }
    expect(detectors.size).toBeGreaterThan(2)
    expect(detectors).toContain('hard-limit')
  })
})
