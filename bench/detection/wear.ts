/**
 * Faults that take a day or a week to grow, one of every kind that a machine can have: which are told, how far they have
 * grown by then, and whether only a limit of the machine tells it. Adaptive detectors follow what is slow.
 */
import type { PlannedFault } from '../../device-sim/faults/fault.ts'
import { physicalFaultKinds } from '../../device-sim/faults/fault.ts'
import { machineKindNames } from '../../device-sim/machine-kinds.ts'
import { percentile, printRow } from '../measure.ts'
import { episodesOf } from './episodes.ts'
import type { Episode } from './episodes.ts'

const dayS = 86_400
const seed = process.env.SEED ?? 'scoreboard'

const cases = [
  { what: 'a day', healthyS: 2 * dayS, rampS: dayS, everyS: 1 },
  { what: 'a day, read every 10 s', healthyS: 3 * dayS, rampS: dayS, everyS: 10 },
  { what: 'a day, read every minute', healthyS: 3 * dayS, rampS: dayS, everyS: 60 },
  { what: 'a week, read every 10 s', healthyS: 10 * dayS, rampS: 7 * dayS, everyS: 10 },
]

const planned = machineKindNames.flatMap((kind) => physicalFaultKinds(kind).map((fault) => ({ kind, fault, deviceId: `${kind}-${fault}` })))

export function measureWear(): void {
  for (const { what, healthyS, rampS, everyS } of cases) {
    const untilS = healthyS + 1.25 * rampS
    const faults = planned.map(({ deviceId, fault }) => ({ deviceId, kind: fault, onsetS: healthyS, rampS, endS: untilS }))
    const episodes = episodesOf({ machines: planned, seed, untilS, faults, everyS })
    printTold(`faults that grow for ${what}`, episodes, faults)
    printRow('  false alerts before them', `${episodes.filter(({ fromS }) => fromS < healthyS).length}`)
  }
  measureAgain()
}

/** Faults of half a day, mended, and the same a week later. */
function measureAgain(): void {
  const [first, again] = [3, 10].map((day) =>
    planned.map(({ deviceId, fault }) => ({
      deviceId,
      kind: fault,
      onsetS: day * dayS,
      rampS: dayS / 4,
      endS: (day + 0.5) * dayS,
    })),
  ) as [PlannedFault[], PlannedFault[]]
  const episodes = episodesOf({ machines: planned, seed, untilS: 10.5 * dayS, faults: [...first, ...again], everyS: 10 })
  printTold('faults of half a day', episodes, first)
  printTold('the same a week after they were mended', episodes, again)
}

/** @param faults one a machine, all beginning at once */
function printTold(what: string, episodes: readonly Episode[], faults: readonly PlannedFault[]): void {
  const firsts = faults.map((fault) =>
    episodes.find(({ deviceId, fromS }) => deviceId === fault.deviceId && fromS >= fault.onsetS && fromS <= fault.endS),
  )
  const told = firsts.filter((first) => first !== undefined)
  const early = told.filter(({ detector }) => detector !== 'hard-limit')
  // What nobody is told of has grown to the full.
  const grown = firsts
    .map((first, index) => (first ? Math.min(1, (first.fromS - faults[index]!.onsetS) / faults[index]!.rampS) : 1))
    .sort((a, b) => a - b)
  const [half, most] = [0.5, 0.75].map((share) => `${(100 * percentile(grown, share)).toFixed(0)} %`)
  printRow(
    what,
    `${told.length} of ${faults.length} told, ${early.length} before a limit; grown by then: half ${half}, three of four ${most}`,
  )
}
