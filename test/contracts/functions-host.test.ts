/**
 * The unmodified functions app, in a folder where nothing else is, run by the local host against the local cloud, with
 * numbers and with Long objects as metadata.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { QueueServiceClient } from '@azure/storage-queue'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DeviceView, LedgerView, PartitionList } from '../../contract/api.ts'
import { appliedMessages } from '../../cloud-functions/store/hot-path-store.ts'
import { openTables } from '../../cloud-functions/store/tables.ts'
import { MqttDevice } from '../../device-sim/mqtt-device.ts'
import { startFunctionsHost } from '../../local-cloud/functions-host/functions-host.ts'
import type { FunctionsHost } from '../../local-cloud/functions-host/functions-host.ts'
import { builtInEventHub, consumerGroups } from '../../local-cloud/local-cloud.ts'
import { cloudForTests, onAzure } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { eventually } from '../support/eventually.ts'
import { root } from '../support/product.ts'

describe.skipIf(onAzure).each([
  ['numbers', false],
  ['Long objects', true],
])('the functions app, with 64-bit metadata as %s', (_, longMetadata) => {
  let cloud: CloudForTests
  let host: FunctionsHost
  let server: http.Server
  const logs: string[] = []
  const folder = mkdtempSync(join(tmpdir(), 'app-'))

  async function startHost(): Promise<void> {
    host = await startFunctionsHost({
      appFile: join(folder, 'main.cjs'),
      workerFile: join(root, 'dist', 'local-cloud', 'functions-worker.cjs'),
      settings: {
        AzureWebJobsStorage: cloud.connection.storage,
        EventHubConnection: cloud.connection.eventHub,
        EVENT_HUB_NAME: builtInEventHub,
        EVENT_HUB_CONSUMER_GROUP: consumerGroups.trigger,
        REPLAY_CONSUMER_GROUP: consumerGroups.replay,
        SERVICE_DEPARTMENT_URL: 'http://127.0.0.1:9/nobody',
        SERVICE_DEPARTMENT_SECRET: `whsec_${Buffer.from('a secret of the test').toString('base64')}`,
        OPERATOR_TOKEN: 'the operator of the test',
      },
      longMetadata,
      log: (level, text) => logs.push(`${level} ${text}`),
    })
  }

  beforeAll(async () => {
    cpSync(join(root, 'dist', 'functions'), folder, { recursive: true })
    // Every batch moves the checkpoint: none comes again by luck.
    const hostFile = join(folder, 'host.json')
    const hostJson = readFileSync(hostFile, 'utf8')
    writeFileSync(hostFile, hostJson.replace(/"batchCheckpointFrequency": \d+/, '"batchCheckpointFrequency": 1'))
    cloud = await cloudForTests()
    await startHost()
    server = http.createServer((request, response) => {
      if (!host.handleHttp(request, response)) response.writeHead(404).end()
    })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  })
  afterAll(async () => {
    server.close()
    await host.stop()
    await cloud.stop()
    rmSync(folder, { recursive: true })
  })

  const get = async <T>(path: string, parse: (value: unknown) => T): Promise<T> => {
    const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1/${path}`)
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return parse(await response.json())
  }

  test('stores what devices send, and HTTP functions see it without sharing memory', async () => {
    const device = new MqttDevice(await cloud.device('machine-1'), '', () => {})
    for (let count = 0; count < 40; count++) device.send({ timeMs: Date.now() + count, values: { level: count } })
    await device.drained()
    await device.close({ force: true })
    const found = await eventually(async () => {
      const view = await get('devices/machine-1', DeviceView.parse)
      return view.ledger.stored === 40 ? view : undefined
    })
    expect(found).toMatchObject({ signals: [{ signal: 'level', value: 39 }], ledger: { published: 40, unexplained: 0 } })
  })

  test('a host that was stopped goes on where it was, and reads again what it had not snapshotted', async () => {
    await host.stop()
    const device = new MqttDevice(await cloud.device('machine-1'), '', () => {})
    device.send({ timeMs: Date.now(), values: { level: 99 } })
    await device.drained()
    await device.close({ force: true })
    await startHost()
    await eventually(async () => ((await get('devices/machine-1', DeviceView.parse)).signals[0]?.value === 99 ? true : undefined))
    expect((await get('ledger', LedgerView.parse)).total).toMatchObject({ published: 41, stored: 41, unexplained: 0 })
  })

  test('one that ends in peace writes all it knows', async () => {
    const device = new MqttDevice(await cloud.device('machine-1'), '', () => {})
    // The second follows so soon that its state is not written yet.
    for (const level of [100, 101]) {
      device.send({ timeMs: Date.now(), values: { level } })
      await eventually(async () => ((await get('devices/machine-1', DeviceView.parse)).signals[0]?.value === level ? true : undefined))
    }
    await device.close({ force: true })
    const ends = (await get('partitions', PartitionList.parse)).partitions.map(({ lastSequence }) => lastSequence)
    await host.stop()
    const applied = await appliedMessages(await openTables(cloud.connection.storage))
    expect([...applied.values()]).toMatchObject([{ sequence: Math.max(...ends) }])
  })

  test('what one knew and had not written is read from the log again, though the checkpoint is past it and nothing follows', async () => {
    const tables = await openTables(cloud.connection.storage)
    for (const table of [tables.hotPathState, tables.latest])
      for await (const { partitionKey, rowKey } of table.listEntities()) await table.deleteEntity(partitionKey!, rowKey!)
    await startHost()
    await eventually(
      async () => ((await get('ledger', LedgerView.parse)).total.stored === 43 ? true : undefined),
      // A sweep has to find that nobody has worked on it for ten seconds.
      { withinMs: 40_000 },
    )
    expect((await get('devices/machine-1', DeviceView.parse)).signals[0]?.value).toBe(101)
  }, 60_000)

  test('a queue message that a function cannot digest is reported, and left for another try', async () => {
    const queues = QueueServiceClient.fromConnectionString(cloud.connection.storage)
    const queue = queues.getQueueClient('alert-transitions')
    const { messageId } = await queue.sendMessage(Buffer.from('{"alertId":"../../etc"}').toString('base64'))
    expect(messageId).not.toBe('')
    await eventually(() => (logs.some((line) => line.includes(messageId)) ? true : undefined), { what: 'the failed delivery in the log' })
  })

  test('paths and methods that no function has are refused', async () => {
    const status = async (method: string, path: string) =>
      (await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, { method })).status
    expect(await status('GET', '/api/v1/nothing')).toBe(404)
    expect(await status('DELETE', '/api/v1/alerts')).toBe(405)
    expect(await status('GET', '/api/v1/devices/%zz')).toBe(400)
    expect(await status('GET', '/elsewhere')).toBe(404)
  })
})
