/** Runs a plant against a hub or a gateway in real time: every machine a device with a connection of its own. */
import type { DeviceCredentials } from './device-credentials.ts'
import { MqttDevice } from './mqtt-device.ts'
import type { PublishCounts } from './mqtt-device.ts'
import type { SimulatedDevice } from './plant.ts'

export type FleetOptions = {
  readonly plant: readonly SimulatedDevice[]
  readonly credentialsOf: (deviceId: string) => DeviceCredentials
  /** Readings of each device a second. */
  readonly ratePerS: number
  /** Ends the fleet; what is under way is still acknowledged. */
  readonly signal: AbortSignal
  readonly onError: (error: Error) => void
}

export type FleetProgress = PublishCounts & { readonly devices: number; readonly connected: number; readonly unacknowledged: number }

/** How long the end waits for acknowledgements; less when somebody wants to be gone. */
const drainMs = { ended: 10_000, stopped: 1_000 } as const

export class Fleet {
  readonly #members: { readonly machine: SimulatedDevice; readonly device: MqttDevice; timer: NodeJS.Timeout | undefined }[]
  readonly #signal: AbortSignal
  readonly startedMs = Date.now()

  constructor({ plant, credentialsOf, ratePerS, signal, onError }: FleetOptions) {
    this.#signal = signal
    const periodMs = 1000 / ratePerS
    this.#members = plant.map((machine, index) => {
      const member = {
        machine,
        device: new MqttDevice(credentialsOf(machine.deviceId), machine.modelId, onError),
        timer: undefined as NodeJS.Timeout | undefined,
      }
      // Phases spread over the period: real machines do not sample in step.
      let dueMs = this.startedMs + (periodMs * index) / plant.length
      const tick = () => {
        if (signal.aborted) return
        const nowMs = Date.now()
        member.device.send({ timeMs: nowMs, values: machine.read((nowMs - this.startedMs) / 1000) })
        // A computer that slept does not catch up on the readings it missed.
        dueMs = Math.max(dueMs + periodMs, nowMs)
        member.timer = setTimeout(tick, dueMs - Date.now())
      }
      member.timer = setTimeout(tick, Math.max(0, dueMs - Date.now()))
      return member
    })
  }

  progress(): FleetProgress {
    const total: PublishCounts = { published: 0, acknowledged: 0, dropped: 0, messages: 0, errors: 0 }
    for (const { device } of this.#members)
      for (const key of Object.keys(total) as (keyof PublishCounts)[]) total[key] += device.counts[key]
    return {
      ...total,
      devices: this.#members.length,
      connected: this.#members.filter(({ device }) => device.isConnected).length,
      unacknowledged: total.published - total.acknowledged,
    }
  }

  /** Stops sampling, waits for acknowledgements within bounds, and closes the connections. */
  async stop(): Promise<FleetProgress> {
    for (const { timer } of this.#members) clearTimeout(timer)
    let timeout: NodeJS.Timeout | undefined
    const drained = Promise.all(this.#members.map(({ device }) => device.drained()))
    await Promise.race([
      drained,
      new Promise((resolve) => (timeout = setTimeout(resolve, this.#signal.aborted ? drainMs.stopped : drainMs.ended))),
    ])
    clearTimeout(timeout)
    const progress = this.progress()
    await Promise.all(this.#members.map(({ device }) => device.close({ force: true })))
    return progress
  }
}
