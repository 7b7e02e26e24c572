import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { DetectedEvent } from '../../contract/alert.ts'
import { deviceModel } from '../../contract/device-model.ts'
import { episodeSettings, newDeviceWatch, signalCondition, watchFiltered, watchReading } from '../../detection/device-watch.ts'
import type { DeviceWatch } from '../../detection/device-watch.ts'
import { detectorSettings } from '../../detection/series-detector.ts'
import { randomOf } from '../../device-sim/random.ts'

const pump = deviceModel('dtmi:millwright:CentrifugalPump;1')
const startMs = 1_700_000_000_000

/** A watch that is fed one reading a second, and what it had to say. */
function watching(model = pump) {
  const watch: DeviceWatch = newDeviceWatch('pump-1')
  const events: DetectedEvent[] = []
  let seq = 0
  let second = 0
  const feed = (signal: string, values: readonly number[]) => {
    for (const value of values) {
      const timeMs = startMs + second++ * 1000
      events.push(...watchReading(watch, { signal, bootId: 'b', seq: ++seq, timeMs, value }, model, timeMs))
    }
  }
  return { watch, events, feed, skip: (seconds: number) => (second += seconds), kinds: () => events.map(({ kind }) => kind) }
}

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

  test('one unusual reading is not an episode', () => {
    const { events, feed } = watching()
    feed('vibrationMmPerS', [...healthy(60), 4, ...healthy(60)])
    expect(events).toEqual([])
  })

  test('a lasting deviation is one alert, with its evidence', () => {
    const { events, feed } = watching()
    feed('vibrationMmPerS', [...healthy(60), ...healthy(200, 4)])
    expect(events).toHaveLength(1)
    const [raised] = events
    expect(raised).toMatchObject({
      kind: 'raised',
      deviceId: 'pump-1',
      signal: 'vibrationMmPerS',
      condition: 'unusual',
      priority: 'medium',
    })
    if (raised?.kind !== 'raised') return
    expect(raised.evidence).toMatchObject({ detector: 'rolling-robust', reason: 'unusually-high', baselineReadings: 60 })
    expect(raised.evidence.observed).toBeGreaterThan(raised.evidence.expectedMax)
    expect(raised.evidence.window.values.at(-1)).toBe(raised.evidence.observed)
    expect(raised.evidence.firstSeenMs).toBe(startMs + 60_000)
  })

  test('an episode ends after several normal readings, and the next one is another alert', () => {
    const { events, feed, kinds } = watching()
    feed('vibrationMmPerS', [...healthy(60), ...healthy(20, 4), ...healthy(episodeSettings.offReadings - 1)])
    expect(kinds()).toEqual(['raised'])
    feed('vibrationMmPerS', [...healthy(20), ...healthy(20, 4), ...healthy(20)])
    expect(kinds()).toEqual(['raised', 'returned', 'raised', 'returned'])
    expect(events[0]!.alertId).toBe(events[1]!.alertId)
    expect(events[2]!.alertId).not.toBe(events[0]!.alertId)
  })

  test('passing a hard limit escalates the open alert instead of raising a second', () => {
    const { events, feed, kinds } = watching()
    feed('vibrationMmPerS', [...healthy(60), ...healthy(10, 4), ...healthy(10, 8)])
    expect(kinds()).toEqual(['raised', 'escalated'])
    expect(events[1]).toMatchObject({ condition: 'high-high', priority: 'high', evidence: { detector: 'hard-limit', expectedMax: 7.1 } })
  })

  test('a hard limit needs no learning', () => {
    const { events, feed } = watching()
    feed('bearingTemperatureC', [95, 96])
    expect(events[0]).toMatchObject({ kind: 'raised', condition: 'high-high', signal: 'bearingTemperatureC' })
  })

  test('signals that move along are evidence, not alerts of their own', () => {
    const { events, feed } = watching()
    feed('vibrationMmPerS', healthy(60))
    feed('motorCurrentA', healthy(60, 21, 0.05))
    feed('motorCurrentA', [30])
    feed('vibrationMmPerS', healthy(10, 4))
    feed('motorCurrentA', healthy(10, 30))
    const raised = events.filter(({ kind }) => kind === 'raised')
    expect(raised).toHaveLength(1)
    expect(raised[0]).toMatchObject({ signal: 'vibrationMmPerS', evidence: { alsoMoving: [{ signal: 'motorCurrentA' }] } })
  })

  test('a deviation that stays becomes the new normal', () => {
    const { feed, kinds } = watching()
    feed('flowM3PerH', [...healthy(60, 60, 0.1), ...healthy(detectorSettings.adoptReadings + 300, 40, 0.1)])
    expect(kinds()).toEqual(['raised', 'returned'])
  })

  test('no episode is made of readings on both sides of a gap', () => {
    const { events, feed, skip } = watching()
    feed('vibrationMmPerS', [...healthy(60), 4])
    skip(3600)
    feed('vibrationMmPerS', healthy(60))
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
    for (let i = 0; i < episodeSettings.offReadings; i++)
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
