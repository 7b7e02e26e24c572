/**
 * IoT Hub's message routes: each message goes to the endpoints of every route whose condition it meets; device messages
 * that meet none go to the built-in endpoint, unless the fallback route is off. Resolves when every copy is durable.
 */
import { join } from 'node:path'
import rhea from 'rhea'
import type { CloudSettings, EndpointSettings, RouteSettings } from '../cloud-settings.ts'
import type { EventHub } from '../event-hubs/event-hub.ts'
import type { HubMessage, MessageSource } from '../iot-hub/hub-message.ts'
import { CommitLog } from '../log/commit-log.ts'
import type { LogRecord } from '../log/commit-log.ts'
import { DocumentStore } from '../log/document-store.ts'
import { partitionOf } from '../log/partition-of.ts'
import { EndpointQueue, Place, placesOf } from './endpoint-queue.ts'
import { parseMessageCondition } from './message-condition.ts'
import type { MessageCondition } from './message-condition.ts'

const sourceOf: Record<MessageSource, RouteSettings['source']> = {
  Telemetry: 'DeviceMessages',
  twinChangeEvents: 'TwinChangeEvents',
  deviceLifecycleEvents: 'DeviceLifecycleEvents',
  deviceConnectionStateEvents: 'DeviceConnectionStateEvents',
}

type Route = { readonly source: RouteSettings['source']; readonly meets: MessageCondition; readonly endpoints: readonly string[] }
type QueuedEndpoint = Exclude<EndpointSettings, { kind: 'event-hub' }>
type Endpoint = (message: HubMessage) => Promise<void>

export type MessageRouterOptions = {
  readonly directory: string
  readonly hubName: string
  readonly settings: CloudSettings['iotHub']
  readonly builtIn: CommitLog
  readonly eventHubs: ReadonlyMap<string, EventHub>
  /** Connection string of the storage account. */
  readonly storage: string
  readonly nowMs: () => number
  readonly report: (event: string, fields: Record<string, unknown>) => void
}

export class MessageRouter {
  readonly #builtIn: CommitLog
  readonly #routes: readonly Route[]
  readonly #isFallbackOn: boolean
  readonly #endpoints = new Map<string, Endpoint>()
  readonly #queues: EndpointQueue[] = []
  #store: { readonly log: CommitLog; readonly places: DocumentStore<Place> } | undefined
  #trimming: NodeJS.Timeout | undefined
  /** Messages that no route took: what the fallback would have caught. */
  droppedCount = 0

  private constructor({ builtIn, settings }: MessageRouterOptions) {
    this.#builtIn = builtIn
    this.#isFallbackOn = settings.fallbackRoute
    this.#routes = settings.routes
      .filter(({ isEnabled }) => isEnabled)
      .map(({ source, condition, endpoints }) => ({ source, meets: parseMessageCondition(condition), endpoints }))
    this.#endpoints.set('events', (message) => append(builtIn, message))
  }

  /** @throws QuerySyntaxError on a condition that cannot be read */
  static async open(options: MessageRouterOptions): Promise<MessageRouter> {
    const router = new MessageRouter(options)
    const queued = options.settings.endpoints.filter((endpoint) => endpoint.kind !== 'event-hub')
    for (const endpoint of options.settings.endpoints)
      if (endpoint.kind === 'event-hub') {
        const { log } = options.eventHubs.get(endpoint.eventHub.toLowerCase())!
        router.#endpoints.set(endpoint.name, (message) => append(log, message))
      }
    if (queued.length > 0) await router.#openQueues(options, queued)
    return router
  }

  async #openQueues(
    { directory, hubName, storage, nowMs, report }: MessageRouterOptions,
    endpoints: readonly QueuedEndpoint[],
  ): Promise<void> {
    const places = await DocumentStore.open(join(directory, 'endpoints.ndjson'), (value) => Place.parse(value))
    const log = await CommitLog.open({
      directory: join(directory, 'log'),
      partitions: endpointsMax,
      segmentBytesMax: 16 * 1024 * 1024,
      nowMs,
    })
    this.#store = { log, places }
    const ends = Array.from({ length: endpointsMax }, (_, partition) => log.info(partition).endSequence)
    const assigned = placesOf(
      endpoints.map(({ name }) => name),
      new Map(places.entries()),
      ends,
    )
    // Written before anything is queued: the next start must find each endpoint's records where they are.
    await Promise.all([...assigned].map(([name, place]) => places.set(name, place)))
    for (const endpoint of endpoints) {
      const { name } = endpoint
      const place = assigned.get(name)!
      const deliver = endpoint.kind === 'queue' ? toQueue(storage, endpoint.queue) : toBlobs(storage, endpoint, hubName)
      const [gatherMs, gatherBytes] = endpoint.kind === 'storage' ? [endpoint.batchSeconds * 1000, endpoint.batchBytes] : [0, 1024 * 1024]
      this.#queues.push(new EndpointQueue({ name, log, place, places, deliver, gatherMs, gatherBytes, report }))
      this.#endpoints.set(name, (message) => log.append(place.partition, message))
    }
    this.#trimming = setInterval(() => {
      const needed = this.#queues.map((queue) => log.offsetOf(queue.partition, queue.next))
      log.dropBefore(Math.min(...needed)).catch((error: unknown) => report('trim-failed', { error: String(error) }))
    }, trimEveryMs)
    this.#trimming.unref()
  }

  /** True when a route wants to hear of more than device messages. */
  get isNotified(): boolean {
    return this.#routes.some(({ source }) => source !== 'DeviceMessages')
  }

  send(message: HubMessage): Promise<void> {
    // Most hubs have no routes: their messages take no detour.
    if (this.#routes.length > 0 || !this.#isFallbackOn) return this.#route(message)
    return message.source === 'Telemetry' ? append(this.#builtIn, message) : Promise.resolve()
  }

  async #route(message: HubMessage): Promise<void> {
    const wanted = sourceOf[message.source]
    const routable = message.routable()
    const meeting = this.#routes.filter((route) => route.source === wanted && route.meets(routable))
    const endpoints = new Set(meeting.flatMap((route) => route.endpoints))
    if (endpoints.size === 0 && message.source === 'Telemetry') {
      if (this.#isFallbackOn) endpoints.add('events')
      else this.droppedCount++
    }
    await Promise.all([...endpoints].map((name) => this.#endpoints.get(name)!(message)))
  }

  backlog(): Record<string, number> {
    return Object.fromEntries(this.#queues.map(({ name, backlog }) => [name, backlog]))
  }

  async close(): Promise<void> {
    clearInterval(this.#trimming)
    for (const queue of this.#queues) queue.stop()
    await this.#store?.places.close()
    await this.#store?.log.close()
  }
}

/** Storage endpoints of today and of settings before. */
const endpointsMax = 16
const trimEveryMs = 10_000

function append(log: CommitLog, message: HubMessage): Promise<void> {
  return log.append(partitionOf(message.deviceId, log.partitionCount), message)
}

function toQueue(storage: string, name: string): (records: readonly LogRecord[]) => Promise<void> {
  const open = async () => {
    const { QueueServiceClient } = await import('@azure/storage-queue')
    const client = QueueServiceClient.fromConnectionString(storage).getQueueClient(name)
    await client.createIfNotExists()
    return client
  }
  let opened: Awaited<ReturnType<typeof open>> | undefined
  return async (records) => {
    const queue = (opened ??= await open())
    for (const { payload } of records) await queue.sendMessage(Buffer.from(JSON.stringify(documentOf(payload))).toString('base64'))
  }
}

/** One blob a batch, named as IoT Hub names them, a line of JSON a message. */
function toBlobs(
  storage: string,
  { container }: Extract<EndpointSettings, { kind: 'storage' }>,
  hubName: string,
): (records: readonly LogRecord[]) => Promise<void> {
  const open = async () => {
    const { BlobServiceClient } = await import('@azure/storage-blob')
    const client = BlobServiceClient.fromConnectionString(storage).getContainerClient(container)
    await client.createIfNotExists()
    return client
  }
  let opened: Awaited<ReturnType<typeof open>> | undefined
  return async (records) => {
    const client = (opened ??= await open())
    const first = records[0]!
    const time = new Date(first.enqueuedMs).toISOString()
    // The first record's sequence number makes the name unique, and the same when the batch is written again.
    const name = `${hubName}/0/${time.slice(0, 10).replaceAll('-', '/')}/${time.slice(11, 16).replace(':', '/')}-${first.sequenceNumber}.json`
    const text = records.map(({ payload }) => `${JSON.stringify(documentOf(payload))}\n`).join('')
    await client.getBlockBlobClient(name).upload(text, Buffer.byteLength(text))
  }
}

function documentOf(payload: Buffer) {
  const message = rhea.message.decode(payload)
  const annotations: Record<string, unknown> = message.message_annotations ?? {}
  const content: unknown = (message.body as { content?: unknown } | undefined)?.content
  const body = Buffer.isBuffer(content) ? content : Buffer.alloc(0)
  const isJson = /^application\/json/i.test(message.content_type ?? '') && /^utf-?8$/i.test(message.content_encoding ?? '')
  return {
    EnqueuedTimeUtc: new Date(Number(annotations['iothub-enqueuedtime'])).toISOString(),
    Properties: message.application_properties ?? {},
    SystemProperties: {
      connectionDeviceId: annotations['iothub-connection-device-id'],
      connectionModuleId: annotations['iothub-connection-module-id'],
      connectionAuthMethod: annotations['iothub-connection-auth-method'],
      connectionDeviceGenerationId: annotations['iothub-connection-auth-generation-id'],
      messageSource: annotations['iothub-message-source'],
      messageId: message.message_id,
      correlationId: message.correlation_id,
      contentType: message.content_type,
      contentEncoding: message.content_encoding,
      enqueuedTime: new Date(Number(annotations['iothub-enqueuedtime'])).toISOString(),
    },
    Body: isJson ? parseOr(body) : body.toString('base64'),
  }
}

function parseOr(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    return body.toString('base64')
  }
}
