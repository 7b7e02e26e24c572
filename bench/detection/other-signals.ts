/** False alerts and recall on signals that none of our machine models makes: nothing but values and times, as `millwright detect` has them. */
import { standardDeviation } from 'simple-statistics'
import { scoreSeries } from '../../detection/score-series.ts'
import { randomOf } from '../../device-sim/random.ts'
import { printRow } from '../measure.ts'
import { faults, shapes } from './signal-shapes.ts'
import type { Fault, Signal } from './signal-shapes.ts'

const seed = process.env.SEED ?? 'scoreboard'
const startMs = Date.UTC(2026, 0, 5)
const dayS = 86_400
/** How often a signal is read, for how long it is healthy, and how many of each shape. */
const plans = [
  { everyS: 1, days: 3, machines: 2 },
  { everyS: 10, days: 7, machines: 2 },
  { everyS: 60, days: 14, machines: 4 },
  { everyS: 300, days: 14, machines: 4 },
  { everyS: 3600, days: 60, machines: 4 },
]
const faultReadings = 600
/** After a fault: what is told then is told of its end. */
const afterReadings = 30
/** What a signal's spread is taken from. */
const spreadReadings = 2_000

type Tally = { found: number; shown: number; ends: number; readonly missed: Set<string> }

/** Alerts of a healthy signal: on its first day, and after it. */
function alertsOf(signal: Signal, everyS: number, days: number): { first: number; later: number } {
  const score = scoreSeries()
  const alerts = { first: 0, later: 0 }
  for (let second = 0; second < days * dayS; second += everyS) {
    const value = signal(second)
    if (value !== undefined && score(startMs + second * 1000, value).score >= 0.5) alerts[second < dayS ? 'first' : 'later']++
  }
  return alerts
}

/** Alerts of a signal while a fault lasts that begins after some days, and just after it; undefined when it does not show, as its values are those of the healthy signal. */
function alertsOfFault(
  signal: Signal,
  fault: Fault,
  everyS: number,
  days: number,
  name: string,
): { during: number; after: number } | undefined {
  const score = scoreSeries()
  const random = randomOf(`${seed} ${name}`)
  const recent: number[] = []
  const alerts = { during: 0, after: 0 }
  let [index, spread, last, differing] = [-1, 0, 0, 0]
  for (let second = 0; index < faultReadings + afterReadings; second += everyS) {
    const healthy = signal(second)
    if (healthy === undefined) continue
    if (second >= days * dayS) index++
    if (index === 0) {
      spread = standardDeviation(recent)
      last = recent.at(-1)!
    }
    const isFaulty = index >= 0 && index < faultReadings
    const value = isFaulty ? fault(healthy, index, { spread, last, random }) : healthy
    if (index < 0) {
      recent.push(value)
      if (recent.length > spreadReadings) recent.shift()
    } else if (value !== healthy) differing++
    if (score(startMs + second * 1000, value).score >= 0.5 && index >= 0) alerts[isFaulty ? 'during' : 'after']++
  }
  return differing === 0 ? undefined : alerts
}

export function measureOtherSignals(): void {
  const kinds = new Map<string, Tally>(Object.keys(faults).map((kind) => [kind, { found: 0, shown: 0, ends: 0, missed: new Set() }]))
  for (const { everyS, days, machines } of plans) {
    let [first, later] = [0, 0]
    const noisy: string[] = []
    for (const [name, shape] of Object.entries(shapes)) {
      let ofShape = 0
      for (let machine = 0; machine < machines; machine++) {
        const alerts = alertsOf(shape(randomOf(`${seed} ${name} ${everyS} ${machine}`), everyS), everyS, days)
        first += alerts.first
        ofShape += alerts.later
      }
      later += ofShape
      if (ofShape > 0) noisy.push(`${name} ${ofShape}`)
      for (const [kind, fault] of Object.entries(faults)) {
        const alerts = alertsOfFault(shape(randomOf(`${seed} ${kind} ${name} ${everyS}`), everyS), fault, everyS, days / 2, name)
        const tally = kinds.get(kind)!
        if (!alerts) continue
        tally.shown++
        if (alerts.after > 0) tally.ends++
        if (alerts.during > 0) tally.found++
        else tally.missed.add(name)
      }
    }
    const signals = machines * Object.keys(shapes).length
    printRow(
      `${signals} healthy signals, a reading in ${everyS} s`,
      `${(first / signals).toFixed(2)} alerts on the first day, ${(later / signals / (days - 1)).toFixed(3)} a day after it (${noisy.join(', ')})`,
    )
  }
  for (const [kind, { found, shown, ends, missed }] of kinds)
    printRow(
      `  ${kind}`,
      `${found} of ${shown} found, the end of ${ends} told${missed.size === 0 ? '' : `; missed in ${[...missed].join(', ')}`}`,
    )
}
