/** What is told after a pause of some minutes, of a healthy signal that went on meanwhile: a laptop that slept, a network that was away. */
import { scoreSeries } from '../../detection/score-series.ts'
import { randomOf } from '../../device-sim/random.ts'
import { printRow } from '../measure.ts'
import { shapes } from './signal-shapes.ts'
import type { Signal } from './signal-shapes.ts'

const seed = process.env.SEED ?? 'scoreboard'
const startMs = Date.UTC(2026, 0, 5)
const pauseS = 240
/** Between two pauses, at most. */
const apartS = 7_200
/** What is told so soon after a pause is told of the pause. */
const afterReadings = 40
const machines = 2

/** Alerts after the pauses of one signal, and how many pauses there were. */
function afterPauses(signal: Signal, everyS: number, days: number, name: string): { alerts: number; pauses: number } {
  const score = scoreSeries()
  const random = randomOf(`${seed} pauses ${name}`)
  let [alerts, pauses, readings, startS, endS] = [0, 0, 0, apartS * random.next(), 0]
  for (let second = 0; second < days * 86_400; second += everyS) {
    const value = signal(second)
    if (value === undefined) continue
    if (second >= startS) {
      endS = startS + pauseS
      startS = endS + apartS * random.next()
      pauses++
      readings = 0
    }
    if (second < endS) continue
    if (score(startMs + second * 1000, value).score >= 0.5 && pauses > 0 && readings < afterReadings) alerts++
    readings++
  }
  return { alerts, pauses }
}

export function measurePauses(): void {
  printRow(`pauses of ${pauseS} s`, 'alerts after them')
  for (const { everyS, days } of [
    { everyS: 1, days: 0.5 },
    { everyS: 2, days: 1 },
    { everyS: 5, days: 2 },
    { everyS: 10, days: 2 },
  ]) {
    const all = Object.entries(shapes).flatMap(([name, shape]) =>
      Array.from({ length: machines }, (_, machine) =>
        afterPauses(shape(randomOf(`${seed} ${name} ${everyS} ${machine}`), everyS), everyS, days, `${name} ${machine}`),
      ),
    )
    const sum = (key: 'alerts' | 'pauses') => all.reduce((total, each) => total + each[key], 0)
    printRow(`  a reading in ${everyS} s`, `${sum('alerts')} after ${sum('pauses')}`)
  }
}
