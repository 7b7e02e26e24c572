/** Faults that come back, and those that take hours to grow, of signals that none of our machine models makes: as `millwright detect` has them. */
import { standardDeviation } from 'simple-statistics'
import { scoreSeries } from '../../detection/score-series.ts'
import { randomOf } from '../../device-sim/random.ts'
import { percentile, printRow } from '../measure.ts'
import { faults, shapes } from './signal-shapes.ts'
import type { Fault, Signal } from './signal-shapes.ts'

const seed = process.env.SEED ?? 'scoreboard'
const startMs = Date.UTC(2026, 0, 5)
const dayS = 86_400

const plans = [
  { everyS: 1, days: 1.5 },
  { everyS: 10, days: 3 },
  { everyS: 60, days: 7 },
  { everyS: 300, days: 7 },
]
const times = 5
const faultReadings = 600
const betweenReadings = 3_000

/** Of the same fault several times: which of them were told; undefined for those whose values are those of the healthy signal. */
function toldEachTime(signal: Signal, fault: Fault, everyS: number, days: number, name: string): (boolean | undefined)[] {
  const score = scoreSeries()
  const random = randomOf(`${seed} ${name}`)
  const told = Array.from<boolean | undefined>({ length: times })
  const healthy: number[] = []
  let [index, spread, last] = [-1, 0, 0]
  for (let second = 0; ; second += everyS) {
    const value = signal(second)
    if (value === undefined) continue
    if (second >= days * dayS && ++index === 0) spread = standardDeviation(healthy)
    const which = Math.floor(index / (faultReadings + betweenReadings))
    if (which >= times) return told
    const ofFault = index % (faultReadings + betweenReadings)
    const isFaulty = index >= 0 && ofFault < faultReadings
    if (isFaulty && ofFault === 0) last = healthy.at(-1)!
    const seen = isFaulty ? fault(value, ofFault, { spread, last, random }) : value
    if (!isFaulty) healthy.push(value)
    if (healthy.length > 2_000) healthy.shift()
    const isTold = score(startMs + second * 1000, seen).score >= 0.5
    if (isFaulty && seen !== value) told[which] = (told[which] ?? false) || isTold
  }
}

export function measureRecurrence(): void {
  printRow(`the same fault ${times} times`, 'told the first time, the second …, of those that show')
  for (const [kind, fault] of Object.entries(faults)) {
    const all = plans.flatMap(({ everyS, days }) =>
      Object.entries(shapes).map(([name, shape]) =>
        toldEachTime(shape(randomOf(`${seed} ${kind} ${name} ${everyS}`), everyS), fault, everyS, days, name),
      ),
    )
    const rows = Array.from({ length: times }, (_, which) => all.map((told) => told[which]).filter((told) => told !== undefined))
    printRow(`  ${kind}`, rows.map((told) => `${told.filter(Boolean).length} of ${told.length}`).join(', '))
  }
}

/** What has no level that it could leave. */
const creeping = new Set(['battery', 'counter', 'slow wander'])

/** By when a signal is told of that moves away by so many of its ranges, as a part of that time; undefined when it is not by a quarter more. */
function grownWhenTold(signal: Signal, everyS: number, hours: number, ranges: number): number | undefined {
  const score = scoreSeries()
  const onsetS = 4 * dayS
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (let second = 0; second < onsetS + 4500 * hours; second += everyS) {
    let value = signal(second)
    if (value === undefined) continue
    const grown = (second - onsetS) / (3600 * hours)
    if (grown >= 0) value += ranges * (high - low) * Math.min(1, grown)
    else if (second > dayS) [low, high] = [Math.min(low, value), Math.max(high, value)]
    if (score(startMs + second * 1000, value).score >= 0.5 && grown >= 0) return grown
  }
  return undefined
}

export function measureCreep(): void {
  const level = Object.entries(shapes).filter(([name]) => !creeping.has(name))
  for (const hours of [1, 6, 24])
    for (const ranges of [1, 2]) {
      const all = [10, 60, 300].flatMap((everyS) =>
        level.map(([name, shape]) => grownWhenTold(shape(randomOf(`${seed} ${name} ${everyS}`), everyS), everyS, hours, ranges)),
      )
      const told = all.filter((grown) => grown !== undefined).sort((a, b) => a - b)
      printRow(
        `creeps by ${ranges} of its ranges in ${hours} h`,
        `${told.length} of ${all.length} told, half when ${(100 * percentile(told, 0.5)).toFixed(0)} % are there`,
      )
    }
}

const youngFaultReadings = 200

/** Whether a fault is told that begins after so many readings; undefined when its values are those of the healthy signal. */
function toldOfYoung(signal: Signal, fault: Fault, everyS: number, healthyReadings: number, name: string): boolean | undefined {
  const score = scoreSeries()
  const random = randomOf(`${seed} ${name}`)
  const healthy: number[] = []
  let [index, spread, last] = [-1, 0, 0]
  let [shows, isTold] = [false, false]
  for (let second = 0; index < youngFaultReadings; second += everyS) {
    const value = signal(second)
    if (value === undefined) continue
    if (healthy.length < healthyReadings) healthy.push(value)
    else if (++index === 0) [spread, last] = [standardDeviation(healthy), healthy.at(-1)!]
    const seen = index < 0 ? value : fault(value, index, { spread, last, random })
    const isNews = score(startMs + second * 1000, seen).score >= 0.5
    if (index < 0) continue
    shows ||= seen !== value
    isTold ||= isNews
  }
  return shows ? isTold : undefined
}

export function measureYoung(): void {
  const readings = [150, 400, 1_000, 3_000]
  printRow('faults of a young signal', `told after ${readings.join(', ')} readings, of those that show`)
  for (const [kind, fault] of Object.entries(faults)) {
    const rows = readings.map((healthyReadings) =>
      [1, 10, 60]
        .flatMap((everyS) =>
          Object.entries(shapes).map(([name, shape]) =>
            toldOfYoung(shape(randomOf(`${seed} ${kind} ${name}`), everyS), fault, everyS, healthyReadings, name),
          ),
        )
        .filter((told) => told !== undefined),
    )
    printRow(`  ${kind}`, rows.map((told) => `${told.filter(Boolean).length} of ${told.length}`).join(', '))
  }
}
