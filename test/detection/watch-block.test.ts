import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Series } from '../../contract/telemetry/telemetry.ts'
import { watchReading } from '../../detection/device-watch.ts'
import { seriesBytes } from '../../detection/series-state.ts'
import { watchBlock } from '../../detection/watch-block.ts'
import { newDeviceWatch } from '../../detection/watch-state.ts'
import type { DeviceWatch } from '../../detection/watch-state.ts'
import { randomOf } from '../../device-sim/random.ts'

const startMs = Date.UTC(2026, 0, 5)

/** What is known of the signals, alone and together. */
function knownOf({ signals, together }: DeviceWatch) {
  return {
    signals: [...signals.values()].map(({ signal, seq, state }) => [signal, seq, [...seriesBytes(state)]]),
    relation: together.state,
  }
}

/** Places of all readings, the earliest that comes next in any series first. */
function* inTime(series: readonly Series[]): Generator<{ readonly series: Series; readonly at: number }> {
  const next = series.map(() => 0)
  for (;;) {
    const times = series.map(({ timesMs }, index) => timesMs[next[index]!] ?? Number.POSITIVE_INFINITY)
    const earliest = times.indexOf(Math.min(...times))
    if (times[earliest] === Number.POSITIVE_INFINITY) return
    yield { series: series[earliest]!, at: next[earliest]!++ }
  }
}

// Now and then a second without a reading, two of one second, or one that came late.
const pausesS = fc.array(fc.constantFrom(1, 1, 1, 1, 1, 1, 2, 0, -1), { minLength: 80, maxLength: 140 })

test('a block is watched as its readings happened, as if they had come one by one', () => {
  fc.assert(
    fc.property(fc.array(pausesS, { minLength: 1, maxLength: 4 }), fc.nat(20), fc.string(), (pauses, afterSeq, seed) => {
      const random = randomOf(seed)
      let seq = 0
      const series = pauses.map((steps, index): Series => {
        let timeMs = startMs
        const timesMs = steps.map((seconds) => (timeMs += seconds * 1000))
        return { signal: `s${index}`, timesMs, seqs: steps.map(() => ++seq), values: steps.map(() => random.normal()) }
      })
      const [atOnce, oneByOne] = [newDeviceWatch('d'), newDeviceWatch('d')]
      const nowMs = startMs + 1_000_000
      const events = watchBlock(atOnce, series, { bootId: 'b', afterSeq, model: undefined, nowMs })
      const expected = [...inTime(series)].flatMap(({ series: { signal, timesMs, seqs, values }, at }) =>
        seqs[at]! <= afterSeq
          ? []
          : watchReading(oneByOne, { signal, bootId: 'b', seq: seqs[at]!, timeMs: timesMs[at]!, value: values[at]! }, undefined, nowMs),
      )
      expect(knownOf(atOnce)).toEqual(knownOf(oneByOne))
      expect(events.filter((event) => event.kind !== 'raised' || event.evidence.detector !== 'missing')).toEqual(expected)
    }),
  )
})
