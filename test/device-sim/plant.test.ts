import { describe, expect, test } from 'vitest'
import { deviceModel } from '../../contract/device-model.ts'
import { newDeviceWatch, watchReading } from '../../detection/device-watch.ts'
import { createPlant } from '../../device-sim/plant.ts'
import type { PlannedFault } from '../../device-sim/plant.ts'

/** Alerts of a plant over some time, one reading a second, as `device signal condition`. */
function alertsOf(hours: number, { seed = 'plant', devices = 6, faults = [] as PlannedFault[] } = {}): string[] {
  return createPlant({ devices, seed, faults }).flatMap((machine) => {
    const watch = newDeviceWatch(machine.deviceId)
    const model = deviceModel(machine.modelId)
    const raised: string[] = []
    let seq = 0
    for (let second = 1; second <= hours * 3600; second++) {
      for (const [signal, value] of Object.entries(machine.read(second))) {
        const events = watchReading(watch, { signal, bootId: 'b', seq: ++seq, timeMs: second * 1000, value }, model, second * 1000)
        for (const event of events) if (event.kind === 'raised') raised.push(`${machine.deviceId} ${signal} ${event.condition}`)
      }
    }
    return raised
  })
}

describe('a simulated plant', () => {
  test('gives the same readings for the same seed, and others for another', () => {
    const readings = (seed: string) =>
      createPlant({ devices: 3, seed, faults: [] }).map((machine) => [1, 2, 3].map((second) => machine.read(second)))
    expect(readings('a')).toEqual(readings('a'))
    expect(readings('a')).not.toEqual(readings('b'))
  })

  test('measures what its device models name, with the decimals its sensors have', () => {
    for (const machine of createPlant({ devices: 3, seed: 's', faults: [] })) {
      const { signals } = deviceModel(machine.modelId)!
      const values = machine.read(1)
      expect(Object.keys(values).sort()).toEqual(Object.keys(signals).sort())
      for (const [signal, value] of Object.entries(values)) expect(Number(value.toFixed(signals[signal]!.decimals))).toBeCloseTo(value, 9)
    }
  })

  test('raises no alert while it is healthy', () => expect(alertsOf(8)).toEqual([]))

  const kinds = createPlant({ devices: 3, seed: 's', faults: [] }).flatMap(({ deviceId, faultKinds }) =>
    faultKinds.map((kind) => ({ deviceId, kind })),
  )
  test.each(kinds)('$kind of $deviceId is noticed on that machine, and on no other', ({ deviceId, kind }) => {
    const alerts = alertsOf(0.2, { devices: 3, faults: [{ deviceId, kind, onsetS: 120, rampS: 12, endS: 700 }] })
    expect(alerts.length).toBeGreaterThan(0)
    expect(alerts.filter((alert) => !alert.startsWith(`${deviceId} `))).toEqual([])
  })
})
