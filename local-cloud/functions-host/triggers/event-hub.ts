/**
 * The Event Hubs trigger with the semantics of the real one: batches of a partition strictly in turn, retries in place
 * before the checkpoint, and the checkpoint moved whether the function threw or not, but for a host that is ending.
 */
import { EventHubConsumerClient, RetryMode, earliestEventPosition, latestEventPosition } from '@azure/event-hubs'
import type { PartitionContext, ReceivedEventData } from '@azure/event-hubs'
import { BlobCheckpointStore } from '@azure/eventhubs-checkpointstore-blob'
import { ContainerClient } from '@azure/storage-blob'
import type { InvocationRequest, TypedData } from '../core-api.ts'
import { storageRetries } from '../storage-retries.ts'

/** `extensions.eventHubs` of host.json. */
export type EventHubSettings = {
  readonly maxEventBatchSize: number
  /** Fewer events wait for more, at most `maxWaitMs`. */
  readonly minEventBatchSize: number
  readonly maxWaitMs: number
  /** Every how many batches the checkpoint is written. */
  readonly batchCheckpointFrequency: number
  readonly prefetchCount: number
  readonly initialOffset: 'fromStart' | 'fromEnd'
}

export type EventHubListenerOptions = {
  readonly connectionString: string
  readonly eventHubName: string
  readonly consumerGroup: string
  readonly storage: string
  readonly settings: EventHubSettings
  readonly bindingName: string
  readonly isBinary: boolean
  /** True when the function takes one event at a time. */
  readonly isSingle: boolean
  /** Some real workers receive 64-bit integers as objects of two halves. */
  readonly longMetadata: boolean
  /** Runs the function with its retry policy; whatever happens, the checkpoint moves on. */
  readonly invoke: (request: InvocationRequest) => Promise<void>
  readonly warn: (text: string) => void
}

/** Lease times of a single host on one computer: a crashed host's partitions are taken over within seconds. */
const balancing = { strategy: 'greedy', updateIntervalInMs: 2_000, partitionOwnershipExpirationIntervalInMs: 8_000 } as const

/** The client's own default waits 30 s before it tries a lost connection again. */
const retryOptions = { mode: RetryMode.Exponential, retryDelayInMs: 250, maxRetryDelayInMs: 5_000, maxRetries: 10 }

export async function startEventHubListener(options: EventHubListenerOptions): Promise<{ stop(): Promise<void> }> {
  const container = new ContainerClient(options.storage, 'azure-webjobs-eventhub', storageRetries)
  await container.createIfNotExists()
  const client = new EventHubConsumerClient(
    options.consumerGroup,
    options.connectionString,
    options.eventHubName,
    new BlobCheckpointStore(container),
    {
      loadBalancingOptions: balancing,
      retryOptions,
    },
  )
  const partitions = new Map<string, { gathered: ReceivedEventData[]; sinceMs: number; batches: number }>()
  const { settings, warn } = options
  let isStopping = false
  const run = (events: ReceivedEventData[], context: PartitionContext) =>
    options
      .invoke(toRequest(events, context, options))
      .catch((error: unknown) => warn(`partition ${context.partitionId}: the function failed, its batch is skipped: ${String(error)}`))
  const subscription = client.subscribe(
    {
      async processEvents(received, context) {
        const state = partitions.get(context.partitionId) ?? { gathered: [], sinceMs: Date.now(), batches: 0 }
        partitions.set(context.partitionId, state)
        if (state.gathered.length === 0) state.sinceMs = Date.now()
        state.gathered.push(...received)
        const isDue = state.gathered.length >= settings.minEventBatchSize || Date.now() - state.sinceMs >= settings.maxWaitMs
        if (state.gathered.length === 0 || !isDue) return
        const events = state.gathered.splice(0)
        if (options.isSingle) for (const event of events) await run([event], context)
        else
          for (let start = 0; start < events.length; start += settings.maxEventBatchSize)
            await run(events.slice(start, start + settings.maxEventBatchSize), context)
        if (isStopping || ++state.batches % settings.batchCheckpointFrequency !== 0) return
        await context
          .updateCheckpoint(events.at(-1)!)
          .catch((error: unknown) => warn(`partition ${context.partitionId}: the checkpoint could not be written: ${String(error)}`))
      },
      // What was gathered and not run is read again by whoever has the partition next.
      async processClose(_, context) {
        partitions.delete(context.partitionId)
      },
      // Lost links and stolen leases are the normal course of balancing; the client reads on by itself.
      async processError(error, context) {
        warn(`partition ${context.partitionId}: ${error.message}`)
      },
    },
    {
      maxBatchSize: settings.maxEventBatchSize,
      prefetchCount: settings.prefetchCount,
      // A reader whose link is gone notices it only when its wait is over.
      maxWaitTimeInSeconds: 2,
      startPosition: settings.initialOffset === 'fromStart' ? earliestEventPosition : latestEventPosition,
      skipParsingBodyAsJson: true,
    },
  )
  return {
    async stop() {
      isStopping = true
      await subscription.close()
      await client.close()
    },
  }
}

/** What the host hands to the worker: arrays for a batch, single values where the function takes one event. */
function toRequest(
  events: ReceivedEventData[],
  context: PartitionContext,
  { bindingName, isBinary, isSingle, longMetadata }: EventHubListenerOptions,
): InvocationRequest {
  const bodies = events.map(({ body }) =>
    body instanceof Uint8Array ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body ?? null)),
  )
  const json = (value: unknown): TypedData => ({ json: JSON.stringify(value) })
  const sequenceNumbers = events.map(({ sequenceNumber }) => (longMetadata ? toLong(sequenceNumber) : sequenceNumber))
  const partitionContext = json({
    FullyQualifiedNamespace: context.fullyQualifiedNamespace,
    EventHubName: context.eventHubName,
    ConsumerGroup: context.consumerGroup,
    PartitionId: context.partitionId,
    IsCheckpointingAfterInvocation: true,
  })
  const [first] = events
  if (isSingle && first) {
    return {
      inputData: [{ name: bindingName, data: isBinary ? { bytes: bodies[0]! } : { string: Buffer.from(bodies[0]!).toString() } }],
      triggerMetadata: {
        PartitionContext: partitionContext,
        PartitionKey: { string: first.partitionKey ?? '' },
        Offset: { string: String(first.offset) },
        SequenceNumber: typeof sequenceNumbers[0] === 'number' ? { int: sequenceNumbers[0] } : json(sequenceNumbers[0]),
        EnqueuedTimeUtc: json(first.enqueuedTimeUtc),
        Properties: json(first.properties ?? {}),
        SystemProperties: json(systemProperties(first)),
      },
    }
  }
  const data: TypedData = isBinary
    ? { collectionBytes: { bytes: bodies } }
    : { collectionString: { string: bodies.map((body) => Buffer.from(body).toString()) } }
  return {
    inputData: [{ name: bindingName, data }],
    triggerMetadata: {
      PartitionContext: partitionContext,
      PartitionKeyArray: { collectionString: { string: events.map(({ partitionKey }) => partitionKey ?? '') } },
      OffsetArray: { collectionString: { string: events.map(({ offset }) => String(offset)) } },
      SequenceNumberArray: { collectionSint64: { sint64: sequenceNumbers } },
      EnqueuedTimeUtcArray: json(events.map(({ enqueuedTimeUtc }) => enqueuedTimeUtc)),
      PropertiesArray: json(events.map(({ properties }) => properties ?? {})),
      SystemPropertiesArray: json(events.map(systemProperties)),
    },
  }
}

function systemProperties(event: ReceivedEventData): Record<string, unknown> {
  return {
    ...event.systemProperties,
    ...(event.contentType === undefined ? {} : { 'content-type': event.contentType }),
    ...(event.messageId === undefined ? {} : { 'message-id': event.messageId }),
    SequenceNumber: event.sequenceNumber,
    Offset: String(event.offset),
    PartitionKey: event.partitionKey ?? null,
    EnqueuedTimeUtc: event.enqueuedTimeUtc,
  }
}

function toLong(value: number): { low: number; high: number; unsigned: boolean } {
  return { low: value | 0, high: Math.floor(value / 2 ** 32), unsigned: false }
}
