/**
 * Faults that take a day or a week to grow, one of every kind that a machine can have: which are told, how far they have
 * grown by then, and whether only a limit of the machine tells it. Adaptive detectors follow what is slow.
 */
import type { PlannedFault } from '../../device-sim/faults/fault.ts'
import { physicalFaultKinds } from '../../device-sim/faults/fault.ts'
import { machineKindNames } from '../../device-sim/machine-kinds.ts'
import { percentile, printRow } from '../measure.ts'
import { episodesOf } from './episodes.ts'

const dayS = 86_400
const seed = process.env.SEED ?? 'scoreboard'

const cases = [
  { what: 'a day', healthyS: 2 * dayS, rampS: dayS, everyS: 1 },
  { what: 'a day, read every 10 s', healthyS: 3 * dayS, rampS: dayS, everyS: 10 },
  { what: 'a day, read every minute', healthyS: 3 * dayS, rampS: dayS, everyS: 60 },
  { what: 'a week, read every 10 s', healthyS: 10 * dayS, rampS: 7 * dayS, everyS: 10 },
]

export function measureWear(): void {
  for (const { what, healthyS, rampS, everyS } of cases) {
    const planned = machineKindNames.flatMap((kind) =>
      physicalFaultKinds(kind).map((fault) => ({ kind, fault, deviceId: `${kind}-${fault}` })),
    )
    const untilS = healthyS + 1.25 * rampS
    const faults: PlannedFault[] = planned.map(({ deviceId, fault }) => ({ deviceId, kind: fault, onsetS: healthyS, rampS, endS: untilS }))
    const episodes = episodesOf({ machines: planned, seed, untilS, faults, everyS })
    const during = episodes.filter(({ fromS }) => fromS >= healthyS)
    const first = planned.flatMap(({ deviceId }) => during.find((episode) => episode.deviceId === deviceId) ?? [])
    const early = first.filter(({ detector }) => detector !== 'hard-limit')
    // What nobody is told of has grown to the full.
    const shares = planned
      .map(({ deviceId }) => Math.min(1, ((first.find((episode) => episode.deviceId === deviceId)?.fromS ?? untilS) - healthyS) / rampS))
      .sort((a, b) => a - b)
    const [half, most] = [0.5, 0.75].map((part) => `${(100 * percentile(shares, part)).toFixed(0)} %`)
    printRow(`faults that grow for ${what}`, `${first.length} of ${planned.length} told, ${early.length} before a limit`)
    printRow('  grown by then', `half ${half}, three of four ${most}; ${episodes.length - during.length} false alerts before`)
  }
}
