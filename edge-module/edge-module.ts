/**
 * The module's shell: takes input messages into the journal, folds them into batches, sends one batch after another.
 * The journal is the queue: while the hub is away it grows, and nothing is folded that cannot be sent soon.
 */
import { deflateRawSync, gunzipSync, inflateRawSync } from 'node:zlib'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import iot from 'azure-iot-device'
import type { ModuleClient, Twin } from 'azure-iot-device'
import { z } from 'zod'
import { rejectedAtEdge, stampedRange } from '../contract/telemetry/decode.ts'
import { encodePackedBatch, packedBatchContentType } from '../contract/telemetry/packed-batch.ts'
import type { Compression } from '../contract/telemetry/telemetry.ts'
import { AcknowledgingMqtt } from './acknowledging-transport.ts'
import { BatchCore, FilterSettings } from './batch-core.ts'
import type { RejectedMessage } from './batch-core.ts'
import { readCheckpoint, writeCheckpoint } from './checkpoint.ts'
import type { Checkpoint } from './checkpoint.ts'
import { Journal } from './journal.ts'
import type { JournalEntry, JournalMessage } from './journal.ts'
import { DesiredProperties } from './settings.ts'
import type { EdgeModuleSettings } from './settings.ts'

const compression: Compression = {
  deflateRaw: (bytes) => deflateRawSync(bytes, { level: 6 }),
  inflateRaw: (bytes, bytesMax) => inflateRawSync(bytes, { maxOutputLength: bytesMax }),
  gunzip: (bytes, bytesMax) => gunzipSync(bytes, { maxOutputLength: bytesMax }),
}

/** Readings folded into one batch: packed, they stay far below the hub's 256 KB. */
const batchReadingsMax = 10_000
const resendMs = 2_000
/** Names of the module's outputs; routes of the deployment refer to them. */
const outputs = { readings: 'readings', rejected: 'rejected' } as const

export type EdgeModuleOptions = {
  readonly settings: EdgeModuleSettings
  readonly newBoot: string
  readonly log: (event: string, fields: Record<string, unknown>) => void
}

export class EdgeModule {
  readonly #options: EdgeModuleOptions
  readonly #client: ModuleClient
  readonly #journal: Journal
  readonly #checkpointPath: string
  readonly #stopping = new AbortController()
  /** Entries in the journal that are not folded yet, kept in memory so that they need not be read back. */
  #tail: JournalEntry[] = []
  #checkpoint: Checkpoint
  #core: BatchCore
  #filter: FilterSettings = FilterSettings.parse({})
  #wake: (() => void) | undefined
  #running: Promise<void> = Promise.resolve()

  private constructor(client: ModuleClient, options: EdgeModuleOptions) {
    this.#client = client
    this.#options = options
    this.#journal = new Journal(join(options.settings.MODULE_DATA, 'journal'), options.settings.JOURNAL_BYTES_MAX)
    this.#checkpointPath = join(options.settings.MODULE_DATA, 'checkpoint.json')
    this.#checkpoint = readCheckpoint(this.#checkpointPath, options.newBoot)
    this.#tail = [...this.#journal.read(this.#checkpoint.position)]
    this.#core = this.#newCore()
  }

  /** Connects by what the edge runtime put into the environment. */
  static async start(options: EdgeModuleOptions): Promise<EdgeModule> {
    const client = await iot.ModuleClient.fromEnvironment(AcknowledgingMqtt)
    const module = new EdgeModule(client, options)
    client.on('error', (error) => options.log('client-error', { error: error.message }))
    client.on('disconnect', () => options.log('disconnected', {}))
    await client.open()
    await module.#followTwin(await client.getTwin())
    module.#running = module.#run()
    // A journal that refused is emptied first: listening again at once would only be refused again.
    await module.#journalHasRoom()
    client.on('inputMessage', (_input: string, message: iot.Message) => module.#take(message))
    options.log('started', { backlog: module.#tail.length })
    return module
  }

  async #journalHasRoom(): Promise<void> {
    const { signal } = this.#stopping
    while (this.#journal.bytes > this.#options.settings.JOURNAL_BYTES_MAX / 2 && !signal.aborted) await wait(100, signal)
  }

  #newCore(): BatchCore {
    return new BatchCore(structuredClone(this.#checkpoint.memory), { compression, unstampedBoot: this.#checkpoint.unstampedBoot })
  }

  /** Journal first, then acknowledge. What the journal refuses stays with the gateway, unacknowledged. */
  #take(message: iot.Message): void {
    const entry = toJournal(message)
    const position = this.#journal.append(entry)
    this.#tail.push({ message: entry, position })
    this.#client.complete(message, () => {})
    this.#wake?.()
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    if (this.#checkpoint.batch.length > 0) await this.#send(this.#checkpoint.batch)
    while (!signal.aborted) {
      await this.#waitForWork()
      if (signal.aborted) return
      await this.#foldAndSend()
    }
  }

  /** Waits for the first message, then as long as a reading may wait for others. */
  async #waitForWork(): Promise<void> {
    const { signal } = this.#stopping
    while (this.#tail.length === 0 && !signal.aborted) await new Promise<void>((resolve) => (this.#wake = resolve))
    this.#wake = undefined
    const { BATCH_MAX_DELAY_MS } = this.#options.settings
    if (this.#tail.length < batchReadingsMax) await wait(BATCH_MAX_DELAY_MS, signal)
  }

  async #foldAndSend(): Promise<void> {
    let folded = 0
    let { position } = this.#checkpoint
    while (folded < this.#tail.length && this.#core.readingsTaken < batchReadingsMax) {
      const entry = this.#tail[folded++]!
      const { message } = entry
      const rejected = this.#core.add(
        { ...message, contentType: message.contentType, contentEncoding: message.contentEncoding, moduleId: undefined },
        this.#filter,
      )
      position = entry.position
      if (rejected) await this.#passOn(rejected)
    }
    const waiting = this.#tail.slice(folded)
    const { batch, memory } = this.#core.cut(Date.now(), receivedSeqs(waiting))
    const bytes = batch.blocks.length > 0 ? encodePackedBatch(batch, compression) : new Uint8Array()
    this.#checkpoint = { position, unstampedBoot: this.#checkpoint.unstampedBoot, memory, batch: bytes }
    writeCheckpoint(this.#checkpointPath, this.#checkpoint)
    this.#tail = this.#tail.slice(folded)
    this.#journal.dropBefore(position)
    if (bytes.length > 0) await this.#send(bytes)
  }

  /** Sends until the gateway has acknowledged. */
  async #send(bytes: Uint8Array): Promise<void> {
    await this.#deliver(outputs.readings, messageOf(bytes, packedBatchContentType))
  }

  async #passOn(rejected: RejectedMessage): Promise<void> {
    this.#options.log('rejected', { device: rejected.deviceId, reason: rejected.reason, detail: rejected.detail })
    const message = messageOf(rejected.body, rejected.contentType ?? 'application/octet-stream')
    message.properties.add(rejectedAtEdge.device, rejected.deviceId)
    message.properties.add(rejectedAtEdge.reason, rejected.reason)
    await this.#deliver(outputs.rejected, message)
  }

  async #deliver(output: string, message: iot.Message): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      try {
        await this.#client.sendOutputEvent(output, message)
        return
      } catch (error) {
        this.#options.log('send-failed', { output, error: String(error) })
        await wait(resendMs, signal)
      }
    }
  }

  async #followTwin(twin: Twin): Promise<void> {
    const apply = () => {
      const result = DesiredProperties.safeParse(twin.properties.desired)
      // The last good configuration stays in force.
      if (!result.success) return this.#options.log('configuration-refused', { reason: z.prettifyError(result.error) })
      this.#filter = FilterSettings.parse(Object.fromEntries(Object.entries(result.data).filter(([, value]) => value !== undefined)))
      this.#options.log('configured', { ...this.#filter })
    }
    apply()
    twin.on('properties.desired', apply)
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#wake?.()
    await this.#running
    // The SDK closes by a state machine that may wait for a lost connection.
    await Promise.race([this.#client.close().catch(() => {}), new Promise((resolve) => setTimeout(resolve, 1_000))])
    this.#journal.close()
  }
}

function messageOf(body: Uint8Array, contentType: string): iot.Message {
  const message = new iot.Message(Buffer.from(body))
  // The typings allow JSON alone; the protocol takes any type.
  ;(message as { contentType?: string }).contentType = contentType
  return message
}

function toJournal(message: iot.Message): JournalMessage {
  const properties: Record<string, string> = {}
  for (let index = 0; index < message.properties.count(); index++) {
    const { key, value } = message.properties.getItem(index)
    properties[key] = value
  }
  // edgeHub tells the sender it authenticated as system properties.
  const { '$.cdid': deviceId = '', '$.cmid': _module, ...application } = properties
  const { contentType, contentEncoding } = message as { contentType?: string; contentEncoding?: string }
  return {
    deviceId,
    ...(contentType === undefined ? {} : { contentType }),
    ...(contentEncoding === undefined ? {} : { contentEncoding }),
    properties: application,
    arrivedMs: Date.now(),
    body: message.getBytes(),
  }
}

/** The highest stamped seq of each device among messages that wait for the next batch. */
function receivedSeqs(waiting: readonly JournalEntry[]): Map<string, { bootId: string; seq: number }> {
  const received = new Map<string, { bootId: string; seq: number }>()
  for (const { message } of waiting) {
    const range = stampedRange(message.properties)
    if (range) received.set(message.deviceId, { bootId: range.bootId, seq: range.seq + range.count - 1 })
  }
  return received
}

async function wait(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {})
}
