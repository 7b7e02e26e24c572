/**
 * A plant: machines, their names, and the faults that will befall them. Pure: it is stepped by whoever holds the clock,
 * and the same seed gives the same readings and the same faults, to the bit.
 */
import { deviceModel } from '../contract/device-model.ts'
import type { DeviceModel } from '../contract/device-model.ts'
import { faultKindsOf, isSensorFault } from './faults/fault.ts'
import type { PlannedFault } from './faults/fault.ts'
import { SensorFault } from './faults/sensor-faults.ts'
import { machineKindNames, machineKinds } from './machine-kinds.ts'
import type { MachineKind } from './machine-kinds.ts'
import { severityAt } from './machines/machine.ts'
import type { Machine, MachineState } from './machines/machine.ts'
import { surroundingsOf } from './machines/surroundings.ts'
import type { Surroundings } from './machines/surroundings.ts'
import { randomOf } from './random.ts'

/** What a device measures and does at one moment. */
export type Moment = {
  /** The sensors' values; empty when the device says nothing. */
  readonly values: Record<string, number>
  /** How far its clock is off. */
  readonly clockOffsetMs: number
  readonly isPowered: boolean
  readonly isOnline: boolean
  /** Its program sends everything twice. */
  readonly isDuplicated: boolean
  /** Its program sends this sample behind the next one. */
  readonly isDelayed: boolean
}

export type SimulatedDevice = {
  readonly deviceId: string
  readonly kind: MachineKind
  readonly modelId: string
  readonly signals: readonly string[]
  readonly faultKinds: readonly string[]
  /** The moment `elapsedS` after the start; called with rising times. */
  read(elapsedS: number): Moment
  /** For a plant that goes on from here later. */
  state(): DeviceState
}

/** Where a device was, as JSON. */
export type DeviceState = { readonly kind: string; readonly elapsedS: number; readonly machine: MachineState }

export type PlannedMachine = { readonly deviceId: string; readonly kind: MachineKind }

/** Machines of all kinds in turn: pump-001, compressor-001, oven-001, … pump-002 … */
export function mixedMachines(count: number): PlannedMachine[] {
  return Array.from({ length: count }, (_, index) => {
    const kind = machineKindNames[index % machineKindNames.length]!
    return { kind, deviceId: `${kind}-${String(Math.floor(index / machineKindNames.length) + 1).padStart(3, '0')}` }
  })
}

export type PlantOptions = {
  readonly machines: readonly PlannedMachine[]
  readonly seed: string
  readonly faults?: readonly PlannedFault[]
  readonly meanOutdoorC?: number | undefined
  /** Where devices go on; the others begin. In between the world stood still. */
  readonly states?: ReadonlyMap<string, DeviceState>
}

export function createPlant({ machines, seed, faults = [], meanOutdoorC, states }: PlantOptions): SimulatedDevice[] {
  const surroundings = surroundingsOf(randomOf(`${seed}/surroundings`), meanOutdoorC)
  const faultsByDevice = new Map<string, PlannedFault[]>()
  for (const fault of faults) faultsByDevice.set(fault.deviceId, [...(faultsByDevice.get(fault.deviceId) ?? []), fault])
  return machines.map(({ deviceId, kind }) => {
    const machine = machineKinds[kind](randomOf(`${seed}/${deviceId}`))
    const known = states?.get(deviceId)
    const before = known?.kind === kind ? known : undefined
    Object.assign(machine.state, before?.machine)
    const beforeS = before?.elapsedS ?? 0
    return simulatedDevice({ deviceId, kind, machine, surroundings, faults: faultsByDevice.get(deviceId) ?? [], seed, beforeS })
  })
}

const clockStepMs = 3_600_000
/** A clock that gains two seconds a minute: a broken oscillator, seen within minutes. */
const clockDriftPerS = 1 / 30
const flapPeriodS = 8
const flapOfflineS = 3

type Parts = {
  readonly deviceId: string
  readonly kind: MachineKind
  readonly machine: Machine
  readonly surroundings: (elapsedS: number) => Surroundings
  readonly faults: readonly PlannedFault[]
  readonly seed: string
  /** How long it has run before. */
  readonly beforeS: number
}

function simulatedDevice({ deviceId, kind, machine, surroundings, faults, seed, beforeS }: Parts): SimulatedDevice {
  const model = deviceModel(machine.modelId)
  const physical = faults.filter((fault) => machine.faultKinds.includes(fault.kind))
  const sensorFaults = faults.flatMap((fault) => {
    if (!isSensorFault(fault.kind)) return []
    const signal = fault.signal ?? Object.keys(model?.signals ?? {})[0]!
    const random = randomOf(`${seed}/${deviceId}/${fault.kind}/${fault.onsetS}`)
    return [{ fault, signal, sensor: new SensorFault(fault.kind, model?.signals[signal], random) }]
  })
  const isOn = (fault: PlannedFault, elapsedS: number) => elapsedS >= fault.onsetS && elapsedS < fault.endS
  let lastS = 0
  return {
    deviceId,
    kind,
    modelId: machine.modelId,
    signals: Object.keys(model?.signals ?? {}),
    faultKinds: faultKindsOf(kind),
    read(elapsedS) {
      const active = physical.find((fault) => isOn(fault, elapsedS))
      const fault = active && { kind: active.kind, severity: severityAt(elapsedS - active.onsetS, active.rampS) }
      const values = machine.step(Math.max(0, elapsedS - lastS), { ...surroundings(beforeS + elapsedS), fault })
      lastS = elapsedS
      for (const { fault: planned, signal, sensor } of sensorFaults) {
        const value = values[signal]
        if (value === undefined || !isOn(planned, elapsedS)) continue
        const read = sensor.apply(value, severityAt(elapsedS - planned.onsetS, planned.rampS))
        if (read === undefined) delete values[signal]
        else values[signal] = read
      }
      const others = faults.filter((planned) => isOn(planned, elapsedS))
      const has = (wanted: string) => others.some((planned) => planned.kind === wanted)
      const drift = others.find((planned) => planned.kind === 'clock-drift')
      const flap = others.find((planned) => planned.kind === 'network-flap')
      const isPowered = !has('power-loss')
      return {
        values: isPowered ? rounded(values, model) : {},
        clockOffsetMs: (has('clock-step') ? clockStepMs : 0) + (drift ? Math.round((elapsedS - drift.onsetS) * 1000 * clockDriftPerS) : 0),
        isPowered,
        isOnline: isPowered && !(flap && (elapsedS - flap.onsetS) % flapPeriodS < flapOfflineS),
        isDuplicated: has('duplicate'),
        isDelayed: has('disorder') && Math.floor(elapsedS) % 3 === 0,
      }
    },
    state: () => ({ kind, elapsedS: beforeS + lastS, machine: machine.state }),
  }
}

/** A sensor delivers the decimals it has, not the simulator's arithmetic. */
function rounded(values: Record<string, number>, model: DeviceModel | undefined): Record<string, number> {
  return Object.fromEntries(
    Object.entries(values).map(([signal, value]) => {
      const factor = 10 ** (model?.signals[signal]?.decimals ?? 3)
      return [signal, Math.round(value * factor) / factor]
    }),
  )
}
