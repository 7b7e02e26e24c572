import type { DetectedEvent } from '../../contract/alert.ts'
import { deviceModel } from '../../contract/device-model.ts'
import { watchReading } from '../../detection/device-watch.ts'
import { newDeviceWatch } from '../../detection/watch-state.ts'
import { createPlant } from '../../device-sim/plant.ts'
import type { PlannedMachine } from '../../device-sim/plant.ts'

/** What is told of a healthy simulated machine that is read every so many seconds, except when `isAway`. */
export function eventsOfMachine(
  machine: PlannedMachine,
  {
    seed,
    seconds,
    everyS = 1,
    isAway = () => false,
  }: { seed: string; seconds: number; everyS?: number; isAway?: (second: number) => boolean },
): DetectedEvent[] {
  const [device] = createPlant({ machines: [machine], seed })
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
