/** What all detectors of a reading cost together, beside recomputing one window of it with simple-statistics. */
import { mean, medianAbsoluteDeviation, median, standardDeviation } from 'simple-statistics'
import { deviceModel } from '../../contract/device-model.ts'
import { watchReading } from '../../detection/device-watch.ts'
import { newDeviceWatch, traitsOf } from '../../detection/watch-state.ts'
import { newRelation, relationBytes } from '../../detection/relation.ts'
import { judge } from '../../detection/judge-series.ts'
import { newJudgement } from '../../detection/judgement.ts'
import { learn } from '../../detection/learn-series.ts'
import { newSeriesState, seriesStateBytes } from '../../detection/series-state.ts'
import { createPlant } from '../../device-sim/plant.ts'
import { compare, printRow } from '../measure.ts'

const moments = 4_000
const startMs = 1_700_000_000_000
const [pump] = createPlant({ machines: [{ deviceId: 'pump-001', kind: 'pump' }], seed: 'cost' })
const model = deviceModel(pump!.modelId)
const columns = Array.from({ length: moments }, (_, second) => Object.values(pump!.read(second + 1).values))
const { signals } = pump!
const traits = signals.map((signal) => traitsOf(model, signal))
const windowReadings = 60

export function measureCost(): void {
  const states = signals.map(newSeriesState)
  const watch = newDeviceWatch('pump-001')
  const judgement = newJudgement()
  let atMs = startMs
  const ns = compare([
    {
      name: 'one series',
      readings: moments * signals.length,
      run: () => {
        for (const values of columns) {
          atMs += 1000
          for (let i = 0; i < signals.length; i++) {
            judge(states[i]!, atMs, values[i]!, traits[i]!, judgement)
            learn(states[i]!, atMs, values[i]!, traits[i]!, judgement)
          }
        }
      },
    },
    {
      name: 'device',
      readings: moments * signals.length,
      run: () => {
        let seq = 0
        for (const values of columns) {
          atMs += 1000
          for (let i = 0; i < signals.length; i++)
            watchReading(watch, { signal: signals[i]!, bootId: 'b', seq: ++seq, timeMs: atMs, value: values[i]! }, model, atMs)
        }
      },
    },
    {
      name: 'simple-statistics',
      readings: (moments - windowReadings) / 20,
      run: () => {
        const values = columns.map(([first]) => first!)
        for (let end = windowReadings; end < moments; end += 20) {
          const window = values.slice(end - windowReadings, end)
          recompute(window)
        }
      },
    },
  ])
  const recomputed = ns.get('simple-statistics')!
  for (const [name, words] of [
    ['one series', 'all detectors of one series'],
    ['device', 'the same, episodes and relations of a pump'],
  ] as const)
    printRow(words, `${ns.get(name)!.toFixed(0)} ns a reading, 1/${(recomputed / ns.get(name)!).toFixed(1)} of recomputing`)
  printRow('recomputed: mean, deviation, median, MAD of 60', `${recomputed.toFixed(0)} ns a reading`)
  const relation =
    relationBytes(
      newRelation(
        signals.map(() => 0),
        false,
      ),
    ).length / signals.length
  printRow('state', `${seriesStateBytes} bytes a series, ${Math.ceil(relation)} more for the relations of ${signals.length} signals`)
}

function recompute(window: number[]): number {
  return mean(window) + standardDeviation(window) + median(window) + medianAbsoluteDeviation(window)
}
