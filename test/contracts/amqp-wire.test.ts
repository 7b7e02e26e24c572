/**
 * AMQP as Azure writes it, where the standard leaves a choice and clients have come to count on Azure's: what azure-eventhub
 * for Python (pyamqp, uamqp) and Qpid Proton need, found by running them against the hub.
 */
import { once } from 'node:events'
import rhea from 'rhea'
import type { EventContext } from 'rhea'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseConnectionString } from '../../contract/connection.ts'
import { createAccessToken } from '../../local-cloud/security/shared-access.ts'
import { amqpClient } from '../support/amqp-client.ts'
import type { AmqpClient } from '../support/amqp-client.ts'
import { cloudForTests, onAzure } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'

let cloud: CloudForTests
beforeAll(async () => {
  cloud = await cloudForTests({ eventHubs: [{ name: 'orders', partitions: 2 }] })
})
afterAll(() => cloud.stop())

const reader = 'orders/ConsumerGroups/$Default/Partitions/0'
const fromStart = { filter: rhea.filter.selector("amqp.annotation.x-opt-offset > '-1'") }

async function connect(): Promise<AmqpClient> {
  const { hubHost } = cloud.registry
  const client = await amqpClient({ port: Number(hubHost.split(':')[1]), ca: cloud.ca })
  const [name, key] = ['SharedAccessKeyName', 'SharedAccessKey'].map((field) =>
    parseConnectionString(cloud.connection.eventHubNamespace!, [field]).get(field.toLowerCase()),
  ) as [string, string]
  expect(await client.putToken(createAccessToken(`sb://${hubHost}/orders`, Buffer.from(key), Date.now() + 60_000, name))).toBe(202)
  return client
}

type Frame = { readonly code: number; readonly fields: number }

/** The frames that arrive on a connection from now on. */
function tap({ connection }: AmqpClient): Frame[] {
  const frames: Frame[] = []
  let rest = Buffer.alloc(0)
  connection.socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 8 && rest.length >= rest.readUInt32BE(0)) {
      const frame = rest.subarray(0, rest.readUInt32BE(0))
      rest = rest.subarray(frame.length)
      // A described list: its code behind 0x00 0x53, its count behind the size; 0xc0 is a short list, 0xd0 a long one.
      if (frame.length > 8) frames.push({ code: frame[10]!, fields: frame[11] === 0xc0 ? frame[13]! : frame.readUInt32BE(16) })
    }
  })
  return frames
}

const codes = { begin: 0x11, attach: 0x12, flow: 0x13, transfer: 0x14, disposition: 0x15, detach: 0x16, end: 0x17, close: 0x18 }

test('every field of a performative is written, as null where there is nothing to say', async () => {
  const client = await connect()
  const frames = tap(client)
  const session = client.connection.create_session()
  session.open()
  const sender = session.open_sender({ target: { address: 'orders/Partitions/0' } })
  await once(sender, 'sendable')
  expect(await client.send(sender, { body: rhea.message.data_section(Buffer.from('one')) })).toBe('accepted')
  const settled = session.open_receiver({ source: { address: reader, ...fromStart } })
  await once(settled, 'message')
  const refused = session.open_receiver({ source: { address: 'nothing/here' } })
  await once(refused, 'receiver_error')
  session.close()
  await once(session, 'session_close')
  client.close()
  await client.closed()
  const counts = (code: number) => [...new Set(frames.filter((frame) => frame.code === code).map(({ fields }) => fields))]
  expect(Object.fromEntries(Object.entries(codes).map(([name, code]) => [name, counts(code)]))).toEqual({
    begin: [8],
    attach: [14],
    flow: [11],
    transfer: [11],
    disposition: [6],
    detach: [3],
    end: [1],
    close: [1],
  })
})

test('a session says how many links it takes, and a link has properties', async () => {
  const client = await connect()
  const session = client.connection.create_session()
  session.open()
  await once(session, 'session_open')
  expect((session as unknown as { remote: { begin: { handle_max: number } } }).remote.begin.handle_max).toBeGreaterThanOrEqual(255)
  const receiver = await client.receiver(reader)
  expect((receiver as unknown as { remote: { attach: { properties: unknown } } }).remote.attach.properties).toEqual({})
  client.close()
})

test('an error says nothing more as null, too', async () => {
  const client = await connect()
  const bytes: Buffer[] = []
  client.connection.socket.on('data', (chunk: Buffer) => bytes.push(chunk))
  await expect(client.receiver('nothing/here')).rejects.toThrow('amqp:')
  // 0x1d is an error; its list has a condition, a description and information.
  const error = /\0\x53\x1d(?:\xc0.|\xd0.{4}\0\0\0)(.)/s.exec(Buffer.concat(bytes).toString('latin1'))
  expect(error?.[1]!.charCodeAt(0)).toBe(3)
  client.close()
})

describe('a request for management', () => {
  const read = { operation: 'READ', type: 'com.microsoft:eventhub', name: 'orders' }

  test('is accepted before it is answered', async () => {
    const client = await connect()
    const receiver = client.connection.open_receiver('$management')
    const sender = await client.sender('$management')
    const frames = tap(client)
    sender.send({ message_id: 'm', reply_to: receiver.name, application_properties: read, body: '' })
    await once(receiver, 'message')
    const order = frames.map(({ code }) => code).filter((code) => code === codes.disposition || code === codes.transfer)
    expect(order).toEqual([codes.disposition, codes.transfer])
    client.close()
  })

  test.each([
    ['a number', rhea.types.wrap_ulong(0), 0x44],
    ['a number', rhea.types.wrap_ulong(7), 0x53],
    ['a UUID', rhea.types.wrap_uuid(rhea.string_to_uuid('8f14e45f-ceea-467f-ab4e-1a2b3c4d5e6f')), 0x98],
    ['a string', 'text', 0xa1],
  ])('under %s is answered under the same', async (_, id, constructor) => {
    const client = await connect()
    const receiver = client.connection.open_receiver('$management')
    const sender = await client.sender('$management')
    const bytes: Buffer[] = []
    client.connection.socket.on('data', (chunk: Buffer) => bytes.push(chunk))
    sender.send({ message_id: id as never, reply_to: receiver.name, application_properties: read, body: '' })
    await once(receiver, 'message')
    // 0x73 are the properties; the correlation id is their sixth field, behind five of null.
    const properties = /\0\x53\x73(?:\xc0..|\xd0.{8})\x40{5}(.)/s.exec(Buffer.concat(bytes).toString('latin1'))
    expect(properties?.[1]!.charCodeAt(0)).toBe(constructor)
    client.close()
  })
})

test.skipIf(onAzure)('a reader that wants to settle may, and the others need not', async () => {
  const client = await connect()
  const sender = await client.sender('orders/Partitions/1')
  await client.send(sender, { body: rhea.message.data_section(Buffer.from('one')) })
  for (const [mode, isSettled] of [
    [0, false],
    [1, true],
    [2, true],
  ] as const) {
    const receiver = client.connection.open_receiver({
      source: { address: 'orders/ConsumerGroups/$Default/Partitions/1', ...fromStart },
      snd_settle_mode: mode,
    })
    const [{ delivery }] = (await once(receiver, 'message')) as [EventContext]
    expect(delivery!.remote_settled).toBe(isSettled)
    receiver.close()
  }
  client.close()
})

test('a client that wants signs of life gets them, and the connection goes on', async () => {
  const { hubHost } = cloud.registry
  const client = await amqpClient({ port: Number(hubHost.split(':')[1]), ca: cloud.ca, idle_time_out: 400 })
  let empty = 0
  // Eight bytes: a frame without a body.
  client.connection.socket.on('data', (chunk: Buffer) => (empty += chunk.length === 8 && chunk.readUInt32BE(0) === 8 ? 1 : 0))
  await expect.poll(() => empty).toBeGreaterThan(2)
  expect((await client.sender('$cbs')).is_open()).toBe(true)
  client.close()
})

test('who goes away in the midst of a request harms nobody', async () => {
  const { hubHost } = cloud.registry
  const token = createAccessToken(hubHost, Buffer.from(await cloud.policyKey('service'), 'base64'), Date.now() + 60_000, 'service')
  for (let round = 0; round < 40; round++) {
    const client = await amqpClient({ port: Number(hubHost.split(':')[1]), ca: cloud.ca })
    const [tokens, management] = await Promise.all([client.sender('$cbs'), client.sender('$management')])
    for (let n = 0; n < 20; n++) {
      tokens.send({
        message_id: n,
        reply_to: 'gone',
        application_properties: { operation: 'put-token', type: 'sastoken', name: hubHost },
        body: token,
      })
      management.send({
        message_id: n,
        reply_to: 'gone',
        application_properties: { operation: 'READ', type: 'com.microsoft:eventhub' },
        body: '',
      })
    }
    // What is written goes out, and the end of the connection with it.
    const { socket } = client.connection
    process.nextTick(() => process.nextTick(() => (round % 2 === 0 ? socket.end() : socket.destroy())))
    await new Promise((resolve) => socket.once('close', resolve))
  }
  const client = await connect()
  expect(await client.send(await client.sender('orders/Partitions/0'), { body: rhea.message.data_section(Buffer.from('fine')) })).toBe(
    'accepted',
  )
  client.close()
})

test('a token is what it is, whatever its type is called', async () => {
  const client = await connect()
  const receiver = client.connection.open_receiver('$cbs')
  const sender = await client.sender('$cbs')
  const { hubHost } = cloud.registry
  const token = createAccessToken(hubHost, Buffer.from(await cloud.policyKey('service'), 'base64'), Date.now() + 60_000, 'service')
  sender.send({
    message_id: 'put',
    reply_to: receiver.name,
    application_properties: { operation: 'put-token', type: 'jwt', name: hubHost },
    body: token,
  })
  const [{ message }] = (await once(receiver, 'message')) as [EventContext]
  expect(message!.application_properties!['status-code']).toBe(200)
  client.close()
})
