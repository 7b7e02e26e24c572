/** Signals that switch by nature: where they rest is learned, and what they do elsewhere, or never did, is found. */
import { describe, expect, test } from 'vitest'
import type { DetectedEvent } from '../../contract/alert.ts'
import { deviceModel } from '../../contract/device-model.ts'
import { watchReading } from '../../detection/device-watch.ts'
import { newDeviceWatch } from '../../detection/watch-state.ts'
import { isReproduced, recompute } from '../../detection/explain.ts'
import { randomOf } from '../../device-sim/random.ts'

const coldStore = deviceModel('dtmi:millwright:ColdStore;1')!
const signal = 'compressorPowerKw'
const dayS = 86_400
const startMs = 1_700_000_000_000

/**
 * A compressor as it was for more than a day: five minutes on, with its meter's noise, ten off.
 * @param load by how many kW more it takes at times while it runs
 */
function compressor({ days = 1.2, load = 0 } = {}) {
  const watch = newDeviceWatch('store-1')
  const random = randomOf('compressor')
  const events: DetectedEvent[] = []
  let second = 0
  const feed = (value: number) => {
    const timeMs = startMs + ++second * 1000
    events.push(...watchReading(watch, { signal, bootId: 'b', seq: second, timeMs, value }, coldStore, timeMs))
  }
  const on = () => 3.2 + load * (0.5 + 0.5 * Math.sin(second / 7)) + 0.02 * random.normal()
  const off = () => 0
  const cycle = () => {
    for (let s = 0; s < 600; s++) feed(off())
    for (let s = 0; s < 300; s++) feed(on())
  }
  while (second < days * dayS) cycle()
  const found = () => events.flatMap((event) => (event.kind === 'raised' ? [event.evidence.detector] : []))
  return { events, feed, on, off, cycle, found }
}

describe('a signal with modes', () => {
  test('raises nothing by going through them, for days', () => {
    expect(compressor({ days: 4 }).events).toEqual([])
  })

  test('that stays between them is unusual, though it was never farther away', () => {
    const { events, feed, found } = compressor()
    for (let s = 0; s < 20; s++) feed(1.2 + 0.001 * s)
    expect(found()).toEqual(['mode'])
    const [raised] = events
    if (raised?.kind !== 'raised') throw new Error('no alert')
    expect(raised.evidence).toMatchObject({ reason: 'between-modes', observed: 1.2 })
    expect(raised.evidence.expectedMax).toBeLessThan(0.7)
    expect(isReproduced(raised.evidence, recompute(raised.evidence, signal, coldStore))).toBe(true)
  })

  test('knows them again a week after something absurd was measured', () => {
    const { feed, cycle, found } = compressor({ days: 0.5 })
    // On the first day nothing is judged yet, so it is learned.
    for (let s = 0; s < 5; s++) feed(40_000)
    for (let quarter = 0; quarter < 9 * 24 * 4; quarter++) cycle()
    const before = found().length
    for (let s = 0; s < 20; s++) feed(1.2)
    expect(found().slice(before)).toEqual(['mode'])
  })

  test('that goes far beyond what it can do is unusual', () => {
    const { feed, on, found } = compressor()
    for (let s = 0; s < 20; s++) feed(on() + 4)
    expect(found()).toEqual(['level'])
  })

  test.each([
    ['above what it does while it runs', 4.2],
    ['below zero at rest', -0.6],
  ])('that is a little beyond where it rests is measured by that place, not by how far it switches: %s', (_, value) => {
    const { events, feed, found } = compressor()
    for (let s = 0; s < 20; s++) feed(value + 0.001 * s)
    expect(found()).toEqual(['level'])
    const [raised] = events
    if (raised?.kind !== 'raised') throw new Error('no alert')
    expect(raised.evidence.expectedMax - raised.evidence.expectedMin).toBeLessThan(4)
    expect(isReproduced(raised.evidence, recompute(raised.evidence, signal, coldStore))).toBe(true)
  })

  test.each([
    [2, 6.1],
    [4, 10.6],
  ])('that takes up to %s kW more at times may take a little more than ever', (load, highest) => {
    const { feed, found } = compressor({ load })
    for (let s = 0; s < 300; s++) feed(highest - 0.001 * s)
    expect(found()).toEqual([])
  })

  test('that leaves a mode for one reading is a spike, wherever it lands', () => {
    const { feed, off, found } = compressor()
    for (let s = 0; s < 50; s++) feed(off())
    feed(3.2)
    for (let s = 0; s < 50; s++) feed(off())
    expect(found()).toEqual(['spike'])
  })

  test('that stops moving while it runs is stuck within a minute; at rest it may stand still for hours', () => {
    const { feed, on, found, cycle } = compressor()
    for (let s = 0; s < 3_600; s++) feed(0)
    cycle()
    expect(found()).toEqual([])
    const value = on()
    for (let s = 0; s < 60; s++) feed(value)
    expect(found()).toEqual(['stuck'])
  })

  test('that slides from one to the other, instead of jumping, has none', () => {
    const watch = newDeviceWatch('store-2')
    const events: DetectedEvent[] = []
    const halt = 1.5 * dayS + 3_600
    // A sawtooth of a day and a half, and then a halt in the midst of it.
    for (let second = 1; second <= halt + 100; second++) {
      const value = second <= halt ? 3.2 * ((second % 7_200) / 7_200) + 0.001 * (second % 7) : 1.6 + 0.001 * (second % 7)
      const timeMs = startMs + second * 1000
      events.push(...watchReading(watch, { signal, bootId: 'b', seq: second, timeMs, value }, coldStore, timeMs))
    }
    expect(events).toEqual([])
  })
})
