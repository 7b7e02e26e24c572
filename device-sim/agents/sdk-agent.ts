/**
 * An agent on the official device SDK (`azure-iot-device` over MQTT): reads this computer and publishes, one message
 * after another, so that order survives every retry.
 */
import iot from 'azure-iot-device'
import iotMqtt from 'azure-iot-device-mqtt'
import type { DeviceCredentials } from '../device-credentials.ts'
import { formatDeviceConnectionString } from '../device-credentials.ts'
import { TelemetryStamp } from '../telemetry-stamp.ts'
import type { Sample, StampedMessage } from '../telemetry-stamp.ts'
import type { PublishCounts } from '../mqtt-device.ts'
import { pause } from '../pause.ts'

export type SdkAgentOptions = {
  readonly credentials: DeviceCredentials
  readonly modelId: string
  readonly everyMs: number
  readonly read: (nowMs: number) => Promise<Record<string, number>>
  readonly signal: AbortSignal
  readonly onError: (error: Error) => void
}

/** Samples that wait while the connection is away: an hour at one every two seconds. The oldest give way. */
const waitingMax = 1_800
const retryMs = 2_000

/** Runs until the signal; returns what was published. */
export async function runSdkAgent({ credentials, modelId, everyMs, read, signal, onError }: SdkAgentOptions): Promise<PublishCounts> {
  const client = iot.Client.fromConnectionString(formatDeviceConnectionString(credentials), iotMqtt.Mqtt)
  await client.setOptions({ modelId, ...(credentials.ca === undefined ? {} : { ca: credentials.ca }) })
  client.on('error', onError)
  const counts: PublishCounts = { published: 0, acknowledged: 0, dropped: 0, messages: 0, errors: 0 }
  const stamp = new TelemetryStamp(modelId)
  const waiting: Sample[] = []
  const sampling = setInterval(() => {
    const timeMs = Date.now()
    read(timeMs).then((values) => {
      const count = Object.keys(values).length
      if (count === 0) return
      waiting.push({ timeMs, values })
      if (waiting.length > waitingMax) counts.dropped += Object.keys(waiting.shift()!.values).length
    }, onError)
  }, everyMs)
  const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
  let pending: StampedMessage | undefined
  while (!signal.aborted) {
    const next = pending ?? (waiting.length > 0 ? stamp.message(waiting.splice(0, 60)) : undefined)
    if (!next) {
      await pause(Math.min(everyMs, 250), signal)
      continue
    }
    if (!pending) {
      counts.published += next.readings
      counts.messages++
    }
    // Kept until it is acknowledged: a message sent again has the same seqs, and is counted once.
    pending = next
    try {
      // The SDK retries for minutes while the hub is away; whoever wants to stop does not wait for it.
      await Promise.race([client.sendEvent(toMessage(next)), stopped])
      if (signal.aborted) break
      counts.acknowledged += next.readings
      pending = undefined
    } catch (error) {
      counts.errors++
      onError(error instanceof Error ? error : new Error(String(error)))
      await pause(retryMs, signal)
    }
  }
  clearInterval(sampling)
  // Closing a client that never connected waits for its retries.
  await Promise.race([client.close().catch(() => {}), new Promise((resolve) => setTimeout(resolve, 1_000))])
  return counts
}

function toMessage({ body, properties }: StampedMessage): iot.Message {
  const message = new iot.Message(body)
  message.contentType = 'application/json'
  message.contentEncoding = 'utf-8'
  for (const [name, value] of Object.entries(properties)) message.properties.add(name, value)
  return message
}
