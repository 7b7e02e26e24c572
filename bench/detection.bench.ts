/** What judging a reading costs, beside recomputing its window with simple-statistics. */
import { medianAbsoluteDeviation, median } from 'simple-statistics'
import { detectorSettings, newSeriesState, observe, seriesStateLength } from '../detection/series-detector.ts'
import { randomOf } from '../device-sim/random.ts'
import { compare, printHeader, printRow } from './measure.ts'

const readings = 5_000
const random = randomOf('bench')
const values = Array.from({ length: readings }, () => 20 + random.normal())

function recompute(): number {
  let last = 0
  for (let index = detectorSettings.windowReadings; index < readings; index += 25) {
    const window = values.slice(index - detectorSettings.windowReadings, index)
    last = (values[index]! - median(window)) / (1.4826 * medianAbsoluteDeviation(window))
  }
  return last
}

const ns = compare([
  {
    name: 'incremental',
    readings,
    run: () => {
      const state = newSeriesState()
      values.forEach((value, index) => void observe(state, index * 1000, value, 0))
    },
  },
  { name: 'simple-statistics', readings: Math.ceil((readings - detectorSettings.windowReadings) / 25), run: () => void recompute() },
])

printHeader('Rolling robust score')
printRow('incremental, sorted window of 96', `${ns.get('incremental')!.toFixed(0)} ns a reading`)
printRow(
  'recomputed with simple-statistics',
  `${ns.get('simple-statistics')!.toFixed(0)} ns a reading, ${(ns.get('simple-statistics')! / ns.get('incremental')!).toFixed(1)} × as much`,
)
printRow('state', `${seriesStateLength * 8} bytes a series`)
