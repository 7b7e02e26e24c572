/** Event Hubs, seen through the official client, with checkpoints in blobs. */
import { EventHubConsumerClient, EventHubProducerClient, earliestEventPosition, latestEventPosition } from '@azure/event-hubs'
import type { EventPosition, ReceivedEventData } from '@azure/event-hubs'
import { BlobCheckpointStore } from '@azure/eventhubs-checkpointstore-blob'
import { ContainerClient } from '@azure/storage-blob'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { whyNotReadable } from '../../cloud-functions/hot-path/log-consumer.ts'
import { builtInEventHub, consumerGroups } from '../../local-cloud/local-cloud.ts'
import { cloudForTests, onAzure } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { eventually } from '../support/eventually.ts'

let cloud: CloudForTests
let producer: EventHubProducerClient
beforeAll(async () => {
  cloud = await cloudForTests()
  producer = new EventHubProducerClient(cloud.connection.eventHub)
})
afterAll(async () => {
  await producer.close()
  await cloud.stop()
})

/** Reads a partition from a position until there are as many events as wanted. */
async function read(
  partitionId: string,
  startPosition: EventPosition,
  count: number,
  { group = '$Default' } = {},
): Promise<ReceivedEventData[]> {
  const consumer = new EventHubConsumerClient(group, cloud.connection.eventHub, { retryOptions: { maxRetries: 0 } })
  const events: ReceivedEventData[] = []
  let problem: Error | undefined
  const subscription = consumer.subscribe(
    partitionId,
    {
      async processEvents(batch) {
        events.push(...batch)
      },
      async processError(error) {
        problem = error
      },
    },
    { startPosition, maxWaitTimeInSeconds: 1 },
  )
  try {
    const outcome = await eventually(() => problem ?? (events.length >= count ? events : undefined))
    if (outcome instanceof Error) throw outcome
    return outcome
  } finally {
    await subscription.close()
    await consumer.close()
  }
}

const bodies = (events: readonly ReceivedEventData[]) => events.map(({ body }) => body as unknown)

describe('producers and consumers', () => {
  test('batches go where they are told: by partition, by key, or anywhere', async () => {
    await producer.sendBatch([{ body: 'a', properties: { n: 1 } }, { body: { b: 2 } }], { partitionId: '0' })
    const events = await read('0', earliestEventPosition, 2)
    expect(bodies(events)).toEqual(['a', { b: 2 }])
    expect(events[0]).toMatchObject({ properties: { n: 1 }, sequenceNumber: 0 })
    const keyed = await producer.createBatch({ partitionKey: 'machine-7' })
    keyed.tryAdd({ body: 'first' })
    keyed.tryAdd({ body: 'second' })
    await producer.sendBatch(keyed)
    await producer.sendBatch([{ body: 'third' }], { partitionKey: 'machine-7' })
    const partitions = await Promise.all(
      (await producer.getPartitionIds()).map(async (id) => ({ id, ...(await producer.getPartitionProperties(id)) })),
    )
    expect(partitions.reduce((sum, { lastEnqueuedSequenceNumber }) => sum + lastEnqueuedSequenceNumber + 1, 0)).toBe(5)
    await producer.sendBatch([{ body: 'anywhere' }])
  })

  test('every start position finds its place', async () => {
    for (const body of ['one', 'two', 'three']) await producer.sendBatch([{ body }], { partitionId: '2' })
    const all = await read('2', earliestEventPosition, 3)
    const last = all.slice(-3)
    expect(bodies(last)).toEqual(['one', 'two', 'three'])
    expect(bodies(await read('2', { sequenceNumber: last[0]!.sequenceNumber }, 2))).toEqual(['two', 'three'])
    expect(bodies(await read('2', { sequenceNumber: last[1]!.sequenceNumber, isInclusive: true }, 2))).toEqual(['two', 'three'])
    expect(bodies(await read('2', { offset: last[1]!.offset }, 1))).toEqual(['three'])
    expect(bodies(await read('2', { enqueuedOn: new Date(last[0]!.enqueuedTimeUtc.getTime() - 1) }, 3)).slice(-3)).toEqual([
      'one',
      'two',
      'three',
    ])
  })

  test('the latest position sees only what comes', async () => {
    const reading = read('3', latestEventPosition, 1)
    await eventually(async () => {
      await producer.sendBatch([{ body: 'new' }], { partitionId: '3' })
      return Promise.race([reading.then(() => true), new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined)))])
    })
    expect(bodies(await reading)[0]).toBe('new')
  })

  test('a batch over the limit is refused before it is sent, and a message by the server', async () => {
    const batch = await producer.createBatch()
    expect(batch.maxSizeInBytes).toBe(1_048_576)
    expect(batch.tryAdd({ body: Buffer.alloc(1_100_000) })).toBe(false)
  })

  test.skipIf(onAzure)('a wrong key and an unknown group are errors that say so', async () => {
    const wrong = new EventHubProducerClient(cloud.connection.eventHub.replace(/SharedAccessKey=[^;]+/, 'SharedAccessKey=wrong'), {
      retryOptions: { maxRetries: 0 },
    })
    await expect(wrong.getEventHubProperties()).rejects.toThrow(/signature|nauthorized/i)
    await wrong.close()
    await expect(read('0', earliestEventPosition, 1, { group: 'nobody' })).rejects.toThrow()
    expect(cloud.refusals.some(({ detail }) => /invalid signature/.test(detail))).toBe(true)
  })
})

describe('load balancing', () => {
  test('checkpoints in blobs: a second start goes on where the first one stopped', async () => {
    const container = new ContainerClient(cloud.connection.storage, 'checkpoints')
    await container.createIfNotExists()
    const store = new BlobCheckpointStore(container)
    /** Runs until `count` events have come, and checkpoints each. */
    const run = async (count: number) => {
      const consumer = new EventHubConsumerClient('functions', cloud.connection.eventHub, store, {
        loadBalancingOptions: { strategy: 'greedy', updateIntervalInMs: 500, partitionOwnershipExpirationIntervalInMs: 2_000 },
      })
      const seen: string[] = []
      const subscription = consumer.subscribe(
        {
          async processEvents(events, context) {
            for (const event of events) seen.push(String((event.body as { id?: string }).id ?? ''))
            if (events.length > 0) await context.updateCheckpoint(events.at(-1)!)
          },
          async processError() {},
        },
        { startPosition: earliestEventPosition, maxWaitTimeInSeconds: 1 },
      )
      await eventually(() => (seen.filter((id) => id !== '').length >= count ? true : undefined))
      await subscription.close()
      await consumer.close()
      return seen.filter((id) => id !== '')
    }
    for (const id of ['1', '2', '3']) await producer.sendBatch([{ body: { id } }])
    expect((await run(3)).sort()).toEqual(['1', '2', '3'])
    for (const id of ['4', '5']) await producer.sendBatch([{ body: { id } }])
    expect((await run(2)).sort()).toEqual(['4', '5'])
  })

  test('a reader with a higher owner level takes the partition over', async () => {
    const errors: string[] = []
    const open = (ownerLevel: number) => {
      const consumer = new EventHubConsumerClient('replay', cloud.connection.eventHub)
      let isReading = false
      const subscription = consumer.subscribe(
        '1',
        {
          async processEvents() {
            isReading = true
          },
          async processError(error) {
            errors.push(`${ownerLevel} ${(error as { code?: string }).code}`)
          },
        },
        { startPosition: earliestEventPosition, ownerLevel, maxWaitTimeInSeconds: 1 },
      )
      return { isReading: () => isReading, close: () => subscription.close().then(() => consumer.close()) }
    }
    const low = open(1)
    await eventually(() => low.isReading() || undefined)
    const high = open(2)
    await eventually(() => high.isReading() || undefined)
    await eventually(() => (errors.includes('1 ReceiverDisconnectedError') ? true : undefined))
    await Promise.all([low.close(), high.close()])
  })
})

describe('doctor’s question', () => {
  test('whether a consumer group is there is answered for those that are, taken or not, and for one that is not', async () => {
    const ask = (consumerGroup: string) =>
      whyNotReadable({ connection: cloud.connection.eventHub, eventHubName: builtInEventHub, consumerGroup }, 3_000)
    expect(await ask(consumerGroups.replay)).toBeUndefined()
    const owner = new EventHubConsumerClient(consumerGroups.trigger, cloud.connection.eventHub)
    const taken = owner.subscribe('0', { processEvents: async () => {}, processError: async () => {} }, { ownerLevel: 1 })
    expect(await ask(consumerGroups.trigger)).toBeUndefined()
    await taken.close()
    await owner.close()
    expect(await ask('nobody')).toMatch(/nobody|not found/i)
  })
})
