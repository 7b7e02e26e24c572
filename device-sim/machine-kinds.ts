/** The kinds of machine a plant can have, in the order in which a plant without a plan of its own gets them. */
import { centrifugalPump } from './machines/centrifugal-pump.ts'
import { coldStore } from './machines/cold-store.ts'
import { deliveryVehicle } from './machines/delivery-vehicle.ts'
import { gearedMotor } from './machines/geared-motor.ts'
import { industrialOven } from './machines/industrial-oven.ts'
import type { MachineFactory } from './machines/machine.ts'
import { machiningSpindle } from './machines/machining-spindle.ts'
import { reciprocatingCompressor } from './machines/reciprocating-compressor.ts'
import { storageTank } from './machines/storage-tank.ts'

export const machineKinds = {
  pump: centrifugalPump,
  compressor: reciprocatingCompressor,
  oven: industrialOven,
  motor: gearedMotor,
  coldstore: coldStore,
  spindle: machiningSpindle,
  tank: storageTank,
  vehicle: deliveryVehicle,
} as const satisfies Record<string, MachineFactory>

export type MachineKind = keyof typeof machineKinds
export const machineKindNames = Object.keys(machineKinds) as [MachineKind, ...MachineKind[]]
