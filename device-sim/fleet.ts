/** Runs a plant against a hub or a gateway in real time: every machine a device with a connection of its own. */
import type { DeviceCredentials } from './device-credentials.ts'
import { MqttDevice } from './mqtt-device.ts'
import type { PublishCounts } from './mqtt-device.ts'
import type { SimulatedDevice } from './plant.ts'
import type { Sample } from './telemetry-stamp.ts'

export type FleetOptions = {
  readonly plant: readonly SimulatedDevice[]
  readonly credentialsOf: (deviceId: string) => DeviceCredentials
  /** Readings of each device a second. */
  readonly ratePerSOf: (deviceId: string) => number
  /** Over this time the devices connect, one after another. */
  readonly rampMs: number
  /** How far a sampling period may be off, as a part of it; real machines keep no exact beat. */
  readonly jitter: number
  /** Ends the fleet; what is under way is still acknowledged. */
  readonly signal: AbortSignal
  readonly onError: (error: Error) => void
  /** Told of every sample that is published. */
  readonly onSample?: ((deviceId: string, sample: Sample) => void) | undefined
}

export type FleetProgress = PublishCounts & { readonly devices: number; readonly connected: number; readonly unacknowledged: number }

/** How long the end waits for acknowledgements; less when somebody wants to be gone. */
const drainMs = { ended: 10_000, stopped: 1_000 } as const
/** Connections closed at once. */
const closingMax = 200

type Member = {
  readonly machine: SimulatedDevice
  device: MqttDevice | undefined
  /** What devices that lost their power had counted. */
  readonly before: PublishCounts
  /** A sample that its program sends behind the next one. */
  delayed: Sample | undefined
  timer: NodeJS.Timeout | undefined
}

const noCounts = (): PublishCounts => ({ published: 0, acknowledged: 0, dropped: 0, messages: 0, errors: 0 })

export class Fleet {
  readonly #options: FleetOptions
  readonly #members: readonly Member[]
  readonly startedMs = Date.now()

  constructor(options: FleetOptions) {
    this.#options = options
    const { plant, rampMs } = options
    this.#members = plant.map(
      (machine): Member => ({ machine, device: undefined, before: noCounts(), delayed: undefined, timer: undefined }),
    )
    this.#members.forEach((member, index) => {
      const connectInMs = (rampMs * index) / plant.length
      member.timer = setTimeout(() => this.#begin(member), connectInMs)
    })
  }

  #begin(member: Member): void {
    const { ratePerSOf, jitter, signal } = this.#options
    const periodMs = 1000 / ratePerSOf(member.machine.deviceId)
    // Phases spread over the period: real machines do not sample in step.
    let dueMs = Date.now() + Math.random() * periodMs
    member.device = this.#newDevice(member)
    const tick = () => {
      if (signal.aborted) return
      const nowMs = Date.now()
      this.#sample(member, nowMs)
      // A computer that slept does not catch up on the readings it missed.
      dueMs = Math.max(dueMs + periodMs * (1 + jitter * (2 * Math.random() - 1)), nowMs)
      member.timer = setTimeout(tick, dueMs - Date.now())
    }
    member.timer = setTimeout(tick, Math.max(0, dueMs - Date.now()))
  }

  #newDevice({ machine }: Member): MqttDevice {
    const { credentialsOf, onError } = this.#options
    return new MqttDevice(credentialsOf(machine.deviceId), machine.modelId, onError)
  }

  #sample(member: Member, nowMs: number): void {
    const { deviceId } = member.machine
    const { values, clockOffsetMs, isPowered, isOnline, isDuplicated, isDelayed } = member.machine.read((nowMs - this.startedMs) / 1000)
    if (!isPowered) return this.#powerOff(member)
    // With power back, its program starts anew: another boot.
    const device = (member.device ??= this.#newDevice(member))
    device.setOnline(isOnline)
    if (Object.keys(values).length === 0) return
    const sample = { timeMs: nowMs + clockOffsetMs, values }
    const { delayed } = member
    member.delayed = isDelayed ? sample : undefined
    for (const next of [isDelayed ? undefined : sample, delayed]) {
      if (!next) continue
      device.send(next, isDuplicated)
      this.#options.onSample?.(deviceId, next)
    }
  }

  #powerOff(member: Member): void {
    const { device } = member
    if (!device) return
    for (const key of Object.keys(member.before) as (keyof PublishCounts)[]) member.before[key] += device.counts[key]
    member.device = undefined
    member.delayed = undefined
    device.setOnline(false)
    void device.close({ force: true })
  }

  progress(): FleetProgress {
    const total = noCounts()
    let connected = 0
    for (const { device, before } of this.#members) {
      if (device?.isConnected) connected++
      for (const key of Object.keys(total) as (keyof PublishCounts)[]) total[key] += before[key] + (device?.counts[key] ?? 0)
    }
    return { ...total, devices: this.#members.length, connected, unacknowledged: total.published - total.acknowledged }
  }

  /** Stops sampling, waits for acknowledgements within bounds, and closes the connections. */
  async stop(): Promise<FleetProgress> {
    for (const { timer } of this.#members) clearTimeout(timer)
    const devices = this.#members.flatMap(({ device }) => device ?? [])
    // What a device kept while its network was down is to be sent, too.
    for (const device of devices) device.setOnline(true)
    let timeout: NodeJS.Timeout | undefined
    const drained = Promise.all(devices.map((device) => device.drained()))
    await Promise.race([
      drained,
      new Promise((resolve) => (timeout = setTimeout(resolve, this.#options.signal.aborted ? drainMs.stopped : drainMs.ended))),
    ])
    clearTimeout(timeout)
    const progress = this.progress()
    for (let start = 0; start < devices.length; start += closingMax)
      await Promise.all(devices.slice(start, start + closingMax).map((device) => device.close({ force: true })))
    return progress
  }
}
