import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { deviceModel } from '../../contract/device-model.ts'
import { watchReading } from '../../detection/device-watch.ts'
import { newDeviceWatch } from '../../detection/watch-state.ts'
import type { DeviceWatch } from '../../detection/watch-state.ts'
import { physicalFaultKinds, randomFaults, sensorFaultKinds } from '../../device-sim/faults/fault.ts'
import type { PlannedFault } from '../../device-sim/faults/fault.ts'
import { FleetFile, machinesOf } from '../../device-sim/fleet-file.ts'
import { machineKindNames } from '../../device-sim/machine-kinds.ts'
import { createPlant, mixedMachines } from '../../device-sim/plant.ts'
import type { DeviceState, Moment, SimulatedDevice } from '../../device-sim/plant.ts'
import { readPlantState, writePlantState } from '../../device-sim/plant-state.ts'

const folder = mkdtempSync(join(tmpdir(), 'plant-'))
const file = join(folder, 'plant.json')
afterAll(() => rmSync(folder, { recursive: true }))

type Watcher = (machine: SimulatedDevice, bootId: string, seconds: { first: number; last: number; later: number }) => string[]

/** Watches one device after another, one reading a second: the alerts raised, as `device signal condition`. */
function newWatcher(): Watcher {
  const watches = new Map<string, DeviceWatch>()
  let seq = 0
  return (machine, bootId, { first, last, later }) => {
    const watch = watches.get(machine.deviceId) ?? newDeviceWatch(machine.deviceId)
    watches.set(machine.deviceId, watch)
    const model = deviceModel(machine.modelId)
    const raised: string[] = []
    for (let second = first; second <= last; second++) {
      const timeMs = (second + later) * 1000
      for (const [signal, value] of Object.entries(machine.read(second).values)) {
        const events = watchReading(watch, { signal, bootId, seq: ++seq, timeMs, value }, model, timeMs)
        for (const event of events) if (event.kind === 'raised') raised.push(`${machine.deviceId} ${signal} ${event.condition}`)
      }
    }
    return raised
  }
}

function alertsOf(hours: number, { machines = mixedMachines(16), faults = [] as PlannedFault[] } = {}): string[] {
  const watch = newWatcher()
  return createPlant({ machines, seed: 'plant', faults }).flatMap((machine) =>
    watch(machine, 'b', { first: 1, last: hours * 3_600, later: 0 }),
  )
}

const pump = (faults: readonly Omit<PlannedFault, 'deviceId'>[] = []): SimulatedDevice =>
  createPlant({
    machines: [{ deviceId: 'p', kind: 'pump' }],
    seed: 's',
    faults: faults.map((fault) => ({ deviceId: 'p', ...fault })),
  })[0]!
/** Moments of a pump, one a second, with and without a fault from 10 to 20 s. */
function beside(kind: string, signal?: string): { faulty: Moment[]; healthy: Moment[] } {
  const run = (machine: SimulatedDevice) => Array.from({ length: 30 }, (_, second) => machine.read(second + 1))
  return { faulty: run(pump([{ kind, ...(signal ? { signal } : {}), onsetS: 10, rampS: 5, endS: 20 }])), healthy: run(pump()) }
}

describe('a simulated plant', () => {
  test('gives the same readings for the same seed, to the byte, and others for another', () => {
    const readings = (seed: string) =>
      JSON.stringify(createPlant({ machines: mixedMachines(8), seed }).map((machine) => [1, 2, 3].map((second) => machine.read(second))))
    expect(readings('a')).toBe(readings('a'))
    expect(readings('a')).not.toBe(readings('b'))
  })

  test('that is left and goes on from where it was looks like one that rested, not like one that fails', () => {
    const machines = mixedMachines(16)
    const [hour, rest, quarter] = [3_600, 20, 900]
    const alertsAfter = (states: (plant: readonly SimulatedDevice[]) => ReadonlyMap<string, DeviceState>) => {
      const watch = newWatcher()
      const first = createPlant({ machines, seed: 'plant' })
      const before = first.flatMap((machine) => watch(machine, 'one', { first: 1, last: hour, later: 0 }))
      const second = createPlant({ machines, seed: 'plant', states: states(first) })
      const after = second.flatMap((machine) => watch(machine, 'two', { first: 1, last: quarter, later: hour + rest }))
      return { before, after }
    }
    const kept = alertsAfter((plant) => {
      writePlantState(file, 'plant', plant)
      return readPlantState(file, 'plant')
    })
    expect(kept).toEqual({ before: [], after: [] })
    // A world that jumps is what the detectors are for.
    expect(alertsAfter(() => readPlantState(file, 'another')).after).not.toEqual([])
  })

  test('measures what its device models name, with the decimals its sensors have', () => {
    for (const machine of createPlant({ machines: mixedMachines(8), seed: 's' })) {
      const { signals } = deviceModel(machine.modelId)!
      const { values } = machine.read(1)
      expect(Object.keys(values).sort()).toEqual(Object.keys(signals).sort())
      for (const [signal, value] of Object.entries(values)) expect(Number(value.toFixed(signals[signal]!.decimals))).toBeCloseTo(value, 9)
    }
  })

  test('lives through days and nights without leaving what a machine can do, however seldom it is read', () => {
    for (const stepS of [1, 60, 600]) {
      for (const machine of createPlant({ machines: mixedMachines(8), seed: 'long' })) {
        const model = deviceModel(machine.modelId)!
        for (let second = stepS; second <= (stepS === 1 ? 3_600 : 3 * 86_400); second += stepS) {
          for (const [signal, value] of Object.entries(machine.read(second).values)) {
            const crossed = model.alarms.find(
              (alarm) =>
                alarm.condition !== 'unusual' &&
                alarm.signal === signal &&
                (alarm.direction === 'above' ? value > alarm.limit : value < alarm.limit),
            )
            if (crossed) expect.fail(`${machine.deviceId} ${signal} = ${value} after ${second} s in steps of ${stepS} s`)
          }
        }
      }
    }
  })

  test('raises no alert while it is healthy', () => expect(alertsOf(4)).toEqual([]))

  // Heat creeps: what no jump betrays is found at the latest when it passes its limit.
  const kinds = machineKindNames.flatMap((machine) => physicalFaultKinds(machine).map((kind) => [machine, kind] as const))
  test.each(kinds)('of a %s, %s is noticed within two hours', (machine, kind) => {
    const machines = [{ kind: machine, deviceId: 'm' }]
    expect(alertsOf(2.5, { machines, faults: [{ deviceId: 'm', kind, onsetS: 1_800, rampS: 12, endS: 9_000 }] })).not.toEqual([])
  })
})

describe('a sensor fault', () => {
  test.each(sensorFaultKinds)('%s changes its own signal while it lasts, and nothing else', (kind) => {
    const { faulty, healthy } = beside(kind, 'vibrationMmPerS')
    const differs = (second: number, signal: string) => faulty[second]!.values[signal] !== healthy[second]!.values[signal]
    const seconds = faulty.flatMap((_, second) => (differs(second, 'vibrationMmPerS') ? [second + 1] : []))
    expect(seconds.length).toBeGreaterThan(0)
    expect(Math.min(...seconds)).toBeGreaterThanOrEqual(10)
    expect(Math.max(...seconds)).toBeLessThan(20)
    for (const signal of Object.keys(healthy[0]!.values))
      if (signal !== 'vibrationMmPerS') expect(faulty.some((_, second) => differs(second, signal))).toBe(false)
  })

  test('stuck repeats, dropout says nothing, a slipped unit is another unit', () => {
    const during = (kind: string, signal: string) =>
      beside(kind, signal)
        .faulty.slice(9, 19)
        .map(({ values }) => values[signal])
    expect(new Set(during('stuck', 'flowM3PerH')).size).toBe(1)
    expect(new Set(during('dropout', 'flowM3PerH'))).toEqual(new Set([undefined]))
    const { faulty, healthy } = beside('unit-slip', 'bearingTemperatureC')
    expect(faulty[12]!.values.bearingTemperatureC).toBeCloseTo(healthy[12]!.values.bearingTemperatureC! * 1.8 + 32, 0)
  })
})

describe('a fault of the clock or the way', () => {
  test('steps and drifts the clock', () => {
    expect(beside('clock-step').faulty[12]!.clockOffsetMs).toBe(3_600_000)
    const drift = beside('clock-drift').faulty.map(({ clockOffsetMs }) => clockOffsetMs)
    expect(drift[18]!).toBeGreaterThan(drift[12]!)
    expect(drift[25]).toBe(0)
  })

  test('duplicates, disorders, flaps, and cuts the power', () => {
    const during = (kind: string) => beside(kind).faulty.slice(9, 19)
    expect(during('duplicate').every(({ isDuplicated }) => isDuplicated)).toBe(true)
    expect(during('disorder').some(({ isDelayed }) => isDelayed)).toBe(true)
    const flapping = during('network-flap').map(({ isOnline }) => isOnline)
    expect(new Set(flapping)).toEqual(new Set([true, false]))
    expect(during('power-loss').every(({ isPowered, values }) => !isPowered && Object.keys(values).length === 0)).toBe(true)
    expect(beside('power-loss').faulty[25]!.isPowered).toBe(true)
  })
})

describe('faults by chance', () => {
  const devices = createPlant({ machines: mixedMachines(80), seed: 's' })
  const faults = randomFaults(devices, { perDay: 4, untilS: 86_400, seed: 's' })

  test('are as many as asked for, the same for the same seed, and never two at once on one machine', () => {
    expect(faults.length).toBeGreaterThan(220)
    expect(faults.length).toBeLessThan(420)
    expect(randomFaults(devices, { perDay: 4, untilS: 86_400, seed: 's' })).toEqual(faults)
    for (const { deviceId } of devices) {
      const own = faults.filter((fault) => fault.deviceId === deviceId)
      for (const [index, fault] of own.entries()) if (index > 0) expect(fault.onsetS).toBeGreaterThanOrEqual(own[index - 1]!.endS)
    }
  })
})

describe('a fleet file', () => {
  test('names its machines by group', () => {
    const file = FleetFile.parse({
      machines: [
        { kind: 'pump', count: 2, prefix: 'north' },
        { kind: 'tank', ratePerS: 0.1 },
      ],
    })
    expect(machinesOf(file).map(({ deviceId, ratePerS }) => [deviceId, ratePerS])).toEqual([
      ['north-001', undefined],
      ['north-002', undefined],
      ['tank-001', 0.1],
    ])
  })

  test('that gives a name twice, or knows no such kind, is refused', () => {
    const twice = FleetFile.parse({ machines: [{ kind: 'pump' }, { kind: 'pump' }] })
    expect(() => machinesOf(twice)).toThrow(/'pump-001' stands in it twice/)
    expect(FleetFile.safeParse({ machines: [{ kind: 'toaster' }] }).success).toBe(false)
  })
})
