/**
 * What all machines of a site share: the weather, and how much is asked of them in the course of a day. Pure functions
 * of time and seed.
 *
 * Outdoors: `T = mean + 4 K · sin(2π(t − 9 h)/24 h) + slow waves of 1.5 K`, warmest at 15:00. The hall follows at a third
 * of the amplitude. Shifts: early (06–14) at full load, late (14–22) at 97 %, night at 88 %, handed over within half an hour.
 */
import type { Random } from '../random.ts'

export type Surroundings = {
  readonly outdoorC: number
  readonly hallC: number
  /** Load asked for, 1 in the early shift. */
  readonly shift: number
}

const dayS = 86_400
/** A simulated day begins in the middle of the early shift, when most people first look. */
const startOfDayS = 10 * 3_600
const handOverS = 1_800

export function surroundingsOf(random: Random, meanC = 18): (elapsedS: number) => Surroundings {
  const phases = [random.next(), random.next()].map((phase) => phase * 2 * Math.PI)
  return (elapsedS) => {
    const timeS = startOfDayS + elapsedS
    const wave = Math.sin((2 * Math.PI * (timeS - 9 * 3_600)) / dayS)
    const weather =
      0.9 * Math.sin((2 * Math.PI * timeS) / (2.7 * dayS) + phases[0]!) + 0.6 * Math.sin((2 * Math.PI * timeS) / (0.41 * dayS) + phases[1]!)
    const outdoorC = meanC + 4 * wave + weather
    return { outdoorC, hallC: 24 + (outdoorC - meanC) / 3, shift: shiftLoad(timeS % dayS) }
  }
}

const shifts = [
  { fromS: 6 * 3_600, load: 1 },
  { fromS: 14 * 3_600, load: 0.97 },
  { fromS: 22 * 3_600, load: 0.88 },
] as const

function shiftLoad(secondOfDay: number): number {
  const index = shifts.findLastIndex(({ fromS }) => secondOfDay >= fromS)
  const current = shifts.at(index)!
  const previous = shifts.at(index - 1)!
  const sinceS = (secondOfDay - current.fromS + dayS) % dayS
  const share = Math.min(1, sinceS / handOverS)
  return previous.load + (current.load - previous.load) * share
}
