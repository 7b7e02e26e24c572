/** What detection makes of a simulated plant, reading by reading. */
import { deviceModel } from '../../contract/device-model.ts'
import { watchReading, watchSilence } from '../../detection/device-watch.ts'
import { newDeviceWatch } from '../../detection/watch-state.ts'
import type { PlannedFault } from '../../device-sim/faults/fault.ts'
import { createPlant } from '../../device-sim/plant.ts'
import type { PlannedMachine } from '../../device-sim/plant.ts'

const startMs = 1_700_000_000_000

/** Of one alert, in seconds from the start. */
export type Episode = {
  readonly deviceId: string
  readonly signal: string
  readonly detector: string
  readonly fromS: number
  toS: number
}

type Run = {
  readonly machines: readonly PlannedMachine[]
  readonly seed: string
  readonly untilS: number
  readonly faults?: readonly PlannedFault[]
  readonly everyS?: number
}

export function episodesOf({ machines, seed, untilS, faults = [], everyS = 1 }: Run): Episode[] {
  const episodes: Episode[] = []
  for (const machine of createPlant({ machines, seed, faults })) {
    const { deviceId } = machine
    const watch = newDeviceWatch(deviceId)
    const model = deviceModel(machine.modelId)
    const open = new Map<string, Episode>()
    let seq = 0
    for (let second = everyS; second <= untilS; second += everyS) {
      const timeMs = startMs + second * 1000
      const note = (events: ReturnType<typeof watchReading>) => {
        for (const event of events) {
          if (event.kind === 'raised') {
            const episode = { deviceId, signal: event.signal, detector: event.evidence.detector, fromS: second, toS: untilS }
            open.set(event.alertId, episode)
            episodes.push(episode)
          } else if (event.kind === 'returned') open.get(event.alertId)!.toS = second
        }
      }
      const { values } = machine.read(second)
      for (const signal in values)
        note(watchReading(watch, { signal, bootId: 'b', seq: ++seq, timeMs, value: values[signal]! }, model, timeMs))
      if (seq > 0) note(watchSilence(watch, timeMs, model, timeMs))
    }
  }
  return episodes
}
