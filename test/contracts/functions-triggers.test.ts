/** Every kind of function, in an app that knows nothing of this project, run by the local functions host. */
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { TableClient } from '@azure/data-tables'
import { EventHubProducerClient } from '@azure/event-hubs'
import { BlobServiceClient } from '@azure/storage-blob'
import { QueueServiceClient } from '@azure/storage-queue'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startFunctionsHost } from '../../local-cloud/functions-host/functions-host.ts'
import type { FunctionsHost } from '../../local-cloud/functions-host/functions-host.ts'
import { cloudForTests, onAzure } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { eventually } from '../support/eventually.ts'
import { root } from '../support/product.ts'

let cloud: CloudForTests
let host: FunctionsHost
let server: http.Server
let address: string
const logs: string[] = []
const keys = { master: 'the master key', host: 'the key of the host' }

const startHost = () =>
  startFunctionsHost({
    appFile: join(root, 'test', 'fixtures', 'functions-app', 'main.cjs'),
    workerFile: join(root, 'dist', 'local-cloud', 'functions-worker.cjs'),
    settings: { AzureWebJobsStorage: cloud.connection.storage, EventHubs: cloud.connection.eventHubNamespace! },
    keys,
    log: (level, text) => logs.push(`${level} ${text}`),
  })

beforeAll(async () => {
  cloud = await cloudForTests({
    eventHubs: [
      { name: 'orders', partitions: 2, consumerGroups: ['retried'] },
      { name: 'lengthy', partitions: 1 },
    ],
  })
  // A host that ran before says when the timer was due: long ago.
  const hosts = BlobServiceClient.fromConnectionString(cloud.connection.storage).getContainerClient('azure-webjobs-hosts')
  await hosts.createIfNotExists()
  const status = JSON.stringify({
    Last: '2020-01-01T00:00:00.000Z',
    Next: '2021-01-01T00:00:00.000Z',
    LastUpdated: '2020-01-01T00:00:00.000Z',
  })
  await hosts.getBlockBlobClient('timers/millwright/Host.Functions.yearly/status').upload(status, status.length)
  host = await startHost()
  server = http.createServer((request, response) => {
    if (!host.handleHttp(request, response)) response.writeHead(404).end()
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(async () => {
  server.closeAllConnections()
  server.close()
  await host.stop()
  await cloud.stop()
})

const queue = (name: string) => QueueServiceClient.fromConnectionString(cloud.connection.storage).getQueueClient(name)
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64')
const heard: Record<string, unknown>[] = []

/** What a function of a kind has told the queue `results`. */
const told = (kind: string, count = 1) =>
  eventually(
    async () => {
      const { receivedMessageItems } = await queue('results').receiveMessages({ numberOfMessages: 32 })
      heard.push(
        ...receivedMessageItems.map(
          ({ messageText }) => JSON.parse(Buffer.from(messageText, 'base64').toString()) as Record<string, unknown>,
        ),
      )
      const found = heard.filter((one) => one.kind === kind)
      return found.length >= count ? found : undefined
    },
    { what: `a result of ${kind}` },
  )

describe.skipIf(onAzure)('HTTP', () => {
  test('routes with parameters, constraints and the rest of a path', async () => {
    const answer = await fetch(`${address}/api/open/7/a/b?q=x`, { method: 'POST', body: 'hello' })
    expect(await answer.json()).toEqual({ id: '7', rest: 'a/b', q: 'x', body: 'hello', url: `${address}/api/open/7/a/b?q=x` })
    expect(await (await fetch(`${address}/api/open/7`)).json()).toMatchObject({ id: '7', rest: null })
    expect((await fetch(`${address}/api/open/seven/a`)).status).toBe(404)
  })

  test.each([
    ['keyed', undefined, 401],
    ['keyed', 'wrong', 401],
    ['keyed', keys.host, 200],
    ['keyed', keys.master, 200],
    ['admins', keys.host, 401],
    ['admins', keys.master, 200],
  ])('%s with the key %s: %i', async (route, key, status) => {
    expect((await fetch(`${address}/api/${route}`, { headers: key === undefined ? {} : { 'x-functions-key': key } })).status).toBe(status)
    expect((await fetch(`${address}/api/${route}?code=${encodeURIComponent(key ?? '')}`)).status).toBe(status)
  })

  test('streams: each part arrives when it is written', async () => {
    const started = Date.now()
    const response = await fetch(`${address}/api/stream`)
    const arrivals: number[] = []
    let text = ''
    for await (const chunk of response.body!) {
      arrivals.push(Date.now() - started)
      text += Buffer.from(chunk).toString()
    }
    expect(text).toBe('data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\n')
    expect(arrivals.length).toBeGreaterThan(1)
    expect(arrivals.at(-1)! - arrivals[0]!).toBeGreaterThan(60)
  })
})

describe.skipIf(onAzure)('Event Hubs', () => {
  test('one at a time, or in batches with retries in place', async () => {
    const producer = new EventHubProducerClient(cloud.connection.eventHubNamespace!, 'orders')
    await producer.sendBatch([{ body: { n: 1 } }, { body: { n: 2 } }], { partitionId: '0' })
    await producer.close()
    expect((await told('single', 2)).map(({ event, sequence }) => ({ event, sequence }))).toEqual([
      { event: { n: 1 }, sequence: 0 },
      { event: { n: 2 }, sequence: 1 },
    ])
    const [retried] = await told('retried')
    expect(retried).toEqual({ kind: 'retried', count: 2, retryCount: 2 })
  })
})

describe.skipIf(onAzure)('storage', () => {
  test('a blob runs its function once, with the parts of its name; what fails five times is set aside', async () => {
    const container = BlobServiceClient.fromConnectionString(cloud.connection.storage).getContainerClient('incoming')
    await container.getBlockBlobClient('report-7.txt').upload('contents', 8)
    await container.getBlockBlobClient('x.bad').upload('contents', 8)
    expect(await told('blob')).toEqual([{ kind: 'blob', name: 'report-7', text: 'contents' }])
    const poison = await eventually(
      async () =>
        (
          await queue('webjobs-blobtrigger-poison')
            .receiveMessages()
            .catch(() => undefined)
        )?.receivedMessageItems[0],
    )
    expect(JSON.parse(Buffer.from(poison.messageText, 'base64').toString())).toMatchObject({ BlobName: 'x.bad', FunctionId: 'broken' })
  })

  test('a message that fails as often as host.json allows goes to the poison queue', async () => {
    await queue('poisonous').sendMessage(encode({ a: 1 }))
    const poison = await eventually(
      async () =>
        (
          await queue('poisonous-poison')
            .receiveMessages()
            .catch(() => undefined)
        )?.receivedMessageItems[0],
      { withinMs: 20_000 },
    )
    expect(Buffer.from(poison.messageText, 'base64').toString()).toBe('{"a":1}')
  })

  test('outputs go to tables, blobs and event hubs', async () => {
    await queue('write-all').sendMessage(encode({ n: 9 }))
    const table = TableClient.fromConnectionString(cloud.connection.storage, 'written', { allowInsecureConnection: true })
    expect(await eventually(() => table.getEntity('p', '9').catch(() => undefined))).toMatchObject({ n: 9 })
    const blob = BlobServiceClient.fromConnectionString(cloud.connection.storage).getContainerClient('written').getBlobClient('one.txt')
    await eventually(async () => ((await blob.exists()) ? true : undefined))
    expect((await blob.downloadToBuffer()).toString()).toBe('text of a blob')
    expect((await told('single', 3)).some(({ event }) => JSON.stringify(event) === '{"order":9}')).toBe(true)
  })
})

describe.skipIf(onAzure)('timers', () => {
  test('a run that was missed is made up for', async () => expect(await told('timer')).toEqual([{ kind: 'timer', isPastDue: true }]))
})

describe.skipIf(onAzure)('Event Grid', () => {
  const post = (body: unknown, name = 'grid', key = keys.host) =>
    fetch(`${address}/runtime/webhooks/eventgrid?functionName=${name}&code=${encodeURIComponent(key)}`, {
      method: 'POST',
      body: JSON.stringify(body),
    })

  test('answers the handshake, takes events, and wants its key', async () => {
    const validation = { id: '1', eventType: 'Microsoft.EventGrid.SubscriptionValidationEvent', data: { validationCode: 'abc' } }
    expect(await (await post([validation])).json()).toEqual({ validationResponse: 'abc' })
    expect((await post([{ id: '2', eventType: 'x', subject: 'pump-1', data: {} }])).status).toBe(202)
    expect(await told('grid')).toEqual([{ kind: 'grid', subject: 'pump-1' }])
    expect((await post([validation], 'grid', 'wrong')).status).toBe(401)
    expect((await post([validation], 'nobody')).status).toBe(404)
    expect((await post('nonsense')).status).toBe(400)
  })
})

describe.skipIf(onAzure)('a host that ends', () => {
  test('writes no checkpoint for a batch it ends during, and lets the app end what it has begun', async () => {
    const lines = (text: string) => logs.filter((line) => line.includes(text)).length
    const producer = new EventHubProducerClient(cloud.connection.eventHubNamespace!, 'lengthy')
    await producer.sendBatch([{ body: 'once' }])
    await producer.close()
    await eventually(() => (lines('lengthy begins') === 1 ? true : undefined))
    await host.stop()
    // Every trigger has a worker, and the HTTP functions have one.
    expect(lines('the app ends')).toBe(host.functions.filter(({ bindings }) => !Object.values(bindings).some(isHttp)).length + 1)
    host = await startHost()
    await eventually(() => (lines('lengthy begins') === 2 ? true : undefined))
  }, 30_000)
})

const isHttp = ({ type }: { type: string }) => type === 'httpTrigger'
