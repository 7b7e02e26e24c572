/** Publishes a recording through the real protocol, at its own pace, faster, or as fast as acknowledgements allow. */
import type { DeviceCredentials } from '../device-credentials.ts'
import { MqttDevice } from '../mqtt-device.ts'
import type { PublishCounts } from '../mqtt-device.ts'
import { pause } from '../pause.ts'
import type { RecordedSample } from './recording.ts'

export type ReplayOptions = {
  readonly samples: AsyncIterable<RecordedSample>
  /** Whose samples are that name no device. */
  readonly deviceId: string
  readonly credentialsOf: (deviceId: string) => Promise<DeviceCredentials>
  /** For samples that name no model. */
  readonly modelId: string
  /** Recorded seconds a real second; Infinity sends without waiting. */
  readonly speed: number
  readonly signal: AbortSignal
  readonly onError: (error: Error) => void
}

const busyPauseMs = 5

export type ReplayCounts = PublishCounts & { readonly samples: number; readonly devices: number }

export async function replay(options: ReplayOptions): Promise<ReplayCounts> {
  const { samples, deviceId, credentialsOf, modelId, speed, signal, onError } = options
  const devices = new Map<string, MqttDevice>()
  let count = 0
  let start: { recordedMs: number; realMs: number } | undefined
  for await (const sample of samples) {
    if (signal.aborted) break
    const name = sample.deviceId ?? deviceId
    let device = devices.get(name)
    if (!device) devices.set(name, (device = new MqttDevice(await credentialsOf(name), sample.modelId ?? modelId, onError)))
    start ??= { recordedMs: sample.timeMs, realMs: Date.now() }
    if (Number.isFinite(speed)) await pause(start.realMs + (sample.timeMs - start.recordedMs) / speed - Date.now(), signal)
    while (device.isBusy && !signal.aborted) await pause(busyPauseMs, signal)
    device.send(sample)
    count++
  }
  const all = [...devices.values()]
  if (!signal.aborted) await Promise.race([Promise.all(all.map((device) => device.drained())), aborted(signal)])
  const total = { published: 0, acknowledged: 0, dropped: 0, messages: 0, errors: 0 }
  for (const { counts } of all) for (const key of Object.keys(total) as (keyof PublishCounts)[]) total[key] += counts[key]
  await Promise.all(all.map((device) => device.close({ force: true })))
  return { ...total, samples: count, devices: devices.size }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => (signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve(), { once: true })))
}
