/** Devices and modules over AMQP, by the official client, and on the wire where it does not go. */
import iot from 'azure-iot-device'
import { Amqp } from 'azure-iot-device-amqp'
import iothub from 'azure-iothub'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import '../../bin/host-ports.mjs'
import { formatDeviceConnectionString } from '../../device-sim/device-credentials.ts'
import { selfSigned } from '../support/certificates.ts'
import { cloudForTests } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { eventsOf } from '../support/events.ts'
import { trust } from '../support/trust.ts'

let cloud: CloudForTests
let service: iothub.Client
beforeAll(async () => {
  cloud = await cloudForTests()
  trust(cloud.ca)
  service = iothub.Client.fromConnectionString(cloud.connection.iotHub)
  await service.open()
})
afterAll(async () => {
  await service.close()
  await cloud.stop()
})

async function connect(deviceId: string): Promise<iot.Client> {
  const client = iot.Client.fromConnectionString(formatDeviceConnectionString(await cloud.device(deviceId)), Amqp)
  await client.setOptions({ ca: cloud.ca })
  await client.open()
  return client
}

test('telemetry arrives with its properties and says who sent it', async () => {
  const client = await connect('amqp-1')
  const message = new iot.Message(JSON.stringify({ over: 'amqp' }))
  message.messageId = 'm-1'
  message.correlationId = 'c-1'
  message.contentType = 'application/json'
  message.contentEncoding = 'utf-8'
  message.properties.add('level', 'high')
  await client.sendEvent(message)
  const [event] = await eventsOf(cloud, 'amqp-1', 1)
  expect(event).toMatchObject({
    body: { over: 'amqp' },
    properties: { level: 'high' },
    messageId: 'm-1',
    correlationId: 'c-1',
    contentType: 'application/json',
    systemProperties: { 'iothub-connection-device-id': 'amqp-1', 'iothub-message-source': 'Telemetry' },
  })
  expect(JSON.parse(String(event!.systemProperties!['iothub-connection-auth-method']))).toMatchObject({ scope: 'device', type: 'sas' })
  await client.close()
})

test('a message of more than 256 KB is refused, and the connection goes on', async () => {
  const client = await connect('amqp-2')
  await expect(client.sendEvent(new iot.Message(Buffer.alloc(257 * 1024, 1)))).rejects.toMatchObject({ name: 'MessageTooLargeError' })
  await client.sendEvent(new iot.Message('"small"'))
  expect(await eventsOf(cloud, 'amqp-2', 1)).toHaveLength(1)
  await client.close()
})

/** What a device is sent, in order: without a listener the client would close the link it comes by. */
function inbox(client: iot.Client): () => Promise<iot.Message> {
  const taken: iot.Message[] = []
  client.on('message', (message: iot.Message) => taken.push(message))
  return async () => {
    await expect.poll(() => taken.length).toBeGreaterThan(0)
    return taken.shift()!
  }
}

describe('messages from the cloud', () => {
  test('are completed, rejected, and come again when given back; the sender hears of it', async () => {
    const client = await connect('amqp-3')
    const next = inbox(client)
    const feedback = await feedbackOf('amqp-3')
    const send = async (messageId: string) => {
      const message = Object.assign(new iot.Message(`do ${messageId}`), { messageId, ack: 'full' })
      await service.send('amqp-3', message)
    }
    await send('first')
    const taken = await next()
    expect(taken).toMatchObject({ messageId: 'first', to: '/devices/amqp-3/messages/devicebound' })
    expect(taken.getData().toString()).toBe('do first')
    await client.abandon(taken)
    const again = await next()
    expect(again.messageId).toBe('first')
    await client.complete(again)
    await send('second')
    await client.reject(await next())
    await expect.poll(() => feedback).toEqual({ first: 'Success', second: 'Rejected' })
    expect((await cloud.rest('GET', '/devices/amqp-3')).body).toMatchObject({ cloudToDeviceMessageCount: 0 })
    await client.close()
  })

  test('wait for a device that is away, and return when its connection ends before it has settled them', async () => {
    await cloud.device('amqp-4')
    await service.send('amqp-4', 'while you were away')
    const first = await connect('amqp-4')
    expect((await inbox(first)()).getData().toString()).toBe('while you were away')
    await first.close()
    const second = await connect('amqp-4')
    const taken = await inbox(second)()
    expect(taken.getData().toString()).toBe('while you were away')
    await second.complete(taken)
    await second.close()
  })
})

/** What became of the messages to a device, by their ids, as it becomes known. */
async function feedbackOf(deviceId: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  const receiver = await new Promise<{ on(event: 'message', listener: (message: { data: Buffer }) => void): void }>((resolve, reject) =>
    service.getFeedbackReceiver((error, opened) => (error ? reject(error) : resolve(opened as never))),
  )
  receiver.on('message', ({ data }) => {
    for (const record of JSON.parse(data.toString()) as { deviceId: string; originalMessageId: string; statusCode: string }[])
      if (record.deviceId === deviceId) found[record.originalMessageId] = record.statusCode
  })
  return found
}

test('a method is called and answered', async () => {
  const client = await connect('amqp-5')
  client.onDeviceMethod('reboot', (request, response) => void response.send(200, { after: (request.payload as { inS: number }).inS }))
  // Listening begins with links that are opened behind the scenes: the hub waits for the device to be there.
  const { result } = await service.invokeDeviceMethod('amqp-5', { methodName: 'reboot', payload: { inS: 3 }, connectTimeoutInSeconds: 10 })
  expect(result).toMatchObject({ status: 200, payload: { after: 3 } })
  await client.close()
})

test('the twin is read, reported and followed', async () => {
  const client = await connect('amqp-6')
  const twin = await client.getTwin()
  const reported = (patch: unknown) =>
    new Promise<void>((resolve, reject) => twin.properties.reported.update(patch, (error?: Error) => (error ? reject(error) : resolve())))
  await reported({ firmware: '1.4' })
  const change = new Promise<unknown>((resolve) =>
    twin.on('properties.desired', (delta: { interval?: number }) => delta.interval && resolve(delta)),
  )
  await expect
    .poll(async () => ((await cloud.rest('GET', '/twins/amqp-6')).body as { properties: { reported: object } }).properties.reported)
    .toMatchObject({ firmware: '1.4' })
  await cloud.rest('PATCH', '/twins/amqp-6', { properties: { desired: { interval: 5 } } })
  expect(await change).toMatchObject({ interval: 5 })
  await client.close()
})

test('a module sends to an output and has a twin of its own', async () => {
  await cloud.device('amqp-7')
  await cloud.rest('PUT', '/devices/amqp-7/modules/watcher', { deviceId: 'amqp-7', moduleId: 'watcher' })
  const { body } = await cloud.rest('GET', '/devices/amqp-7/modules/watcher')
  const { primaryKey } = (body as { authentication: { symmetricKey: { primaryKey: string } } }).authentication.symmetricKey
  const client = iot.ModuleClient.fromConnectionString(
    `HostName=${cloud.registry.hubHost};DeviceId=amqp-7;ModuleId=watcher;SharedAccessKey=${primaryKey}`,
    Amqp,
  )
  await client.setOptions({ ca: cloud.ca })
  await client.open()
  await client.sendOutputEvent('found', new iot.Message('{"by":"module"}'))
  const [event] = await eventsOf(cloud, 'amqp-7', 1)
  expect(event).toMatchObject({ body: { by: 'module' }, systemProperties: { 'iothub-connection-module-id': 'watcher' } })
  expect((await client.getTwin()).properties.desired).toMatchObject({ $version: 1 })
  await client.close()
})

describe('who may connect', () => {
  test('a certificate whose thumbprint is registered', async () => {
    const certificate = await selfSigned('amqp-x')
    await cloud.rest('PUT', '/devices/amqp-x', {
      deviceId: 'amqp-x',
      authentication: { type: 'selfSigned', x509Thumbprint: { primaryThumbprint: certificate.thumbprint, secondaryThumbprint: null } },
    })
    const client = iot.Client.fromConnectionString(`HostName=${cloud.registry.hubHost};DeviceId=amqp-x;x509=true`, Amqp)
    await client.setOptions({ ca: cloud.ca, cert: certificate.cert, key: certificate.key })
    await client.open()
    await client.sendEvent(new iot.Message('{"by":"x509"}'))
    expect((await eventsOf(cloud, 'amqp-x', 1))[0]!.body).toEqual({ by: 'x509' })
    await client.close()
  })

  test('not with a certificate of its own making', async () => {
    const [registered, other] = [await selfSigned('amqp-y'), await selfSigned('amqp-y')]
    await cloud.rest('PUT', '/devices/amqp-y', {
      deviceId: 'amqp-y',
      authentication: { type: 'selfSigned', x509Thumbprint: { primaryThumbprint: registered.thumbprint, secondaryThumbprint: null } },
    })
    const client = iot.Client.fromConnectionString(`HostName=${cloud.registry.hubHost};DeviceId=amqp-y;x509=true`, Amqp)
    await client.setOptions({ ca: cloud.ca, cert: other.cert, key: other.key })
    client.on('error', () => {})
    await client.open()
    await expect(client.sendEvent(new iot.Message('{}'))).rejects.toMatchObject({ name: 'UnauthorizedError' })
    await client.close()
  })

  test('not with the key of another', async () => {
    const [own, other] = [await cloud.device('amqp-8'), await cloud.device('amqp-9')]
    const client = iot.Client.fromConnectionString(formatDeviceConnectionString({ ...own, key: other.key }), Amqp)
    await client.setOptions({ ca: cloud.ca })
    await expect(client.open()).rejects.toMatchObject({ name: 'UnauthorizedError' })
  })
})
