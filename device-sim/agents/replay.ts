/** Publishes a recording through the real protocol, at its own pace, faster, or as fast as acknowledgements allow. */
import type { DeviceCredentials } from '../device-credentials.ts'
import { MqttDevice } from '../mqtt-device.ts'
import type { PublishCounts } from '../mqtt-device.ts'
import type { Sample } from '../telemetry-stamp.ts'
import { pause } from '../pause.ts'

export type ReplayOptions = {
  readonly samples: AsyncIterable<Sample>
  readonly credentials: DeviceCredentials
  readonly modelId: string
  /** Recorded seconds a real second; Infinity sends without waiting. */
  readonly speed: number
  readonly signal: AbortSignal
  readonly onError: (error: Error) => void
}

const busyPauseMs = 5

export async function replay({
  samples,
  credentials,
  modelId,
  speed,
  signal,
  onError,
}: ReplayOptions): Promise<PublishCounts & { samples: number }> {
  const device = new MqttDevice(credentials, modelId, onError)
  let count = 0
  let start: { recordedMs: number; realMs: number } | undefined
  for await (const sample of samples) {
    if (signal.aborted) break
    start ??= { recordedMs: sample.timeMs, realMs: Date.now() }
    if (Number.isFinite(speed)) await pause(start.realMs + (sample.timeMs - start.recordedMs) / speed - Date.now(), signal)
    while (device.isBusy && !signal.aborted) await pause(busyPauseMs, signal)
    device.send(sample)
    count++
  }
  if (!signal.aborted) await Promise.race([device.drained(), aborted(signal)])
  const counts = { ...device.counts, samples: count }
  await device.close({ force: true })
  return counts
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => (signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve(), { once: true })))
}
