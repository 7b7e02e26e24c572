/**
 * An agent on the official device SDK (`azure-iot-device` over MQTT): reads this computer, keeps what it read on disk, and
 * publishes one message after another, so that order survives every retry.
 */
import iot from 'azure-iot-device'
import iotMqtt from 'azure-iot-device-mqtt'
import { stamp } from '../../contract/telemetry/decode.ts'
import { encodePackedBatch, packedBatchContentType } from '../../contract/telemetry/packed-batch.ts'
import { expiredReason } from '../../contract/telemetry/telemetry.ts'
import type { DeviceCredentials } from '../device-credentials.ts'
import { formatDeviceConnectionString } from '../device-credentials.ts'
import type { PublishCounts } from '../mqtt-device.ts'
import { pause } from '../pause.ts'
import type { Sample } from '../telemetry-stamp.ts'
import { OfflineBuffer } from './offline-buffer.ts'
import type { NextMessage } from './offline-buffer.ts'

export type SdkAgentOptions = {
  readonly credentials: DeviceCredentials
  readonly modelId: string
  readonly everyMs: number
  readonly read: (nowMs: number) => Promise<Record<string, number>>
  /** Folder for what is not acknowledged yet. */
  readonly directory: string
  readonly bufferBytesMax: number
  readonly bootId: string
  readonly signal: AbortSignal
  readonly onError: (error: Error) => void
  readonly onSample?: (sample: Sample) => void
}

const retryMsMin = 1_000
const retryMsMax = 60_000

/** Runs until the signal; returns what was published. */
export async function runSdkAgent(options: SdkAgentOptions): Promise<PublishCounts> {
  const { credentials, modelId, everyMs, read, directory, bufferBytesMax, bootId, signal, onError, onSample } = options
  const buffer = new OfflineBuffer({
    directory,
    bytesMax: bufferBytesMax,
    bootId,
    onTrouble: (error) => error && onError(new Error(`the buffer cannot be written: ${error.message}`, { cause: error })),
  })
  const client = iot.Client.fromConnectionString(formatDeviceConnectionString(credentials), iotMqtt.Mqtt)
  await client.setOptions({ modelId, ...(credentials.ca === undefined ? {} : { ca: credentials.ca }) })
  client.on('error', onError)
  const counts: PublishCounts = { published: 0, acknowledged: 0, dropped: 0, messages: 0, errors: 0 }
  const sampling = setInterval(() => {
    const timeMs = Date.now()
    read(timeMs)
      .then((values) => {
        if (signal.aborted) return
        counts.published += buffer.add({ timeMs, values })
        onSample?.({ timeMs, values })
      })
      .catch(onError)
  }, everyMs)
  const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
  let retryMs = retryMsMin
  while (!signal.aborted) {
    await buffer.more(signal)
    const next = buffer.next()
    if (!next || signal.aborted) continue
    try {
      // The SDK retries for minutes while the hub is away; whoever wants to stop does not wait for it.
      await Promise.race([client.sendEvent(toMessage(next, credentials.deviceId, modelId)), stopped])
      if (signal.aborted) break
      counts.messages++
      if (next.kind === 'samples') counts.acknowledged += next.readings
      else counts.dropped += next.range.count
      buffer.acknowledged(next)
      retryMs = retryMsMin
    } catch (error) {
      counts.errors++
      onError(error instanceof Error ? error : new Error(String(error)))
      await pause(retryMs * (0.5 + Math.random()), signal)
      retryMs = Math.min(retryMsMax, retryMs * 2)
    }
  }
  clearInterval(sampling)
  await buffer.close()
  // Closing a client that never connected waits for its retries.
  await Promise.race([client.close().catch(() => {}), new Promise((resolve) => setTimeout(resolve, 1_000))])
  return counts
}

function toMessage(next: NextMessage, deviceId: string, modelId: string): iot.Message {
  if (next.kind === 'expired') {
    const { bootId, seq, count } = next.range
    const block = { deviceId, bootId, modelId, fromSeq: seq, toSeq: seq + count - 1, receivedSeq: seq + count - 1, series: [], filtered: 0 }
    const bytes = encodePackedBatch({ cutAtMs: 0, blocks: [{ ...block, rejected: [{ seq, count, reason: expiredReason }] }] })
    const message = new iot.Message(Buffer.from(bytes))
    // The typings allow JSON alone; the protocol takes any type.
    ;(message as { contentType?: string }).contentType = packedBatchContentType
    return message
  }
  const rows = next.samples.map(({ timeMs, values }) => ({ time: new Date(timeMs).toISOString(), ...values }))
  const message = new iot.Message(JSON.stringify(rows.length === 1 ? rows[0] : rows))
  message.contentType = 'application/json'
  message.contentEncoding = 'utf-8'
  const stamps = {
    [stamp.bootId]: next.bootId,
    [stamp.seq]: String(next.firstSeq),
    [stamp.count]: String(next.readings),
    [stamp.model]: modelId,
  }
  for (const [name, value] of Object.entries(stamps)) if (value !== '') message.properties.add(name, value)
  return message
}
