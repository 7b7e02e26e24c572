import type { DetectedEvent } from '../../contract/alert.ts'
import { deviceModel } from '../../contract/device-model.ts'
import { watchReading } from '../../detection/device-watch.ts'
import { newDeviceWatch } from '../../detection/watch-state.ts'
import type { DeviceWatch } from '../../detection/watch-state.ts'
import type { PlannedFault } from '../../device-sim/faults/fault.ts'
import { createPlant } from '../../device-sim/plant.ts'

const pump = deviceModel('dtmi:millwright:CentrifugalPump;1')
const startMs = 1_700_000_000_000

/** A simulated pump that was read once a second, and what its watch said of it; times of events are seconds after the start. */
export function watchedPump(
  faults: readonly PlannedFault[],
  seconds: number,
  seed = 'watch',
): { watch: DeviceWatch; events: DetectedEvent[]; told: { second: number; kind: string; signal: string | undefined }[] } {
  const [device] = createPlant({ machines: [{ deviceId: 'pump-1', kind: 'pump' }], seed, faults })
  const watch = newDeviceWatch('pump-1')
  const events: DetectedEvent[] = []
  let seq = 0
  for (let second = 1; second <= seconds; second++)
    for (const [signal, value] of Object.entries(device!.read(second).values)) {
      const timeMs = startMs + second * 1000
      events.push(...watchReading(watch, { signal, bootId: 'b', seq: ++seq, timeMs, value }, pump, timeMs))
    }
  const told = events.map((event) => ({
    second: (event.atMs - startMs) / 1000,
    kind: event.kind,
    signal: event.kind === 'raised' ? event.signal : undefined,
  }))
  return { watch, events, told }
}
