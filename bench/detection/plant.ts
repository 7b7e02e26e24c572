/**
 * A simulated plant: false alerts on healthy machines, and what is found of labelled faults. Machines are healthy for a
 * day before their first fault. The simulator was written by the authors of the detectors: read it as a regression test.
 */
import { deviceModel } from '../../contract/device-model.ts'
import { randomFaults } from '../../device-sim/faults/fault.ts'
import type { PlannedFault } from '../../device-sim/faults/fault.ts'
import { createPlant, mixedMachines } from '../../device-sim/plant.ts'
import { median, percentile, printRow } from '../measure.ts'
import { episodesOf } from './episodes.ts'
import type { Episode } from './episodes.ts'

const healthyMachines = Number(process.env.HEALTHY_MACHINES ?? 24)
const healthyDays = Number(process.env.HEALTHY_DAYS ?? 2)
const faultyMachines = Number(process.env.FAULTY_MACHINES ?? 64)
const faultyHours = 6
const faultsPerDay = 24
const seed = process.env.SEED ?? 'scoreboard'
const dayS = 86_400
/** A machine that was disturbed takes a while to be as it was. */
const recoveryS = 900
/** Readings that must differ by more than their signal's deadband for a fault to show at all. */
const visibleReadings = 30

/**
 * Faults that show: what the machine says differs from what it would have said without faults. A pump that is stuck while it
 * stands, a leak while the compressor rests and a unit that slips at zero change nothing that anybody could see.
 */
function visibleFaults(machines: ReturnType<typeof mixedMachines>, untilS: number, faults: readonly PlannedFault[]): Set<PlannedFault> {
  const healthy = createPlant({ machines, seed })
  const differing = new Map(faults.map((fault) => [fault, 0]))
  for (const [index, machine] of createPlant({ machines, seed, faults }).entries()) {
    const own = faults.filter(({ deviceId }) => deviceId === machine.deviceId)
    const { signals = {} } = deviceModel(machine.modelId) ?? {}
    for (let second = 1; second <= untilS; second++) {
      const [{ values: usual }, { values }] = [healthy[index]!.read(second), machine.read(second)]
      const fault = own.find(({ onsetS, endS }) => second >= onsetS && second <= endS)
      if (!fault) continue
      const watched = fault.signal === undefined ? Object.keys(usual) : [fault.signal]
      const isOther = (name: string) => !(Math.abs(values[name]! - usual[name]!) <= (signals[name]?.deadband ?? 0))
      if (watched.some((name) => usual[name] !== undefined && isOther(name))) differing.set(fault, differing.get(fault)! + 1)
    }
  }
  // A spike shows in one reading of twenty.
  return new Set(faults.filter((fault) => differing.get(fault)! >= (fault.kind === 'spike' ? 1 : visibleReadings)))
}

/** How alerts end: those that began while a fault was there, and what is told once it is gone. */
function printEnds(faults: readonly PlannedFault[], episodes: readonly Episode[]): void {
  const isDuring = ({ deviceId, fromS }: Episode, fault: PlannedFault) =>
    deviceId === fault.deviceId && fromS >= fault.onsetS && fromS <= fault.endS
  const told = faults.filter((fault) => episodes.some((episode) => isDuring(episode, fault))).length
  const late = episodes.filter((episode) => !faults.some((fault) => isDuring(episode, fault))).length
  const afterS = episodes
    .flatMap((episode) => {
      const fault = faults.find((one) => isDuring(episode, one))
      const { deviceId, fromS, toS } = episode
      // Another fault that began before the alert was over kept it open.
      const isCutOff = faults.some((other) => other !== fault && other.deviceId === deviceId && other.onsetS > fromS && other.onsetS <= toS)
      return fault && !isCutOff ? [Math.max(0, episode.toS - fault.endS)] : []
    })
    .sort((a, b) => a - b)
  printRow('faults with an alert that began while they lasted', `${told} of ${faults.length}`)
  printRow('alerts that began when none was there', `${late} of ${episodes.length}`)
  const [half, most] = [0.5, 0.9].map((share) => percentile(afterS, share).toFixed(0))
  printRow('alerts return after the end of their fault', `half within ${half} s, nine of ten within ${most} s`)
}

export function measurePlant(): void {
  for (const everyS of [1, 10, 60]) {
    const healthy = episodesOf({ machines: mixedMachines(healthyMachines), seed, untilS: healthyDays * dayS, everyS })
    const days = healthyMachines * healthyDays
    printRow(`false alerts, read every ${everyS} s`, `${(healthy.length / days).toFixed(3)} a machine-day (${healthy.length} in ${days})`)
    if (process.env.VERBOSE)
      for (const { deviceId, signal, detector, fromS } of healthy) printRow('', `${deviceId} ${signal} ${detector} ${fromS} s`)
  }

  const machines = mixedMachines(faultyMachines)
  const untilS = dayS + faultyHours * 3600
  const faults = randomFaults(createPlant({ machines, seed }), { perDay: faultsPerDay, untilS, seed }).filter(
    ({ onsetS }) => onsetS >= dayS,
  )
  const episodes = episodesOf({ machines, seed, untilS, faults })
  const isOf = (episode: Episode, fault: PlannedFault, graceS: number) =>
    episode.deviceId === fault.deviceId && episode.fromS <= fault.endS + graceS && episode.toS >= fault.onsetS
  const visible = visibleFaults(machines, untilS, faults)
  let foundVisible = 0
  const kinds = new Map<string, { faults: number; delaysS: number[]; missed: string[] }>()
  for (const fault of faults) {
    const kind = kinds.get(fault.kind) ?? { faults: 0, delaysS: [], missed: [] }
    kinds.set(fault.kind, kind)
    kind.faults++
    const first = episodes.find((episode) => isOf(episode, fault, 60))
    if (first && visible.has(fault)) foundVisible++
    if (first) kind.delaysS.push(Math.max(0, first.fromS - fault.onsetS))
    else kind.missed.push(`${visible.has(fault) ? '' : 'unseen '}${fault.deviceId}${fault.signal ? `/${fault.signal}` : ''}`)
  }
  const found = [...kinds.values()].reduce((sum, { delaysS }) => sum + delaysS.length, 0)
  const during = episodes.filter(({ fromS }) => fromS >= dayS)
  const right = during.filter((episode) => faults.some((fault) => isOf(episode, fault, recoveryS))).length
  const share = (part: number, whole: number) => `${part} of ${whole} (${((100 * part) / whole).toFixed(1)} %)`
  printRow('labelled faults found', share(found, faults.length))
  printRow('of those that show', share(foundVisible, visible.size))
  printRow('alerts that belong to a fault', share(right, during.length))
  printEnds(faults, during)
  for (const [kind, { faults: count, delaysS, missed }] of [...kinds].sort(([a], [b]) => a.localeCompare(b)))
    printRow(
      `  ${kind}`,
      `${delaysS.length} of ${count}${delaysS.length === 0 ? '' : `, half within ${median(delaysS).toFixed(0)} s`}${missed.length === 0 ? '' : `; missed ${missed.join(', ')}`}`,
    )
}
