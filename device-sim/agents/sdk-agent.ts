/**
 * An agent on the official device SDK (`azure-iot-device` over MQTT): reads this computer, keeps what it read on disk, and
 * publishes one message after another, so that order survives every retry.
 */
import { join } from 'node:path'
import iot from 'azure-iot-device'
import { z } from 'zod'
import type { Acknowledgement } from '../../contract/acknowledgement.ts'
import { stamp } from '../../contract/telemetry/decode.ts'
import { encodePackedBatch, packedBatchContentType } from '../../contract/telemetry/packed-batch.ts'
import { expiredReason } from '../../contract/telemetry/telemetry.ts'
import { FolderLock } from '../../journal/folder-lock.ts'
import type { PublishCounts } from '../mqtt-device.ts'
import { pause } from '../pause.ts'
import type { Sample } from '../telemetry-stamp.ts'
import type { Updater } from '../updates/updater.ts'
import { HubLink } from './hub-link.ts'
import type { CredentialsSource } from './hub-link.ts'
import { OfflineBuffer } from './offline-buffer.ts'
import type { NextMessage } from './offline-buffer.ts'

export type SdkAgentOptions = {
  readonly credentials: CredentialsSource
  readonly modelId: string
  /** Until the twin's desired property `intervalMs` says otherwise. */
  readonly everyMs: number
  readonly read: (nowMs: number) => Promise<Record<string, number>>
  /** Folder for what is not acknowledged yet. */
  readonly directory: string
  readonly bufferBytesMax: number
  readonly bootId: string
  readonly signal: AbortSignal
  readonly onError: (error: Error) => void
  readonly onSample?: (sample: Sample) => void
  /** Told when the twin changes how often is sampled. */
  readonly onInterval?: (everyMs: number) => void
  /** Of an agent that a service manager runs. */
  readonly updater?: Updater
}

const IntervalMs = z.number().int().min(100).max(3_600_000)

const retryMsMin = 1_000
const retryMsMax = 60_000

/** Runs until the signal; returns what was published. @throws FolderInUseError while another agent has the folder */
export async function runSdkAgent(options: SdkAgentOptions): Promise<PublishCounts> {
  const { modelId, everyMs, read, directory, bufferBytesMax, bootId, signal, onError, onSample, onInterval, updater } = options
  const lock = FolderLock.take(join(directory, 'agent.lock'), 'end it first, or give this agent a device and a folder of its own')
  const buffer = new OfflineBuffer({
    directory,
    bytesMax: bufferBytesMax,
    bootId,
    onTrouble: (error) => error && onError(new Error(`the buffer cannot be written: ${error.message}`, { cause: error })),
  })
  const counts: PublishCounts = { published: 0, acknowledged: 0, dropped: 0, messages: 0, errors: 0 }
  const sample = () => {
    const timeMs = Date.now()
    read(timeMs)
      .then((values) => {
        if (signal.aborted) return
        counts.published += buffer.add({ timeMs, values })
        onSample?.({ timeMs, values })
      })
      .catch(onError)
  }
  let intervalMs = everyMs
  let sampling = setInterval(sample, intervalMs)
  const onDesired = (desired: Readonly<Record<string, unknown>>) => {
    const av = typeof desired.$version === 'number' ? desired.$version : 0
    const wanted = IntervalMs.default(everyMs).safeParse(desired.intervalMs ?? undefined)
    if (wanted.success && wanted.data !== intervalMs) {
      intervalMs = wanted.data
      onInterval?.(intervalMs)
      clearInterval(sampling)
      if (!signal.aborted) sampling = setInterval(sample, intervalMs)
    }
    const answer: Acknowledgement = !wanted.success
      ? { value: intervalMs, ac: 400, av, ad: z.prettifyError(wanted.error) }
      : { value: intervalMs, av, ...(desired.intervalMs === undefined ? { ac: 203, ad: 'default' } : { ac: 200, ad: 'applied' }) }
    link.twin.report({ intervalMs: answer })
    void updater?.answer(desired.software, av, (software) => link.twin.report({ software })).catch(onError)
  }
  const link = new HubLink(options.credentials, modelId, { onDesired, onError })
  const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
  let retryMs = retryMsMin
  while (!signal.aborted) {
    await buffer.more(signal)
    const next = buffer.next()
    if (!next || signal.aborted) continue
    try {
      // The SDK retries for minutes while the hub is away; whoever wants to stop does not wait for it.
      await Promise.race([link.send((deviceId) => toMessage(next, deviceId, modelId)), stopped])
      if (signal.aborted) break
      counts.messages++
      if (next.kind === 'samples') counts.acknowledged += next.readings
      else counts.dropped += next.range.count
      buffer.acknowledged(next)
      updater?.confirm()
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
  await link.close()
  lock.release()
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
