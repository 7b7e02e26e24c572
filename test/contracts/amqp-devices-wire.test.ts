/** What clients of other languages do over AMQP and the official one does not: several devices a connection, batches, SASL. */
import { once } from 'node:events'
import iothub from 'azure-iothub'
import rhea from 'rhea'
import type { EventContext, Message } from 'rhea'
import { WebSocket } from 'ws'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import '../../bin/host-ports.mjs'
import { parseConnectionString } from '../../contract/connection.ts'
import { sharedAccessSignature } from '../../device-sim/device-credentials.ts'
import { createAccessToken } from '../../local-cloud/security/shared-access.ts'
import { amqpClient } from '../support/amqp-client.ts'
import type { AmqpClient } from '../support/amqp-client.ts'
import { cloudForTests, onAzure } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { eventsOf } from '../support/events.ts'
import { trust } from '../support/trust.ts'

let cloud: CloudForTests
beforeAll(async () => {
  cloud = await cloudForTests()
  trust(cloud.ca)
})
afterAll(() => cloud.stop())

const port = () => Number(cloud.registry.hubHost.split(':')[1])
const connect = (options: Record<string, unknown> = {}) => amqpClient({ port: port(), ca: cloud.ca, ...options })

async function tokenOf(deviceId: string, livesMs = 60_000): Promise<string> {
  const { hubHost, key } = await cloud.device(deviceId)
  return sharedAccessSignature(`${hubHost}/devices/${deviceId}`, key, Date.now() + livesMs)
}

async function deviceOn(client: AmqpClient, deviceId: string) {
  expect(await client.putToken(await tokenOf(deviceId))).toBe(200)
  return client.sender(`/devices/${deviceId}/messages/events`)
}

const data = (value: unknown): Message => ({ body: rhea.message.data_section(Buffer.from(JSON.stringify(value))) })
const connectionStateOf = async (deviceId: string) =>
  ((await cloud.rest('GET', `/devices/${deviceId}`)).body as { connectionState: string }).connectionState

test('one connection carries several devices, each by its own token', async () => {
  const client = await connect()
  const [a, b] = [await deviceOn(client, 'many-a'), await deviceOn(client, 'many-b')]
  expect(await Promise.all([client.send(a, data({ of: 'a' })), client.send(b, data({ of: 'b' }))])).toEqual(['accepted', 'accepted'])
  expect((await eventsOf(cloud, 'many-a', 1))[0]!.body).toEqual({ of: 'a' })
  expect((await eventsOf(cloud, 'many-b', 1))[0]!.body).toEqual({ of: 'b' })
  await cloud.device('many-c')
  await expect(client.receiver('/devices/many-c/messages/devicebound')).rejects.toThrow('amqp:unauthorized-access')
  // Ending one leaves the other.
  await cloud.rest('DELETE', '/devices/many-a', undefined, { 'if-match': '*' })
  await expect.poll(() => a.is_closed()).toBe(true)
  expect(await client.send(b, data({ again: true }))).toBe('accepted')
  client.close()
})

test.skipIf(onAzure)('a policy’s token carries as many devices as need be, and is renewed for all of them', async () => {
  const warnings: Error[] = []
  const warn = (warning: Error) => warnings.push(warning)
  process.on('warning', warn)
  const ids = Array.from({ length: 15 }, (_, n) => `pool-${n}`)
  const { hubHost } = cloud.registry
  await cloud.registry.ensureDevices(ids)
  const key = Buffer.from(await cloud.policyKey('device'), 'base64')
  const client = await connect()
  client.connection.setMaxListeners(0)
  await client.putToken(createAccessToken(hubHost, key, Date.now() + 1_000, 'device'))
  const senders = await Promise.all(
    ids.map(async (id) => {
      await client.receiver(`/devices/${id}/messages/devicebound`)
      return client.sender(`/devices/${id}/messages/events`)
    }),
  )
  await client.putToken(createAccessToken(hubHost, key, Date.now() + 60_000, 'device'))
  // Links are looked after every second: by then the first token has run out.
  await cloud.fault({ kind: 'delay', delayMs: 2_500, count: ids.length })
  expect(new Set(await Promise.all(senders.map((sender) => client.send(sender, data('still here')))))).toEqual(new Set(['accepted']))
  expect(await Promise.all(senders.map((sender) => client.send(sender, data('and again'))))).toEqual(ids.map(() => 'accepted'))
  process.off('warning', warn)
  expect(warnings).toEqual([])
  client.close()
})

test('a policy that may connect as any device speaks for those it names', async () => {
  const { hubHost } = await cloud.device('policy-1')
  const client = await connect()
  const key = Buffer.from(await cloud.policyKey('device'), 'base64')
  expect(await client.putToken(createAccessToken(hubHost, key, Date.now() + 60_000, 'device'))).toBe(200)
  const sender = await client.sender('/devices/policy-1/messages/events')
  expect(await client.send(sender, data('by policy'))).toBe('accepted')
  expect(JSON.parse(String((await eventsOf(cloud, 'policy-1', 1))[0]!.systemProperties!['iothub-connection-auth-method']))).toMatchObject({
    scope: 'hub',
  })
  client.close()
})

test('a batch is as many messages', async () => {
  const client = await connect()
  const sender = await deviceOn(client, 'batch-1')
  const messages = ['one', 'two', 'three'].map((n) => rhea.message.encode({ ...data({ n }), application_properties: { n } }))
  const batch = rhea.message.encode({ body: rhea.message.data_sections(messages) })
  expect(await client.send(sender, batch, 0x80013700)).toBe('accepted')
  const events = await eventsOf(cloud, 'batch-1', 3)
  expect(events.map(({ properties }) => properties)).toEqual([{ n: 'one' }, { n: 'two' }, { n: 'three' }])
  client.close()
})

test('values of any type become text', async () => {
  const client = await connect()
  const sender = await deviceOn(client, 'types-1')
  const uuid = '8f14e45f-ceea-467f-ab4e-1a2b3c4d5e6f'
  const message: Message = {
    message_id: rhea.types.wrap_uuid(rhea.string_to_uuid(uuid)) as never,
    application_properties: { count: rhea.types.wrap_int(3), on: true, at: rhea.types.wrap_timestamp(1_700_000_000_000), text: 'ä' },
    message_annotations: { 'dt-subject': 'thermostat1' },
    body: '"a string"',
  }
  expect(await client.send(sender, message)).toBe('accepted')
  expect((await eventsOf(cloud, 'types-1', 1))[0]).toMatchObject({
    messageId: uuid,
    properties: { count: '3', on: 'true', at: '2023-11-14T22:13:20.000Z', text: 'ä' },
    systemProperties: { 'dt-subject': 'thermostat1' },
    body: 'a string',
  })
  client.close()
})

test('a model that the client names is in the twin', async () => {
  const client = await connect()
  await client.putToken(await tokenOf('model-1'))
  await client.sender('/devices/model-1/messages/events', { 'com.microsoft:model-id': 'dtmi:com:example:Pump;1' })
  await expect.poll(async () => (await cloud.rest('GET', '/twins/model-1')).body).toMatchObject({ modelId: 'dtmi:com:example:Pump;1' })
  client.close()
})

test('a device is connected from its first link to its last, and a newer connection ends the older', async () => {
  const client = await connect()
  const first = await deviceOn(client, 'life-1')
  const second = await client.receiver('/devices/life-1/messages/devicebound')
  await expect.poll(() => connectionStateOf('life-1')).toBe('Connected')
  first.close()
  second.close()
  await expect.poll(() => connectionStateOf('life-1')).toBe('Disconnected')
  await client.sender('/devices/life-1/messages/events')
  await expect.poll(() => connectionStateOf('life-1')).toBe('Connected')
  const newer = await connect()
  await deviceOn(newer, 'life-1')
  expect(await client.closed()).toBe('amqp:link:stolen')
  expect(await connectionStateOf('life-1')).toBe('Connected')
  newer.connection.socket.destroy()
  await expect.poll(() => connectionStateOf('life-1')).toBe('Disconnected')
})

test('what was not settled when a connection broke comes again to the next', async () => {
  const receive = async (client: AmqpClient) => {
    const receiver = client.connection.open_receiver({ source: { address: '/devices/broken-1/messages/devicebound' }, autoaccept: false })
    const [{ message, delivery }] = (await once(receiver, 'message')) as [EventContext]
    return { text: String((message!.body as { content: Buffer }).content), delivery: delivery! }
  }
  const service = await connect({
    username: `service@sas.root.${cloud.registry.hubHost}`,
    password: createAccessToken(
      cloud.registry.hubHost,
      Buffer.from(await cloud.policyKey('service'), 'base64'),
      Date.now() + 60_000,
      'service',
    ),
  })
  const first = await connect()
  await deviceOn(first, 'broken-1')
  await service.send(await service.sender('/messages/devicebound'), { ...data('only once'), to: '/devices/broken-1/messages/devicebound' })
  expect((await receive(first)).text).toBe('"only once"')
  first.connection.socket.destroy()
  const second = await connect()
  await deviceOn(second, 'broken-1')
  const { text, delivery } = await receive(second)
  expect(text).toBe('"only once"')
  delivery.accept()
  await expect.poll(async () => (await cloud.rest('GET', '/devices/broken-1')).body).toMatchObject({ cloudToDeviceMessageCount: 0 })
  service.close()
  second.close()
})

test.each(['its link', 'its session', 'its connection'])(
  'what is settled as the last thing before %s is closed is settled',
  async (what) => {
    const deviceId = `last-${what.slice(4)}`
    await cloud.device(deviceId)
    const service = iothub.Client.fromConnectionString(cloud.connection.iotHub)
    await service.open()
    await service.send(deviceId, 'the last')
    await service.close()
    const client = await connect()
    await deviceOn(client, deviceId)
    const session = client.connection.create_session()
    session.open()
    const receiver = session.open_receiver({ source: { address: `/devices/${deviceId}/messages/devicebound` }, autoaccept: false })
    const [{ delivery }] = (await once(receiver, 'message')) as [EventContext]
    const ended = { 'its link': receiver, 'its session': session, 'its connection': client.connection }[what]!
    // In one write, as clients do that flush when they close.
    const { socket } = client.connection
    socket.cork()
    delivery!.accept()
    ended.close()
    setImmediate(() => socket.uncork())
    await expect.poll(async () => (await cloud.rest('GET', `/devices/${deviceId}`)).body).toMatchObject({ cloudToDeviceMessageCount: 0 })
    client.close()
  },
)

test.skipIf(onAzure)('links end with their token, and go on with a new one', async () => {
  const client = await connect()
  expect(await client.putToken(await tokenOf('expiry-1', 1_500))).toBe(200)
  expect(await client.putToken(await tokenOf('expiry-2', 1_500))).toBe(200)
  const [renewed, expired] = [
    await client.sender('/devices/expiry-1/messages/events'),
    await client.sender('/devices/expiry-2/messages/events'),
  ]
  expect(await client.putToken(await tokenOf('expiry-1'))).toBe(200)
  await expect.poll(() => expired.is_closed()).toBe(true)
  expect(String((expired.error as { condition?: string }).condition)).toBe('amqp:unauthorized-access')
  expect(await client.send(renewed, data('still here'))).toBe('accepted')
  client.close()
})

test.skipIf(onAzure)('faults strike as over MQTT', async () => {
  const client = await connect()
  const sender = await deviceOn(client, 'fault-a')
  await cloud.fault({ kind: 'throttle', target: 'fault-a', count: 1 })
  expect(await client.send(sender, data('throttled'))).toBe('rejected: com.microsoft:device-container-throttled')
  await cloud.fault({ kind: 'stall-connection', target: 'fault-a', delayMs: 300 })
  const started = Date.now()
  expect(await client.send(sender, data('late'))).toBe('accepted')
  expect(Date.now() - started).toBeGreaterThan(200)
  expect((await cloud.fault({ kind: 'kill-connection', target: 'fault-a' })).body).toMatchObject({ struck: 1 })
  expect(await client.closed()).toBe('amqp:connection:forced')
})

test.skipIf(onAzure)('a sender waits when too much of it is under way', async () => {
  const client = await connect()
  const sender = await deviceOn(client, 'flood-1')
  await cloud.fault({ kind: 'drop-acknowledgement', target: 'flood-1', count: 10_000 })
  for (let n = 0; n < 1_000; n++) sender.send(data(n))
  await expect.poll(() => sender.credit).toBe(0)
  expect(await eventsOf(cloud, 'flood-1', 250)).toHaveLength(250)
  await cloud.endFaults()
  client.close()
})

describe('a twin', () => {
  test('is followed for as long as asked, and what is no operation is refused', async () => {
    const client = await connect()
    await client.putToken(await tokenOf('twin-1'))
    const properties = { 'com.microsoft:channel-correlation-id': 'twin:1', 'com.microsoft:api-version': '2021-04-12' }
    const receiver = await client.receiver('/devices/twin-1/twin', properties)
    const sender = await client.sender('/devices/twin-1/twin', properties)
    const heard: Message[] = []
    receiver.on('message', ({ message }: EventContext) => heard.push(message!))
    const ask = async (operation: string, resource?: string) => {
      const outcome = await client.send(sender, {
        correlation_id: `${operation} ${resource ?? ''}`,
        message_annotations: { operation, ...(resource === undefined ? {} : { resource }) },
        body: rhea.message.data_section(Buffer.from(operation === 'PATCH' ? '{"$bad": 1}' : ' ')),
      })
      if (outcome !== 'accepted') return outcome
      await expect.poll(() => heard.some(({ correlation_id: id }) => id === `${operation} ${resource ?? ''}`)).toBe(true)
      const answer = heard.find(({ correlation_id: id }) => id === `${operation} ${resource ?? ''}`)!
      return answer.message_annotations!.status
    }
    const desired = '/notifications/twin/properties/desired'
    const change = (n: number) => cloud.rest('PATCH', '/twins/twin-1', { properties: { desired: { n } } })
    const told = () => heard.filter(({ correlation_id: id }) => id === undefined).length
    expect(await ask('GET')).toBe(200)
    expect(await ask('PATCH', '/properties/reported')).toBe(400)
    expect(await ask('PUT', desired)).toBe(200)
    await change(1)
    await expect.poll(told).toBe(1)
    expect(await ask('DELETE', desired)).toBe(200)
    await change(2)
    expect(await ask('POST')).toBe('rejected: amqp:invalid-field')
    expect(told()).toBe(1)
    client.close()
  })
})

describe('SASL', () => {
  test('lets a device, a service and a producer log in by name', async () => {
    const { hubHost } = await cloud.device('sasl-1')
    const device = await connect({ username: `sasl-1@sas.${hubHost}`, password: await tokenOf('sasl-1') })
    expect(await device.send(await device.sender('/devices/sasl-1/messages/events'), data('in'))).toBe('accepted')
    device.close()
    const policyKey = Buffer.from(await cloud.policyKey('service'), 'base64')
    const service = await connect({
      username: `service@sas.root.${hubHost}`,
      password: createAccessToken(hubHost, policyKey, Date.now() + 60_000, 'service'),
    })
    await service.sender('/messages/devicebound')
    service.close()
    const fields = parseConnectionString(cloud.connection.eventHubNamespace!, ['SharedAccessKeyName', 'SharedAccessKey'])
    const producer = await connect({ username: fields.get('sharedaccesskeyname'), password: fields.get('sharedaccesskey') })
    const hub = parseConnectionString(cloud.connection.eventHub, ['EntityPath']).get('entitypath')!
    expect(await producer.send(await producer.sender(hub), data('sent'))).toBe('accepted')
    producer.close()
  })

  test.each([
    ['a wrong key', { username: 'RootManageSharedAccessKey', password: 'wrong' }],
    ['a token for another', { username: 'sasl-2@sas.localhost', password: 'SharedAccessSignature sr=x&sig=y&se=1' }],
  ])('refuses %s', async (_, login) => {
    await expect(connect(login)).rejects.toThrow('amqp:unauthorized-access')
  })

  test.each(['MSSBCBS', 'ANONYMOUS', 'EXTERNAL'])('%s leaves it to tokens', async (mechanism) => {
    const mechanisms = { [mechanism]: () => ({ start: (done: (error: undefined, response: string) => void) => done(undefined, '') }) }
    const client = await connect({ sasl_mechanisms: mechanisms })
    expect(await client.send(await deviceOn(client, 'sasl-3'), data(mechanism))).toBe('accepted')
    client.close()
  })
})

test('AMQP over WebSocket', async () => {
  const open = rhea.websocket_connect(WebSocket)
  const details = open(`wss://${cloud.registry.hubHost}/$iothub/websocket`, ['AMQPWSB10'], { ca: cloud.ca })
  const client = await amqpClient({ connection_details: details } as never)
  expect(await client.send(await deviceOn(client, 'socket-1'), data('over ws'))).toBe('accepted')
  client.close()
})

test.each(['/devices/none-1/messages/events/more', '/devices/none-1/secrets', '/devices//twin'])('%s is nothing', async (address) => {
  const client = await connect()
  await client.putToken(await tokenOf('none-1'))
  await expect(client.sender(address)).rejects.toThrow(/amqp:(not-found|unauthorized-access)/)
  client.close()
})

test('a device cannot receive where it sends, nor send where it receives', async () => {
  const client = await connect()
  await client.putToken(await tokenOf('way-1'))
  await expect(client.receiver('/devices/way-1/messages/events')).rejects.toThrow('amqp:not-allowed')
  await expect(client.sender('/devices/way-1/messages/devicebound')).rejects.toThrow('amqp:not-allowed')
  expect(await connectionStateOf('way-1')).toBe('Disconnected')
  client.close()
})
