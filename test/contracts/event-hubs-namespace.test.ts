/** Event Hubs as a namespace: several hubs, TLS, WebSockets, rights, readers that stop in the midst of a stream. */
import { EventHubConsumerClient, EventHubProducerClient, earliestEventPosition } from '@azure/event-hubs'
import rhea from 'rhea'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { sharedAccessSignature } from '../../device-sim/device-credentials.ts'
import { cloudForTests, onAzure } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { eventually } from '../support/eventually.ts'
import { eventsWhere } from '../support/events.ts'
import { trust } from '../support/trust.ts'

let cloud: CloudForTests
beforeAll(async () => {
  cloud = await cloudForTests({ eventHubs: [{ name: 'orders', partitions: 2, consumerGroups: ['billing'] }, { name: 'returns' }] })
  trust(cloud.ca)
})
afterAll(() => cloud.stop())

const namespace = () => cloud.connection.eventHubNamespace!
/** The same namespace over TLS, at the hub's port. */
const secure = () =>
  namespace()
    .replace(/sb:\/\/[^;]+/, `sb://${cloud.registry.hubHost}`)
    .replace(';UseDevelopmentEmulator=true', '')
const outcome = (promise: Promise<unknown>) =>
  promise.then(
    () => 'done',
    (error: Error & { code?: string }) => error.code ?? error.message,
  )
const quick = { retryOptions: { maxRetries: 0, timeoutInMs: 5_000 } }

describe.skipIf(onAzure)('a namespace', () => {
  test('keeps its hubs apart, each with its partitions and consumer groups', async () => {
    for (const [hub, count] of [
      ['orders', 2],
      ['returns', 4],
    ] as const) {
      const producer = new EventHubProducerClient(namespace(), hub)
      expect(await producer.getPartitionIds()).toHaveLength(count)
      await producer.sendBatch([{ body: { hub } }])
      await producer.close()
    }
    const [event] = await eventsWhere(`${namespace()};EntityPath=orders`, () => true, 1, 'orders')
    expect(event!.body).toEqual({ hub: 'orders' })
    const stranger = new EventHubProducerClient(namespace(), 'nowhere', quick)
    expect(await outcome(stranger.sendBatch([{ body: 1 }]))).not.toBe('done')
    await stranger.close()
  })

  test('is there over TLS and over WebSockets, too', async () => {
    const tls = new EventHubProducerClient(secure(), 'orders', quick)
    expect(await outcome(tls.sendBatch([{ body: 'over tls' }]))).toBe('done')
    await tls.close()
    const sockets = new EventHubProducerClient(secure(), 'orders', {
      ...quick,
      webSocketOptions: { webSocket: WebSocket, webSocketConstructorOptions: { ca: cloud.ca } },
    })
    expect(await outcome(sockets.sendBatch([{ body: 'over a socket' }]))).toBe('done')
    await sockets.close()
    const events = await eventsWhere(`${namespace()};EntityPath=orders`, ({ body }) => String(body).startsWith('over'), 2, 'both')
    expect(new Set(events.map(({ body }) => body as string))).toEqual(new Set(['over tls', 'over a socket']))
  })

  test('survives a restart, events and groups', async () => {
    await cloud.restart()
    const consumer = new EventHubConsumerClient('billing', namespace(), 'orders')
    const seen: unknown[] = []
    const subscription = consumer.subscribe(
      { processEvents: async (events) => void seen.push(...events), processError: async () => {} },
      { startPosition: earliestEventPosition },
    )
    await eventually(() => (seen.length >= 3 ? true : undefined))
    await subscription.close()
    await consumer.close()
  })

  test('says why it refused a wrong key, which the client does not', async () => {
    const wrong = new EventHubProducerClient(
      namespace().replace(/SharedAccessKey=[^;]+/, `SharedAccessKey=${Buffer.from('wrong key').toString('base64')}`),
      'orders',
      quick,
    )
    expect(await outcome(wrong.sendBatch([{ body: 1 }]))).not.toBe('done')
    await wrong.close()
    expect(cloud.refusals.some(({ reason, detail }) => reason === 'amqp:unauthorized-access' && detail.includes('InvalidSignature'))).toBe(
      true,
    )
  })
})

describe.skipIf(onAzure)('a reader', () => {
  test('that stops in the midst of a stream stops at once, and the next one reads on', async () => {
    const producer = new EventHubProducerClient(namespace(), 'returns')
    for (let round = 0; round < 20; round++)
      await producer.sendBatch(
        Array.from({ length: 500 }, (_, n) => ({ body: { n, text: 'x'.repeat(200) } })),
        { partitionId: String(round % 4) },
      )
    await producer.close()
    const before = cloud.refusals.length
    for (let round = 0; round < 3; round++) {
      const consumer = new EventHubConsumerClient('$Default', namespace(), 'returns')
      let seen = 0
      await new Promise<void>((resolve) =>
        consumer.subscribe(
          {
            async processEvents(events) {
              seen += events.length
              if (seen > 1_000) resolve()
            },
            async processError() {},
          },
          { startPosition: earliestEventPosition, maxBatchSize: 500, prefetchCount: 3_000 },
        ),
      )
      const started = Date.now()
      await consumer.close()
      expect(Date.now() - started).toBeLessThan(5_000)
    }
    expect(cloud.refusals.slice(before)).toEqual([])
  })
})

test.skipIf(onAzure)('who asks the hub itself for the stream of messages is sent on to the event hub', async () => {
  const key = await cloud.policyKey('service')
  const token = `${sharedAccessSignature(cloud.registry.hubHost, key, Date.now() + 60_000)}&skn=service`
  const container = rhea.create_container()
  const connection = container.connect({
    port: Number(cloud.registry.hubHost.split(':')[1]),
    host: 'localhost',
    transport: 'tls',
    ca: cloud.ca,
    reconnect: false,
  })
  const answered = new Promise<void>((resolve) => {
    const receiver = connection.open_receiver('$cbs')
    const sender = connection.open_sender('$cbs')
    sender.once('sendable', () =>
      sender.send({
        application_properties: { operation: 'put-token', type: 'servicebus.windows.net:sastoken', name: cloud.registry.hubHost },
        body: token,
        reply_to: receiver.name,
      }),
    )
    receiver.once('message', () => resolve())
  })
  await answered
  const redirected = new Promise<{ condition?: string; info?: { value: unknown[] } }>((resolve) => {
    const receiver = connection.open_receiver('messages/events/ConsumerGroups/$Default/Partitions/0')
    receiver.on('receiver_error', (context: { receiver?: { error?: unknown } }) => resolve(context.receiver!.error as never))
  })
  const error = await redirected
  expect(error.condition).toBe('amqp:link:redirect')
  expect(String(error.info?.value.at(-1))).toMatch(/^amqps:.*\/millwright\/ConsumerGroups\/\$Default\/Partitions\/0$/)
  connection.close()
})
