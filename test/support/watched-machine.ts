import type { DetectedEvent } from '../../contract/alert.ts'
import { deviceModel } from '../../contract/device-model.ts'
import { watchReading } from '../../detection/device-watch.ts'
import { newDeviceWatch } from '../../detection/watch-state.ts'
import type { PlannedFault } from '../../device-sim/faults/fault.ts'
import { createPlant } from '../../device-sim/plant.ts'
import type { PlannedMachine } from '../../device-sim/plant.ts'

/** What is told of a simulated machine that is read every so many seconds, except when `isAway`; a healthy one without faults. */
export function eventsOfMachine(
  machine: PlannedMachine,
  {
    seed,
    seconds,
    everyS = 1,
    faults = [],
    isAway = () => false,
  }: { seed: string; seconds: number; everyS?: number; faults?: readonly PlannedFault[]; isAway?: (second: number) => boolean },
): DetectedEvent[] {
  const [device] = createPlant({ machines: [machine], seed, faults })
  const watch = newDeviceWatch(machine.deviceId)
  const model = deviceModel(device!.modelId)
  const events: DetectedEvent[] = []
  let seq = 0
  for (let second = everyS; second <= seconds; second += everyS) {
    const { values } = device!.read(second)
    if (isAway(second)) continue
    const timeMs = Date.UTC(2026, 0, 5) + second * 1000
    for (const signal in values)
      events.push(...watchReading(watch, { signal, bootId: 'b', seq: ++seq, timeMs, value: values[signal]! }, model, timeMs))
  }
  return events
}
