/** Faults as they are planned and as the truth log states them: of machines, of sensors, of clocks, of the way to the hub. */
import { machineKinds } from '../machine-kinds.ts'
import type { MachineKind } from '../machine-kinds.ts'
import { randomOf } from '../random.ts'

export const sensorFaultKinds = [
  'spike',
  'level-shift',
  'drift',
  'stuck',
  'dropout',
  'noise-burst',
  'saturation',
  'unit-slip',
  'calibration-offset',
] as const
export const clockFaultKinds = ['clock-step', 'clock-drift'] as const
export const deliveryFaultKinds = ['duplicate', 'disorder', 'network-flap', 'power-loss'] as const
export type SensorFaultKind = (typeof sensorFaultKinds)[number]

/** Times in seconds from the start of the run. */
export type PlannedFault = {
  readonly deviceId: string
  readonly kind: string
  /** Of a sensor's fault; the first signal of the model without it. */
  readonly signal?: string | undefined
  readonly onsetS: number
  /** Until it has grown to its full extent. */
  readonly rampS: number
  readonly endS: number
}

export function physicalFaultKinds(kind: MachineKind): readonly string[] {
  return machineKinds[kind](randomOf('kinds')).faultKinds
}

/** All a machine of a kind can have. */
export function faultKindsOf(kind: MachineKind): string[] {
  return [...physicalFaultKinds(kind), ...sensorFaultKinds, ...clockFaultKinds, ...deliveryFaultKinds]
}

export function isSensorFault(kind: string): kind is SensorFaultKind {
  return (sensorFaultKinds as readonly string[]).includes(kind)
}

const meanLengthS = 300
const dayS = 86_400

/** Faults at random times, a seeded Poisson process a device: machines' and sensors' own, one at a time. */
export function randomFaults(
  devices: readonly { readonly deviceId: string; readonly kind: MachineKind; readonly signals: readonly string[] }[],
  { perDay, untilS, seed }: { readonly perDay: number; readonly untilS: number; readonly seed: string },
): PlannedFault[] {
  return devices.flatMap(({ deviceId, kind, signals }) => {
    const random = randomOf(`${seed}/faults/${deviceId}`)
    const kinds = [...physicalFaultKinds(kind), ...sensorFaultKinds]
    const faults: PlannedFault[] = []
    // Detectors need a while to learn what is normal.
    let atS = 120
    for (;;) {
      atS += (-Math.log(1 - random.next()) * dayS) / perDay
      if (atS >= untilS) return faults
      const chosen = kinds[Math.floor(random.next() * kinds.length)]!
      const lengthS = meanLengthS * (0.5 + random.next())
      const rampS = lengthS * (0.05 + 0.4 * random.next())
      const signal = isSensorFault(chosen) ? signals[Math.floor(random.next() * signals.length)] : undefined
      faults.push({ deviceId, kind: chosen, ...(signal === undefined ? {} : { signal }), onsetS: atS, rampS, endS: atS + lengthS })
      // One ends before the next begins: otherwise no one could say which of them was found.
      atS += lengthS
    }
  })
}
