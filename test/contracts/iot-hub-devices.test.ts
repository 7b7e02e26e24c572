/** IoT Hub's device side beyond telemetry: certificates, WebSockets, sessions, HTTPS, uploads, throttles, faults. */
import { writeFileSync, mkdtempSync, rmSync } from 'node:fs'
import { Readable } from 'node:stream'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EventHubConsumerClient, earliestEventPosition } from '@azure/event-hubs'
import { BlobServiceClient } from '@azure/storage-blob'
import iot from 'azure-iot-device'
import iotMqtt from 'azure-iot-device-mqtt'
import iothub from 'azure-iothub'
import mqtt from 'mqtt'
import type { IClientOptions, MqttClient } from 'mqtt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import '../../bin/host-ports.mjs'
import { formatDeviceConnectionString, sharedAccessSignature } from '../../device-sim/device-credentials.ts'
import { selfSigned } from '../support/certificates.ts'
import type { CertificateForTests } from '../support/certificates.ts'
import { cloudForTests, onAzure } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { eventually } from '../support/eventually.ts'
import { eventsOf } from '../support/events.ts'
import { mqttOptions } from '../support/mqtt-options.ts'
import { trust } from '../support/trust.ts'

let cloud: CloudForTests
let authority: CertificateForTests
let folder: string
beforeAll(async () => {
  authority = await selfSigned('Plant authority', { isAuthority: true })
  folder = mkdtempSync(join(tmpdir(), 'authority-'))
  writeFileSync(join(folder, 'authority.pem'), authority.cert)
  cloud = await cloudForTests({ iotHub: { certificateAuthorities: [join(folder, 'authority.pem')] } })
  trust(cloud.ca)
})
afterAll(async () => {
  await cloud.stop()
  rmSync(folder, { recursive: true, force: true })
})

const optionsOf = (deviceId: string, credentials: { key?: string; certificate?: CertificateForTests }): IClientOptions =>
  mqttOptions({ hubHost: cloud.registry.hubHost, deviceId, ca: cloud.ca, ...credentials })

async function connect(deviceId: string, change: IClientOptions = {}): Promise<MqttClient> {
  const { key } = await cloud.device(deviceId)
  return mqtt.connectAsync({ ...optionsOf(deviceId, { key }), ...change })
}

const outcome = (promise: Promise<MqttClient>) =>
  promise.then(
    async (client) => {
      await client.endAsync(true)
      return 'connected'
    },
    (error: Error) => error.message,
  )

const closed = (client: MqttClient) =>
  new Promise<void>((resolve) => (client.connected ? client.once('close', () => resolve()) : resolve()))

const register = (deviceId: string, authentication: unknown) => cloud.rest('PUT', `/devices/${deviceId}`, { deviceId, authentication })

describe('X.509', () => {
  test('a certificate whose thumbprint is registered lets its device in, and nobody else', async () => {
    const [own, other] = [await selfSigned('x-1'), await selfSigned('x-1')]
    await register('x-1', { type: 'selfSigned', x509Thumbprint: { primaryThumbprint: own.thumbprint, secondaryThumbprint: null } })
    await register('x-2', { type: 'selfSigned', x509Thumbprint: { primaryThumbprint: other.thumbprint, secondaryThumbprint: null } })
    expect(await outcome(mqtt.connectAsync(optionsOf('x-1', { certificate: own })))).toBe('connected')
    expect(await outcome(mqtt.connectAsync(optionsOf('x-1', { certificate: other })))).toMatch(/Not authorized/)
    expect(await outcome(mqtt.connectAsync(optionsOf('x-2', { certificate: own })))).toMatch(/Not authorized/)
    expect(await outcome(mqtt.connectAsync(optionsOf('x-1', {})))).toMatch(/Not authorized/)
  })

  test.skipIf(onAzure)('a certificate of the hub’s authority lets the device of its name in', async () => {
    await register('ca-1', { type: 'certificateAuthority' })
    await register('ca-2', { type: 'certificateAuthority' })
    const intermediate = await authority.issue('Line authority', { isAuthority: true })
    const leaf = await intermediate.issue('ca-2')
    const chained = { ...leaf, cert: leaf.cert + intermediate.cert }
    const attempts: [string, CertificateForTests, RegExp][] = [
      ['ca-1', await authority.issue('ca-1'), /^connected$/],
      ['ca-2', chained, /^connected$/],
      ['ca-2', await authority.issue('ca-1'), /Not authorized/],
      ['ca-1', await selfSigned('ca-1'), /Not authorized/],
      ['ca-1', await authority.issue('ca-1', { days: -1 }), /Not authorized/],
    ]
    for (const [deviceId, certificate, expected] of attempts)
      expect(await outcome(mqtt.connectAsync(optionsOf(deviceId, { certificate })))).toMatch(expected)
  })

  test('by the device SDK', async () => {
    const certificate = await selfSigned('x-sdk')
    await register('x-sdk', {
      type: 'selfSigned',
      x509Thumbprint: { primaryThumbprint: certificate.thumbprint, secondaryThumbprint: null },
    })
    const client = iot.Client.fromConnectionString(`HostName=${cloud.registry.hubHost};DeviceId=x-sdk;x509=true`, iotMqtt.Mqtt)
    await client.setOptions({ ca: cloud.ca, cert: certificate.cert, key: certificate.key })
    await client.open()
    await client.sendEvent(new iot.Message('{"by":"x509"}'))
    await client.close()
    const [event] = await eventsOf(cloud, 'x-sdk', 1)
    expect(JSON.parse(String(event!.systemProperties!['iothub-connection-auth-method']))).toMatchObject({ type: 'x509' })
  })
})

describe('MQTT over WebSocket', () => {
  test('is MQTT, behind a handshake on /$iothub/websocket', async () => {
    const client = await connect('ws-1', { protocol: 'wss', path: '/$iothub/websocket' })
    await client.publishAsync('devices/ws-1/messages/events/a=1', '{"over":"ws"}', { qos: 1 })
    await client.subscribeAsync('$iothub/twin/res/#')
    const answer = new Promise<string>((resolve) => client.once('message', (topic) => resolve(topic)))
    await client.publishAsync('$iothub/twin/GET/?$rid=1', ' ')
    expect(await answer).toBe('$iothub/twin/res/200/?$rid=1')
    await client.endAsync()
    expect((await eventsOf(cloud, 'ws-1', 1))[0]).toMatchObject({ body: { over: 'ws' }, properties: { a: '1' } })
  })

  test('elsewhere, or without its sub-protocol, is refused', async () => {
    const attempt = (path: string, protocol: string) =>
      new Promise<string>((resolve) => {
        const socket = new WebSocket(`wss://${cloud.registry.hubHost}${path}`, protocol, { ca: cloud.ca })
        socket.on('unexpected-response', (_, { statusCode }) => resolve(`HTTP ${statusCode}`))
        socket.on('close', (code) => resolve(`closed ${code}`))
        socket.on('error', () => resolve('refused'))
      })
    expect(await attempt('/mqtt', 'mqtt')).toBe('HTTP 404')
    expect(await attempt('/$iothub/websocket', 'chat')).not.toBe('open')
  })
})

describe('sessions', () => {
  const send = async (deviceId: string, text: string) => {
    const service = iothub.Client.fromConnectionString(cloud.connection.iotHub)
    await service.open()
    await service.send(deviceId, text)
    await service.close()
  }
  const firstMessage = (client: MqttClient) =>
    new Promise<string>((resolve) => client.once('message', (_, body) => resolve(body.toString())))

  test.skipIf(onAzure)(
    'kept: a device that listened once gets its messages without subscribing again, over a restart of the hub',
    async () => {
      const first = await connect('session-1')
      expect(first.connected).toBe(true)
      await first.subscribeAsync('devices/session-1/messages/devicebound/#', { qos: 1 })
      await first.endAsync()
      await cloud.restart()
      await send('session-1', 'while you were away')
      const { key } = await cloud.device('session-1')
      const second = mqtt.connect(optionsOf('session-1', { key }))
      const [present, text] = await Promise.all([
        new Promise<boolean>((resolve) => second.once('connect', ({ sessionPresent }) => resolve(sessionPresent))),
        firstMessage(second),
      ])
      expect([present, text]).toEqual([true, 'while you were away'])
      await second.endAsync()
    },
  )

  test('kept: a message that was not acknowledged comes again to the next connection', async () => {
    const first = await connect('session-5')
    // Takes the message, and never acknowledges it.
    first.handleMessage = () => {}
    const taken = firstMessage(first)
    await first.subscribeAsync('devices/session-5/messages/devicebound/#', { qos: 1 })
    await send('session-5', 'twice')
    expect(await taken).toBe('twice')
    const { key } = await cloud.device('session-5')
    const second = mqtt.connect(optionsOf('session-5', { key }))
    expect(await firstMessage(second)).toBe('twice')
    await second.endAsync()
    await first.endAsync(true)
  })

  test('clean: nothing is kept', async () => {
    const first = await connect('session-2')
    await first.subscribeAsync('devices/session-2/messages/devicebound/#', { qos: 1 })
    await first.endAsync()
    await (await connect('session-2', { clean: true })).endAsync()
    const { key } = await cloud.device('session-2')
    const third = mqtt.connect(optionsOf('session-2', { key }))
    expect(await new Promise<boolean>((resolve) => third.once('connect', ({ sessionPresent }) => resolve(sessionPresent)))).toBe(false)
    await third.endAsync()
  })

  test.skipIf(onAzure)('end when the token ends', async () => {
    const { key } = await cloud.device('session-3')
    const { hubHost } = cloud.registry
    const password = sharedAccessSignature(`${hubHost}/devices/session-3`, key, Date.now() + 1_500)
    const client = await mqtt.connectAsync({ ...optionsOf('session-3', { key }), password })
    await closed(client)
    expect(cloud.refusals.some(({ reason, detail }) => reason === 'token-expired' && detail.includes('session-3'))).toBe(true)
  })

  test('end when the identity is disabled', async () => {
    const client = await connect('session-4')
    await cloud.rest('PUT', '/devices/session-4', { deviceId: 'session-4', status: 'disabled' }, { 'if-match': '*' })
    await closed(client)
    expect(await outcome(connect('session-4'))).toMatch(/Not authorized/)
  })
})

describe('over HTTPS', () => {
  test('a device sends, receives and completes', async () => {
    const credentials = await cloud.device('https-1')
    const { hubHost } = cloud.registry
    const authorization = sharedAccessSignature(`${hubHost}/devices/https-1`, credentials.key, Date.now() + 60_000)
    const headers = { authorization, 'iothub-app-a': 'b', 'iothub-contenttype': 'application/json', 'iothub-messageid': 'm1' }
    expect((await cloud.rest('POST', '/devices/https-1/messages/events', { over: 'https' }, headers)).status).toBe(204)
    const [event] = await eventsOf(cloud, 'https-1', 1)
    expect(event).toMatchObject({ body: { over: 'https' }, properties: { a: 'b' }, messageId: 'm1', contentType: 'application/json' })
    const service = iothub.Client.fromConnectionString(cloud.connection.iotHub)
    await service.open()
    await service.send('https-1', 'to you')
    await service.close()
    const taken = await cloud.rest('GET', '/devices/https-1/messages/devicebound', undefined, { authorization })
    expect([taken.status, taken.body]).toEqual([200, 'to you'])
    const again = await cloud.rest('GET', '/devices/https-1/messages/devicebound', undefined, { authorization })
    expect(again.status).toBe(204)
    const lock = String(taken.headers.etag).replaceAll('"', '')
    expect((await cloud.rest('DELETE', `/devices/https-1/messages/devicebound/${lock}`, undefined, { authorization })).status).toBe(204)
    expect((await cloud.rest('DELETE', `/devices/https-1/messages/devicebound/${lock}`, undefined, { authorization })).status).toBe(412)
  })

  test('a device cannot read what is for another', async () => {
    const { key } = await cloud.device('https-2')
    await cloud.device('https-3')
    const authorization = sharedAccessSignature(`${cloud.registry.hubHost}/devices/https-2`, key, Date.now() + 60_000)
    for (const path of ['/devices/https-3/messages/devicebound', '/devices/https-3', '/twins/https-3', '/devices/https-2'])
      expect((await cloud.rest('GET', path, undefined, { authorization })).status).toBe(401)
    expect((await cloud.rest('POST', '/devices/https-3/messages/events', { a: 1 }, { authorization })).status).toBe(401)
  })
})

describe('file upload', () => {
  test.skipIf(onAzure)('lends a blob, takes the file over HTTPS, and notifies back ends', async () => {
    const service = iothub.Client.fromConnectionString(cloud.connection.iotHub)
    await service.open()
    type Receiver = { on(event: 'message', listener: (message: { data: Buffer }) => void): void }
    const receiver = await new Promise<Receiver>((resolve, reject) =>
      service.getFileNotificationReceiver((error, found) => (error ? reject(error) : resolve(found as never))),
    )
    const notified = new Promise<{ blobName: string; blobSizeInBytes: number }>((resolve) =>
      receiver.on('message', ({ data }) => resolve((JSON.parse(data.toString()) as { blobName: string; blobSizeInBytes: number }[])[0]!)),
    )
    const credentials = await cloud.device('upload-1')
    const authorization = sharedAccessSignature(`${credentials.hubHost}/devices/upload-1`, credentials.key, Date.now() + 60_000)
    const { status, body } = await cloud.rest('POST', '/devices/upload-1/files', { blobName: 'log.txt' }, { authorization })
    expect(status).toBe(200)
    const { hostName, containerName, blobName, sasToken, correlationId } = body as Record<string, string>
    const url = `https://${hostName}/${containerName}/${blobName}${sasToken}`
    const put = await cloud.request(url, {
      method: 'PUT',
      body: Buffer.from('what happened'),
      headers: { 'x-ms-blob-type': 'BlockBlob', 'content-type': 'text/plain' },
    })
    expect(put.status).toBe(201)
    const done = { correlationId, isSuccess: true, statusCode: 201, statusDescription: 'done' }
    expect((await cloud.rest('POST', '/devices/upload-1/files/notifications', done, { authorization })).status).toBe(204)
    expect(await notified).toMatchObject({ blobName: 'upload-1/log.txt', blobSizeInBytes: 13 })
    expect((await cloud.rest('POST', '/devices/upload-1/files/notifications', done, { authorization })).status).toBe(400)
    await service.close()
  })
})

test.skipIf(onAzure)('the device SDK uploads a file', async () => {
  const client = iot.Client.fromConnectionString(formatDeviceConnectionString(await cloud.device('upload-2')), iotMqtt.Mqtt)
  await client.setOptions({ ca: cloud.ca })
  await client.open()
  await client.uploadToBlob('log.txt', Readable.from([Buffer.from('what happened')]), 13)
  await client.close()
  const blob = BlobServiceClient.fromConnectionString(cloud.connection.storage)
    .getContainerClient('device-uploads')
    .getBlobClient('upload-2/log.txt')
  expect((await blob.downloadToBuffer()).toString()).toBe('what happened')
})

describe('faults on request', () => {
  const set = (fault: Record<string, unknown>) => cloud.fault(fault)

  test.skipIf(onAzure)('a connection is killed, by a switch and by the message properties of the device SDKs', async () => {
    const client = await connect('fault-1')
    expect((await set({ kind: 'kill-connection', target: 'fault-1' })).body).toMatchObject({ struck: 1 })
    await closed(client)
    const again = await connect('fault-1')
    again.publish('devices/fault-1/messages/events/AzIoTHub_FaultOperationType=KillTcp&AzIoTHub_FaultOperationCloseReason=boom', '{}', {
      qos: 1,
    })
    await closed(again)
  })

  test.skipIf(onAzure)('throttling answers twins with 429 and ends a sender’s connection', async () => {
    const client = await connect('fault-2')
    await client.subscribeAsync('$iothub/twin/res/#')
    await set({ kind: 'throttle', target: 'fault-2', count: 2 })
    const answer = new Promise<string>((resolve) => client.once('message', (topic) => resolve(topic)))
    await client.publishAsync('$iothub/twin/GET/?$rid=1', ' ')
    expect(await answer).toMatch(/^\$iothub\/twin\/res\/429\//)
    client.publish('devices/fault-2/messages/events/', '{}', { qos: 1 })
    await closed(client)
    expect(cloud.refusals.some(({ reason }) => reason === 'throttled')).toBe(true)
  })

  test.skipIf(onAzure)('a dropped acknowledgement makes the device send again: stored twice, acknowledged once', async () => {
    await set({ kind: 'drop-acknowledgement', target: 'fault-3', count: 1 })
    const client = await connect('fault-3', { reconnectPeriod: 100 })
    const sent = client.publishAsync('devices/fault-3/messages/events/', '{"n":1}', { qos: 1 })
    await eventsOf(cloud, 'fault-3', 1)
    await set({ kind: 'kill-connection', target: 'fault-3' })
    await sent
    await client.endAsync()
    expect(await eventsOf(cloud, 'fault-3', 2)).toHaveLength(2)
  })

  test.skipIf(onAzure)('quotas, expired tokens and refused twins are seen by the device as from the service', async () => {
    const quota = await connect('fault-4')
    await set({ kind: 'quota', target: 'fault-4', count: 1 })
    quota.publish('devices/fault-4/messages/events/', '{}', { qos: 1 })
    await closed(quota)
    expect(cloud.refusals.some(({ reason }) => reason === 'quota-exceeded')).toBe(true)
    const expired = await connect('fault-5')
    expect((await set({ kind: 'expire-token', target: 'fault-5' })).body).toMatchObject({ struck: 1 })
    await closed(expired)
    const refused = await connect('fault-6')
    await refused.subscribeAsync('$iothub/twin/res/#')
    await set({ kind: 'refuse-twin', target: 'fault-6', count: 1 })
    const answer = new Promise<string>((resolve) => refused.once('message', (topic) => resolve(topic)))
    await refused.publishAsync('$iothub/twin/PATCH/properties/reported/?$rid=1', '{"a":1}')
    expect(await answer).toMatch(/^\$iothub\/twin\/res\/500\//)
    await refused.endAsync(true)
  })

  test.skipIf(onAzure)('delays and stalls last as long as asked, and lose nothing', async () => {
    const client = await connect('fault-7')
    const publish = async () => {
      const started = Date.now()
      await client.publishAsync('devices/fault-7/messages/events/', '{}', { qos: 1 })
      return Date.now() - started
    }
    await set({ kind: 'delay', target: 'fault-7', count: 1, delayMs: 400 })
    expect(await publish()).toBeGreaterThanOrEqual(395)
    await set({ kind: 'stall-connection', target: 'fault-7', delayMs: 500 })
    expect(await publish()).toBeGreaterThanOrEqual(400)
    expect(await eventsOf(cloud, 'fault-7', 2)).toHaveLength(2)
    await client.endAsync()
  })

  test.skipIf(onAzure)('a stolen epoch ends a reader, and its client reads on', async () => {
    const consumer = new EventHubConsumerClient('$Default', cloud.connection.eventHub)
    const problems: string[] = []
    let seen = 0
    const subscription = consumer.subscribe(
      {
        async processEvents(events) {
          seen += events.length
        },
        async processError(error) {
          problems.push((error as Error & { code?: string }).code ?? error.message)
        },
      },
      { startPosition: earliestEventPosition, maxBatchSize: 100, maxWaitTimeInSeconds: 1 },
    )
    await eventually(() => (seen > 0 ? true : undefined))
    expect((await set({ kind: 'steal-epoch' })).body).toMatchObject({ struck: expect.any(Number) as number })
    await eventually(() => (problems.length > 0 ? true : undefined))
    const before = seen
    await (await connect('fault-8')).publishAsync('devices/fault-8/messages/events/', '{}', { qos: 1 })
    await eventually(() => (seen > before ? true : undefined), { withinMs: 30_000 })
    await subscription.close()
    await consumer.close()
  })

  test.skipIf(onAzure)('switches need the token', async () => {
    expect((await cloud.fault({ kind: 'throttle' }, 'wrong')).status).toBe(401)
    expect((await cloud.fault({ kind: 'nonsense' })).status).toBe(400)
  })
})

describe('the tier', () => {
  test.skipIf(onAzure)('throttles as the service does: a second’s worth at once, then a queue, then refusal', async () => {
    const small = await cloudForTests({ iotHub: { tier: 'F1', throttling: true } })
    try {
      const statuses = await Promise.all(
        Array.from({ length: 60 }, async () => (await small.rest('POST', '/devices/query', { query: 'SELECT * FROM devices' })).status),
      )
      expect(new Set(statuses)).toEqual(new Set([200, 429]))
    } finally {
      await small.stop()
    }
  })
})
