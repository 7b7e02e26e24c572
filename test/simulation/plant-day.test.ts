import { describe, expect, test } from 'vitest'
import { randomFaults } from '../../device-sim/faults/fault.ts'
import { createPlant, mixedMachines } from '../../device-sim/plant.ts'
import { asDeployed } from '../../bench/as-deployed.ts'
import type * as PlantDay from './plant-day.ts'

// In one bundle, as all of it is deployed.
const { simulatePlantDay } = await asDeployed<typeof PlantDay>('../test/simulation/plant-day.ts')

const machines = mixedMachines(200)
const seed = 'plant-day'
const faults = randomFaults(createPlant({ machines, seed }), { perDay: 1, untilS: 86_400, seed })
const day = { machines, seed, faults, hours: 24, stepS: 60 }

describe('a plant day: 200 devices, a reading a minute, through edge, hub, hot path and alerting', () => {
  test('is over within a minute, accounts for every reading, and gives the same alerts again', { timeout: 240_000 }, () => {
    // Its own time: the other tests run on the same cores.
    const before = process.cpuUsage()
    const first = simulatePlantDay(day)
    const { user, system } = process.cpuUsage(before)
    expect(user + system).toBeLessThan(60_000_000)
    expect(first.ledger).toMatchObject({ published: first.readings, unexplained: 0, deadLettered: 0, duplicates: 0 })
    expect(first.ledger.filtered).toBeGreaterThan(0)
    expect(first.alerts.length).toBeGreaterThan(10)
    // Of each machine and signal, one episode after the other.
    const open = new Set<string>()
    for (const event of first.events) {
      if (event.kind === 'raised') open.add(event.alertId)
      else expect(open.has(event.alertId)).toBe(true)
    }
    const again = simulatePlantDay(day)
    expect(again.hash).toBe(first.hash)
    expect(simulatePlantDay({ ...day, hours: 2, seed: 'another' }).hash).not.toBe(first.hash)
  })

  test('without faults is quiet: at most one false alert in twenty machine-days, those of learning included', { timeout: 60_000 }, () => {
    const hours = 6
    expect(simulatePlantDay({ ...day, faults: [], hours }).alerts.length).toBeLessThanOrEqual((0.05 * machines.length * hours) / 24)
  })
})
