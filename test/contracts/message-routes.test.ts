/** Message routes of IoT Hub: by property, by body, by twin; to event hubs, queues, storage; and what the hub says itself. */
import { BlobServiceClient } from '@azure/storage-blob'
import { QueueServiceClient } from '@azure/storage-queue'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MqttDevice } from '../../device-sim/mqtt-device.ts'
import { sharedAccessSignature } from '../../device-sim/device-credentials.ts'
import { CloudSettings } from '../../local-cloud/cloud-settings.ts'
import { cloudForTests, onAzure } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { eventually } from '../support/eventually.ts'
import { eventsWhere } from '../support/events.ts'

let cloud: CloudForTests
beforeAll(async () => {
  cloud = await cloudForTests({
    eventHubs: [{ name: 'alarms' }, { name: 'changes' }],
    iotHub: {
      endpoints: [
        { kind: 'event-hub', name: 'alarm-hub', eventHub: 'alarms' },
        { kind: 'event-hub', name: 'change-hub', eventHub: 'changes' },
        { kind: 'queue', name: 'orders', queue: 'orders' },
        { kind: 'storage', name: 'archive', container: 'archive', batchSeconds: 1 },
      ],
      routes: [
        { name: 'critical', condition: "level = 'critical'", endpoints: ['alarm-hub', 'events'] },
        { name: 'hot', condition: '$body.temperature > 80', endpoints: ['alarm-hub'] },
        { name: 'orders', condition: "kind = 'order' AND $twin.tags.shop = 'a'", endpoints: ['orders'] },
        { name: 'archive', condition: "$connectionDeviceId = 'archived'", endpoints: ['archive'] },
        { name: 'off', condition: 'true', endpoints: ['orders'], isEnabled: false },
        { name: 'twins', source: 'TwinChangeEvents', endpoints: ['change-hub'] },
        { name: 'lives', source: 'DeviceLifecycleEvents', endpoints: ['change-hub'] },
        { name: 'connections', source: 'DeviceConnectionStateEvents', endpoints: ['change-hub'] },
      ],
    },
  })
})
afterAll(() => cloud.stop())

async function send(deviceId: string, body: unknown, properties: Record<string, string> = {}): Promise<void> {
  const { key, hubHost } = await cloud.device(deviceId)
  const authorization = sharedAccessSignature(`${hubHost}/devices/${deviceId}`, key, Date.now() + 60_000)
  const headers = Object.fromEntries(Object.entries(properties).map(([name, value]) => [`iothub-app-${name}`, value]))
  const system = { 'iothub-contenttype': 'application/json', 'iothub-contentencoding': 'utf-8' }
  const { status } = await cloud.rest('POST', `/devices/${deviceId}/messages/events`, body, { authorization, ...headers, ...system })
  expect(status).toBe(204)
}

const bodiesIn = async (hub: string, count: number, isWanted: (properties: Record<string, unknown>) => boolean = () => true) =>
  (
    await eventsWhere(`${cloud.connection.eventHubNamespace};EntityPath=${hub}`, ({ properties }) => isWanted(properties ?? {}), count, hub)
  ).map(({ body }) => body as unknown)
const builtIn = async (count: number) =>
  (await eventsWhere(cloud.connection.eventHub, () => true, count, 'the built-in endpoint')).map(({ body }) => body as unknown)

describe.skipIf(onAzure)('device messages', () => {
  test('go where a route says, and to the built-in endpoint when none does', async () => {
    await send('r-1', { n: 1 })
    await send('r-1', { n: 2 }, { level: 'critical' })
    await send('r-1', { n: 3, temperature: 90 })
    expect(await bodiesIn('alarms', 2)).toEqual([{ n: 2 }, { n: 3, temperature: 90 }])
    expect(await builtIn(2)).toEqual([{ n: 1 }, { n: 2 }])
  })

  test('reach a queue, by a property and the sender’s twin', async () => {
    await cloud.device('r-2')
    await cloud.rest('PATCH', '/twins/r-2', { tags: { shop: 'a' } })
    await send('r-2', { order: 5 }, { kind: 'order' })
    await send('r-3', { order: 6 }, { kind: 'order' })
    const queue = QueueServiceClient.fromConnectionString(cloud.connection.storage).getQueueClient('orders')
    const message = await eventually(async () => (await queue.receiveMessages().catch(() => undefined))?.receivedMessageItems[0])
    expect(JSON.parse(Buffer.from(message.messageText, 'base64').toString())).toMatchObject({
      Body: { order: 5 },
      Properties: { kind: 'order' },
      SystemProperties: { connectionDeviceId: 'r-2' },
    })
  })

  test('reach storage in batches, also those that waited when the hub went down', async () => {
    await Promise.all([1, 2, 3].map((n) => send('archived', { n })))
    await cloud.restart()
    const container = BlobServiceClient.fromConnectionString(cloud.connection.storage).getContainerClient('archive')
    const bodies = await eventually(async () => {
      const found = new Set<number>()
      try {
        for await (const { name } of container.listBlobsFlat()) {
          const text = (await container.getBlobClient(name).downloadToBuffer()).toString()
          for (const line of text.trim().split('\n')) found.add((JSON.parse(line) as { Body: { n: number } }).Body.n)
        }
      } catch {
        return undefined
      }
      return found.size === 3 ? found : undefined
    })
    expect(bodies).toEqual(new Set([1, 2, 3]))
  })
})

describe.skipIf(onAzure)('what the hub says of its own', () => {
  test('a device is made, connects, goes, changes and is deleted', async () => {
    const device = new MqttDevice(await cloud.device('life-1'), '', () => {})
    device.send({ timeMs: Date.now(), values: { a: 1 } })
    await device.drained()
    await device.close({ force: true })
    await cloud.rest('PATCH', '/twins/life-1', { tags: { a: 1 } })
    await cloud.rest('DELETE', '/devices/life-1', undefined, { 'if-match': '*' })
    const events = await eventsWhere(
      `${cloud.connection.eventHubNamespace};EntityPath=changes`,
      ({ properties }) => properties?.deviceId === 'life-1',
      5,
      'life-1',
    )
    expect(new Set(events.map(({ properties }) => properties!.opType))).toEqual(
      new Set(['createDeviceIdentity', 'deviceConnected', 'deviceDisconnected', 'updateTwin', 'deleteDeviceIdentity']),
    )
    const change = events.find(({ properties }) => properties!.opType === 'updateTwin')
    expect(change).toMatchObject({
      body: { tags: { a: 1 } },
      properties: { 'iothub-message-schema': 'twinChangeNotification', hubName: 'localhost' },
    })
  })
})

test.skipIf(onAzure)('settings that cannot work are refused, all mistakes at once', () => {
  const parsed = CloudSettings.safeParse({
    iotHub: {
      tier: 'S9',
      endpoints: [{ kind: 'event-hub', name: 'x', eventHub: 'nowhere' }],
      routes: [{ name: 'r', endpoints: ['missing'] }],
    },
    eventHubs: [{ name: 'a b' }],
  })
  expect(parsed.error!.issues.length).toBeGreaterThan(1)
})
