/** What is told of a sensor that is another from some day on, and goes on like that: moved, replaced, set up again, read more often. */
import { standardDeviation } from 'simple-statistics'
import { scoreSeries } from '../../detection/score-series.ts'
import { randomOf } from '../../device-sim/random.ts'
import type { Random } from '../../device-sim/random.ts'
import { printRow } from '../measure.ts'
import { shapes } from './signal-shapes.ts'
import type { Signal } from './signal-shapes.ts'

const seed = process.env.SEED ?? 'scoreboard'
const startMs = Date.UTC(2026, 0, 5)
const dayS = 86_400
/** Days before the change, soon after it (the first of them told apart), and later. */
const [healthyDays, soonDays, laterDays] = [10, 15, 25]
/** Seconds between readings. */
const cadences = [60, 300]
const machines = 3

type Changed = (value: number, signal: { readonly spread: number; readonly random: Random }) => number

const changes: Readonly<Record<string, Changed>> = {
  'the same': (value) => value,
  'moved by five deviations': (value, { spread }) => value + 5 * spread,
  '1.3 times as sensitive': (value) => 1.3 * value,
  'noisier by half its deviation': (value, { spread, random }) => value + 0.5 * spread * random.normal(),
  'in another unit': (value) => 1.8 * value + 32,
}

/** Alerts on the first day, in the fortnight after it, and later. */
type Told = [first: number, fortnight: number, later: number]

function alertsOf(signal: Signal, everyS: number, everyOther: number, change: Changed): Told {
  const score = scoreSeries()
  const random = randomOf(seed)
  const told: Told = [0, 0, 0]
  const recent: number[] = []
  let spread: number | undefined
  for (let second = 0; second < (healthyDays + soonDays + laterDays) * dayS; second += everyS) {
    let value = signal(second)
    const day = second / dayS - healthyDays
    if (value === undefined || (day < 0 && (second / everyS) % everyOther > 0)) continue
    if (day < 0) recent.push(value)
    else value = change(value, { spread: (spread ??= standardDeviation(recent)), random })
    if (score(startMs + second * 1000, value).score >= 0.5 && day >= 0) told[day < 1 ? 0 : day < soonDays ? 1 : 2]++
  }
  return told
}

export function measureChanges(): void {
  printRow('a sensor is another for good', 'alerts of a signal on the first day; a day in the fortnight after it; a day later')
  const plans = [
    ...Object.entries(changes).map(([name, change]) => ({ name, change, everyOther: 1 })),
    { name: 'read five times as often', change: changes['the same']!, everyOther: 5 },
  ]
  for (const { name, change, everyOther } of plans) {
    const all = cadences.flatMap((everyS) =>
      Object.entries(shapes).flatMap(([shapeName, shape]) =>
        Array.from({ length: machines }, (_, machine) =>
          alertsOf(shape(randomOf(`${seed} ${shapeName} ${everyS} ${machine}`), everyS), everyS, everyOther, change),
        ),
      ),
    )
    const aDay = (part: 0 | 1 | 2, length: number) => all.reduce((sum, told) => sum + told[part], 0) / all.length / length
    printRow(`  ${name}`, `${aDay(0, 1).toFixed(2)}; ${aDay(1, soonDays - 1).toFixed(3)}; ${aDay(2, laterDays).toFixed(3)}`)
  }
}
