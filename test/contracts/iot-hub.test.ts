/** IoT Hub, seen through the official device SDK and the `mqtt` package. */
import iot from 'azure-iot-device'
import type { Client, Twin } from 'azure-iot-device'
import iotMqtt from 'azure-iot-device-mqtt'
import mqtt from 'mqtt'
import type { IClientOptions, MqttClient } from 'mqtt'
import { createConnection } from 'node:net'
import { connect as tlsConnect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formatDeviceConnectionString, sharedAccessSignature } from '../../device-sim/device-credentials.ts'
import type { DeviceCredentials } from '../../device-sim/device-credentials.ts'
import { cloudForTests, onAzure } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { eventsOf as readEvents } from '../support/events.ts'
import { mqttOptions } from '../support/mqtt-options.ts'

let cloud: CloudForTests
beforeAll(async () => {
  cloud = await cloudForTests()
})
afterAll(() => cloud.stop())

const eventsOf = (deviceId: string, count: number) => readEvents(cloud, deviceId, count)

async function withSdk<T>(credentials: DeviceCredentials, use: (client: Client) => Promise<T>, options = {}): Promise<T> {
  const client = iot.Client.fromConnectionString(formatDeviceConnectionString(credentials), iotMqtt.Mqtt)
  await client.setOptions({ ca: cloud.ca, ...options })
  await client.open()
  try {
    return await use(client)
  } finally {
    await client.close()
  }
}

const connectMqtt = (options: IClientOptions): Promise<MqttClient> => mqtt.connectAsync(options)

/** Resolves when the hub has ended the connection. */
const closed = (client: MqttClient) =>
  new Promise<void>((resolve) => (client.connected ? client.once('close', () => resolve()) : resolve()))

describe('telemetry', () => {
  test('by the device SDK arrives with its properties and the hub’s own', async () => {
    const credentials = await cloud.device('sdk-1')
    await withSdk(
      credentials,
      async (client) => {
        const message = new iot.Message('{"temperature":21.5}')
        message.messageId = 'm-1'
        message.correlationId = 'c-1'
        message.contentType = 'application/json'
        message.contentEncoding = 'utf-8'
        message.properties.add('site', 'Köln & more=1')
        await client.sendEvent(message)
      },
      { modelId: 'dtmi:example:Thermostat;1' },
    )
    const [event] = await eventsOf('sdk-1', 1)
    expect(event).toMatchObject({
      body: { temperature: 21.5 },
      contentType: 'application/json',
      correlationId: 'c-1',
      messageId: 'm-1',
      properties: { site: 'Köln & more=1' },
    })
    expect(event!.systemProperties).toMatchObject({
      'iothub-connection-device-id': 'sdk-1',
      'iothub-message-source': 'Telemetry',
      'dt-dataschema': 'dtmi:example:Thermostat;1',
    })
    expect(JSON.parse(String(event!.systemProperties!['iothub-connection-auth-method']))).toMatchObject({ scope: 'device', type: 'sas' })
    expect(Number(event!.systemProperties!['iothub-enqueuedtime'])).toBeGreaterThan(Date.now() - 60_000)
  })

  test.skipIf(onAzure)(
    'by the mqtt package keeps its order, one partition a device, and survives a restart once acknowledged',
    async () => {
      const credentials = await cloud.device('plain-1')
      const client = await connectMqtt(mqttOptions(credentials))
      await Promise.all(
        Array.from({ length: 50 }, (_, index) =>
          client.publishAsync(`devices/plain-1/messages/events/$.ct=application%2Fjson&n=${index}`, JSON.stringify({ index }), { qos: 1 }),
        ),
      )
      await client.endAsync()
      const before = await eventsOf('plain-1', 50)
      expect(before.map(({ body }) => (body as { index: number }).index)).toEqual(Array.from({ length: 50 }, (_, index) => index))
      expect(before.map(({ properties }) => properties?.n)).toEqual(Array.from({ length: 50 }, (_, index) => String(index)))
      await cloud.restart()
      const after = await eventsOf('plain-1', 50)
      expect(after.map(({ sequenceNumber, offset }) => [sequenceNumber, offset])).toEqual(
        before.map(({ sequenceNumber, offset }) => [sequenceNumber, offset]),
      )
      expect(after).toHaveLength(50)
    },
  )

  test('retained messages are passed on with a mark, and the will when a connection breaks', async () => {
    const credentials = await cloud.device('will-1')
    const client = await connectMqtt({
      ...mqttOptions(credentials),
      will: { topic: 'devices/will-1/messages/events/', payload: Buffer.from('{"gone":1}'), qos: 1, retain: false },
    })
    await client.publishAsync('devices/will-1/messages/events/', '{"v":1}', { qos: 1, retain: true })
    client.stream.destroy()
    const events = await eventsOf('will-1', 2)
    expect(events[0]!.properties).toMatchObject({ 'mqtt-retain': 'true' })
    expect(events[1]).toMatchObject({ body: { gone: 1 }, properties: { 'iothub-MessageType': 'Will' } })
  })
})

describe('twins', () => {
  test.skipIf(onAzure)('reported and desired properties travel both ways, with versions', async () => {
    const credentials = await cloud.device('twin-1')
    await withSdk(credentials, async (client) => {
      const twin: Twin = await client.getTwin()
      expect(twin.properties.desired.$version).toBe(1)
      await new Promise<void>((resolve, reject) =>
        twin.properties.reported.update({ firmware: '1.0', nested: { a: 1, b: 2 } }, (error?: Error) =>
          error ? reject(error) : resolve(),
        ),
      )
      await new Promise<void>((resolve, reject) =>
        twin.properties.reported.update({ nested: { a: null } }, (error?: Error) => (error ? reject(error) : resolve())),
      )
      const desired = new Promise((resolve) => twin.on('properties.desired', (patch) => 'interval' in patch && resolve(patch)))
      await patchDesired('twin-1', { interval: 5 })
      expect(await desired).toMatchObject({ interval: 5, $version: 2 })
    })
    await cloud.restart()
    await withSdk(credentials, async (client) => {
      const twin = await client.getTwin()
      expect(twin.properties.reported).toMatchObject({ firmware: '1.0', nested: { b: 2 } })
      expect(twin.properties.desired).toMatchObject({ interval: 5 })
    })
  })
})

async function patchDesired(deviceId: string, desired: Record<string, unknown>): Promise<void> {
  const { hubHost } = cloud.registry
  const key = /SharedAccessKey=(.+)$/.exec(cloud.connection.iotHub)![1]!
  const body = JSON.stringify({ properties: { desired } })
  const { request } = await import('node:https')
  await new Promise<void>((resolve, reject) => {
    const headers = {
      authorization: sharedAccessSignature(hubHost, key, Date.now() + 60_000, 'iothubowner'),
      'content-type': 'application/json',
      'content-length': body.length,
    }
    request(`https://${hubHost}/twins/${deviceId}?api-version=2021-04-12`, { method: 'PATCH', headers, ca: cloud.ca }, (response) => {
      response.resume()
      response.on('end', () => (response.statusCode === 200 ? resolve() : reject(new Error(String(response.statusCode)))))
    })
      .on('error', reject)
      .end(body)
  })
}

describe('what the hub refuses', () => {
  test.skipIf(onAzure).each([
    ['QoS 2', (client: MqttClient) => client.publish('devices/bad-1/messages/events/', '{}', { qos: 2 }), 'qos-2'],
    ['a topic that is not documented', (client: MqttClient) => client.publish('some/topic', '{}', { qos: 1 }), 'undocumented-topic'],
    ["another device's topic", (client: MqttClient) => client.publish('devices/other/messages/events/', '{}', { qos: 1 }), 'foreign-topic'],
    ['a subscription to everything', (client: MqttClient) => client.subscribe('#'), 'undocumented-topic'],
    [
      'more than 256 KB',
      (client: MqttClient) => client.publish('devices/bad-1/messages/events/', Buffer.alloc(262_145), { qos: 1 }),
      'too-large',
    ],
    [
      'a broken property bag',
      (client: MqttClient) => client.publish('devices/bad-1/messages/events/%zz', '{}', { qos: 1 }),
      'malformed-properties',
    ],
  ])('%s ends the connection, and the reason is counted', async (_, breach, reason) => {
    const client = await connectMqtt(mqttOptions(await cloud.device('bad-1')))
    client.on('error', () => {})
    const before = cloud.refusals.length
    breach(client)
    await closed(client)
    expect(cloud.refusals.slice(before).map((refusal) => refusal.reason)).toContain(reason)
    await client.endAsync(true)
  })

  test('a wrong key, an unknown device and MQTT 5', async () => {
    const options = mqttOptions(await cloud.device('bad-2'))
    const refused = async (changed: IClientOptions) =>
      connectMqtt({ ...options, ...changed }).then(
        () => 'accepted',
        (error: { code?: number }) => error.code,
      )
    expect(
      await refused({ password: sharedAccessSignature('x/devices/bad-2', Buffer.from('wrong').toString('base64'), Date.now() + 60_000) }),
    ).toBe(5)
    expect(await refused({ clientId: 'nobody', username: options.username!.replace('bad-2', 'nobody') })).toBe(5)
    expect(await refused({ protocolVersion: 5 })).toBe(1)
  })

  test('the older of two connections of one identity', async () => {
    const options = mqttOptions(await cloud.device('twice-1'))
    const [older, newer] = [await connectMqtt(options), await connectMqtt(options)]
    await closed(older)
    await newer.publishAsync('devices/twice-1/messages/events/', '{"v":1}', { qos: 1 })
    await newer.endAsync()
  })

  test('garbage at every door, while a well-behaved neighbour goes on', async () => {
    const neighbour = await connectMqtt(mqttOptions(await cloud.device('good-1')))
    const [, port] = cloud.registry.hubHost.split(':')
    const amqpPort = Number(/localhost:(\d+)/.exec(cloud.connection.eventHub)![1])
    const garbage = [
      Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff, 0xff]),
      Buffer.from([0x10, 0x02, 0x00]),
      Buffer.from('AMQP\x07\x01\x00\x00'),
      Buffer.from('AMQP\x00\x01\x00\x00\xff\xff\xff\xff'),
      Buffer.from('GET / HTTP/1.1\r\nx: \x00\r\n\r\n'),
      Buffer.alloc(70_000, 0x41),
    ]
    for (const bytes of garbage) {
      const secure = tlsConnect({ host: 'localhost', port: Number(port), ca: cloud.ca })
      const plain = createConnection(amqpPort, '127.0.0.1')
      for (const socket of [secure, plain]) {
        socket.on('error', () => {})
        socket.write(bytes)
        socket.end()
        await Promise.race([
          new Promise((resolve) => socket.once('close', resolve)),
          neighbour.publishAsync('devices/good-1/messages/events/', '{"v":1}', { qos: 1 }),
        ])
        socket.destroy()
      }
    }
    expect(neighbour.connected).toBe(true)
    await neighbour.endAsync()
  })
})
