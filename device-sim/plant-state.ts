/** Where the machines of a plant were when it was left: the next run goes on from there, as if the world had stood still. */
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { writeWhole } from '../journal/durable-file.ts'
import type { DeviceState, SimulatedDevice } from './plant.ts'

const Stored = z.object({
  seed: z.string(),
  devices: z.record(
    z.string(),
    z.object({ kind: z.string(), elapsedS: z.number(), machine: z.record(z.string(), z.union([z.number(), z.boolean()])) }),
  ),
})

/** @returns none where there is no file, or that of another seed, whose machines are others */
export function readPlantState(file: string, seed: string): Map<string, DeviceState> {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map()
    throw error
  }
  const stored = Stored.parse(JSON.parse(text))
  return stored.seed === seed ? new Map(Object.entries(stored.devices)) : new Map()
}

export function writePlantState(file: string, seed: string, plant: readonly SimulatedDevice[]): void {
  const devices = Object.fromEntries(plant.map((device) => [device.deviceId, device.state()]))
  writeWhole(file, JSON.stringify({ seed, devices }))
}
