/**
 * A plant: machines of three kinds, their names, and the faults that will befall them. Pure: it is stepped by whoever
 * holds the clock, and the same seed gives the same readings and the same faults.
 */
import { deviceModel } from '../contract/device-model.ts'
import { centrifugalPump } from './machines/centrifugal-pump.ts'
import { industrialOven } from './machines/industrial-oven.ts'
import { severityAt } from './machines/machine.ts'
import type { Machine, MachineFactory } from './machines/machine.ts'
import { reciprocatingCompressor } from './machines/reciprocating-compressor.ts'
import { randomOf } from './random.ts'

/** A fault as the truth log states it. Times in seconds from the start of the run. */
export type PlannedFault = {
  readonly deviceId: string
  readonly kind: string
  readonly onsetS: number
  /** Until it has grown to its full extent. */
  readonly rampS: number
  readonly endS: number
}

export type SimulatedDevice = {
  readonly deviceId: string
  readonly modelId: string
  readonly faultKinds: readonly string[]
  /** The sensors' values at `elapsedS`; called with rising times. */
  read(elapsedS: number): Record<string, number>
}

const kinds: readonly { readonly prefix: string; readonly create: MachineFactory }[] = [
  { prefix: 'pump', create: centrifugalPump },
  { prefix: 'compressor', create: reciprocatingCompressor },
  { prefix: 'oven', create: industrialOven },
]

/** The machines of a plant, kinds in turn: pump-001, compressor-001, oven-001, pump-002 … */
export function createPlant({
  devices,
  seed,
  faults,
}: {
  devices: number
  seed: string
  faults: readonly PlannedFault[]
}): SimulatedDevice[] {
  return Array.from({ length: devices }, (_, index) => {
    const { prefix, create } = kinds[index % kinds.length]!
    const deviceId = `${prefix}-${String(Math.floor(index / kinds.length) + 1).padStart(3, '0')}`
    const machine = create(randomOf(`${seed}/${deviceId}`))
    return simulatedDevice(
      deviceId,
      machine,
      faults.filter((fault) => fault.deviceId === deviceId),
    )
  })
}

function simulatedDevice(deviceId: string, machine: Machine, faults: readonly PlannedFault[]): SimulatedDevice {
  const decimals = deviceModel(machine.modelId)?.signals ?? {}
  let lastS = 0
  return {
    deviceId,
    modelId: machine.modelId,
    faultKinds: machine.faultKinds,
    read(elapsedS) {
      const active = faults.find(({ onsetS, endS }) => elapsedS >= onsetS && elapsedS < endS)
      const fault = active && { kind: active.kind, severity: severityAt(elapsedS - active.onsetS, active.rampS) }
      const values = machine.step(Math.max(0, elapsedS - lastS), fault)
      lastS = elapsedS
      // A sensor delivers the decimals it has, not the simulator's arithmetic.
      return Object.fromEntries(Object.entries(values).map(([signal, value]) => [signal, roundTo(value, decimals[signal]?.decimals ?? 3)]))
    },
  }
}

function roundTo(value: number, decimals: number): number {
  const factor = 10 ** decimals
  return Math.round(value * factor) / factor
}
