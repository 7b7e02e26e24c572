/** A day of a plant on one virtual clock: the cores of device, edge, hub, hot path and alerting joined, as `test/simulation` has them. */
import { randomFaults } from '../../device-sim/faults/fault.ts'
import { createPlant, mixedMachines } from '../../device-sim/plant.ts'
import { simulatePlantDay } from '../../test/simulation/plant-day.ts'
import { printRow } from '../measure.ts'

export function measurePlantDay(): void {
  const machines = mixedMachines(200)
  const seed = 'plant-day'
  const faults = randomFaults(createPlant({ machines, seed }), { perDay: 1, untilS: 86_400, seed })
  const before = process.cpuUsage()
  const { readings } = simulatePlantDay({ machines, seed, faults, hours: 24, stepS: 60 })
  const { user, system } = process.cpuUsage(before)
  printRow('24 h of 200 devices, a reading a minute', `${((user + system) / 1e6).toFixed(0)} s of one core (${readings} readings)`)
}
