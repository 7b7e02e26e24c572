/**
 * Broken bytes at every stage of a connection: nothing crashes, a well-behaved neighbour notices nothing, and what was
 * refused is counted with a reason. The seed of the mutations is printed when a run fails (fast-check).
 */
import { randomBytes } from 'node:crypto'
import { connect as tcpConnect } from 'node:net'
import { connect as tlsConnect } from 'node:tls'
import type { Duplex } from 'node:stream'
import fc from 'fast-check'
import mqtt from 'mqtt'
import type { MqttClient } from 'mqtt'
import packets from 'mqtt-packet'
import rhea from 'rhea'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { sharedAccessSignature } from '../../device-sim/device-credentials.ts'
import { batchedMessages, partitionKeyOf, splitSections } from '../../local-cloud/amqp/message-sections.ts'
import { parsePropertyBag } from '../../local-cloud/mqtt/property-bag.ts'
import { parsePublishTopic, parseSubscription } from '../../local-cloud/mqtt/topics.ts'
import { checkTableRequest } from '../../local-cloud/storage/table-limits.ts'
import { cloudForTests } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { eventually } from '../support/eventually.ts'
import { mqttOptions } from '../support/mqtt-options.ts'

let cloud: CloudForTests
let neighbour: MqttClient
let interruptions = 0
let published = 0

beforeAll(async () => {
  cloud = await cloudForTests()
  neighbour = await mqtt.connectAsync(mqttOptions(await cloud.device('neighbour')))
  neighbour.on('close', () => interruptions++)
})
afterAll(async () => {
  await neighbour.endAsync(true)
  await cloud.stop()
})

/** The neighbour is there, and served. */
async function neighbourIsFine(): Promise<void> {
  await neighbour.publishAsync('devices/neighbour/messages/events/', JSON.stringify({ n: published++ }), { qos: 1 })
  expect(interruptions).toBe(0)
}

const tlsPort = () => Number(cloud.registry.hubHost.split(':')[1])
const plainPort = () => Number(new URL(cloud.connection.inspector!.url).port)
const open = (): Promise<Duplex> =>
  new Promise((resolve, reject) => {
    const socket = tlsConnect({ port: tlsPort(), host: '127.0.0.1', servername: 'localhost', ca: cloud.ca }, () => resolve(socket))
    socket.on('error', reject)
  })
const openPlain = (): Promise<Duplex> =>
  new Promise((resolve, reject) => {
    const socket = tcpConnect(plainPort(), '127.0.0.1', () => resolve(socket))
    socket.on('error', reject)
  })

/** Sends bytes, and waits for the end of the connection or for silence. */
async function send(socket: Duplex, parts: readonly Buffer[], patienceMs = 30): Promise<void> {
  socket.on('error', () => {})
  socket.resume()
  for (const part of parts) if (socket.writable) socket.write(part)
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, patienceMs)
    socket.once('close', () => {
      clearTimeout(timer)
      resolve()
    })
  })
  socket.destroy()
}

/** A change to valid bytes: flipped, cut, doubled or swollen somewhere. */
const mutation = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  kind: fc.constantFrom('flip', 'cut', 'double', 'insert', 'length'),
  byte: fc.integer({ min: 0, max: 255 }),
})
type Mutation = { at: number; kind: string; byte: number }

function mutate(bytes: Buffer, mutations: readonly Mutation[]): Buffer {
  return mutations.reduce((current, { at, kind, byte }) => {
    const index = Math.min(Math.floor(at * current.length), Math.max(current.length - 1, 0))
    const [head, tail] = [current.subarray(0, index), current.subarray(index)]
    if (kind === 'cut') return head
    if (kind === 'double') return Buffer.concat([head, tail, tail])
    if (kind === 'insert') return Buffer.concat([head, Buffer.alloc(byte, byte), tail])
    if (kind === 'length') return Buffer.concat([head, Buffer.from([0xff, 0xff, 0xff, 0x7f]), tail])
    const flipped = Buffer.from(current)
    if (flipped.length > 0) flipped[index] = byte
    return flipped
  }, bytes)
}

async function mqttStream(deviceId: string): Promise<{ connect: Buffer; rest: Buffer }> {
  const { key, hubHost } = await cloud.device(deviceId)
  const password = Buffer.from(sharedAccessSignature(`${hubHost}/devices/${deviceId}`, key, Date.now() + 600_000))
  const connect = packets.generate({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clean: true,
    clientId: deviceId,
    keepalive: 60,
    username: `${hubHost}/${deviceId}/?api-version=2021-04-12`,
    password,
  })
  const rest = Buffer.concat([
    packets.generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '$iothub/twin/res/#', qos: 0 }] }),
    packets.generate({ cmd: 'publish', topic: '$iothub/twin/GET/?$rid=1', payload: Buffer.from(' '), qos: 0, dup: false, retain: false }),
    packets.generate({
      cmd: 'publish',
      topic: '$iothub/twin/PATCH/properties/reported/?$rid=2',
      payload: Buffer.from('{"a":1}'),
      qos: 0,
      dup: false,
      retain: false,
    }),
    packets.generate({
      cmd: 'publish',
      topic: `devices/${deviceId}/messages/events/a=b`,
      payload: Buffer.from('{"a":1}'),
      qos: 1,
      messageId: 2,
      dup: false,
      retain: false,
    }),
    packets.generate({ cmd: 'pingreq' }),
  ])
  return { connect, rest }
}

/** What an AMQP client writes: its greeting, and frames of a session with two links. */
async function amqpStream(): Promise<Buffer> {
  const written: Buffer[] = []
  const container = rhea.create_container({ id: 'recorder' })
  const connection = container.connect({ port: plainPort(), host: '127.0.0.1', reconnect: false })
  const socket = (connection as unknown as { socket: { write(bytes: Buffer): boolean } }).socket
  const write = socket.write.bind(socket)
  socket.write = (bytes) => {
    written.push(Buffer.from(bytes))
    return write(bytes)
  }
  connection.open_sender('$cbs')
  connection.open_receiver('$cbs')
  await new Promise<void>((resolve) => connection.on('sendable', () => resolve()))
  connection.close()
  return Buffer.concat(written)
}

describe('a connection', () => {
  test('that begins with anything at all', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.boolean(), async (bytes, isPlain) => {
        await send(await (isPlain ? openPlain() : open()), [Buffer.from(bytes)], 10)
      }),
      { numRuns: 60 },
    )
    await neighbourIsFine()
  })

  test('that speaks broken MQTT from its first packet on', async () => {
    const { connect, rest } = await mqttStream('broken-1')
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 4 }), async (mutations) => {
        await send(await open(), [mutate(Buffer.concat([connect, rest]), mutations)])
      }),
      { numRuns: 80 },
    )
    await neighbourIsFine()
  })

  test('that breaks after it was let in', async () => {
    const { connect, rest } = await mqttStream('broken-2')
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 4 }), async (mutations) => {
        await send(await open(), [connect, mutate(rest, mutations)])
      }),
      { numRuns: 80 },
    )
    await neighbourIsFine()
    expect(cloud.refusals.some(({ reason }) => reason === 'malformed-packet' || reason === 'undocumented-topic')).toBe(true)
  })

  test('that speaks broken AMQP', async () => {
    const stream = await amqpStream()
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 4 }), async (mutations) => {
        await send(await openPlain(), [mutate(stream, mutations)])
      }),
      { numRuns: 80 },
    )
    await neighbourIsFine()
  })

  test('that sends a message without an end', async () => {
    const connection = rhea.create_container().connect({ port: plainPort(), host: '127.0.0.1', reconnect: false })
    for (const event of ['connection_error', 'sender_error', 'error', 'disconnected']) connection.on(event, () => {})
    const condition = new Promise<unknown>((resolve) => connection.on('connection_close', () => resolve(connection.get_error())))
    const sender = connection.open_sender('$cbs')
    await new Promise<void>((resolve) => sender.once('sendable', () => resolve()))
    sender.send({ body: rhea.message.data_section(Buffer.alloc(8 * 1024 * 1024)) })
    expect(await condition).toMatchObject({ condition: 'amqp:link:message-size-exceeded' })
    await neighbourIsFine()
  })

  test('that announces more than it may send', async () => {
    const { connect } = await mqttStream('broken-3')
    const huge = Buffer.concat([Buffer.from([0x32, 0xff, 0xff, 0xff, 0x7f]), Buffer.alloc(512 * 1024)])
    await send(await open(), [connect, huge], 2_000)
    await send(
      await openPlain(),
      [
        Buffer.from('AMQP\0\x01\0\0', 'latin1'),
        Buffer.concat([Buffer.from([0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0]), Buffer.alloc(64 * 1024)]),
      ],
      2_000,
    )
    await eventually(() =>
      cloud.refusals.some(({ reason }) => reason === 'too-large') && cloud.refusals.some(({ reason }) => reason === 'malformed-amqp')
        ? true
        : undefined,
    )
    await neighbourIsFine()
  })

  test('that speaks broken HTTP', async () => {
    const requests = [
      'GET /devices HTTP/1.1\r\n',
      'GET //evil/%zz HTTP/1.1\r\nhost: x\r\n\r\n',
      'POST /devices/query HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999\r\n\r\n{',
      'POST /devices HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n',
      'PUT /enrollments/%00 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}',
      'GET /$iothub/websocket HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n',
      'GET /client/hubs/plant?access_token=x.y.z HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n',
      'GET /client/hubs/%zz HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n',
      `GET /${'a'.repeat(100_000)} HTTP/1.1\r\nhost: localhost\r\n\r\n`,
    ]
    for (const request of requests)
      for (const opening of [open, openPlain]) await send(await opening(), [Buffer.from(request, 'latin1')], 50)
    await neighbourIsFine()
  })

  test('that breaks its WebSocket', async () => {
    for (const [path, protocol] of [
      ['/$iothub/websocket', 'mqtt'],
      ['/$servicebus/websocket', 'AMQPWSB10'],
    ] as const) {
      for (const bytes of [
        randomBytes(200),
        Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]),
        Buffer.from('AMQP\x09\x09\x09\x09', 'latin1'),
        Buffer.alloc(0),
      ]) {
        const socket = new WebSocket(`wss://localhost:${tlsPort()}${path}`, protocol, { ca: cloud.ca })
        socket.on('error', () => {})
        await new Promise((resolve) => socket.on('open', resolve))
        socket.send(bytes)
        // A frame that is none: reserved bits set.
        ;(socket as unknown as { _socket: Duplex })._socket.write(Buffer.from([0xff, 0xff, 0, 0]))
        await new Promise((resolve) => socket.on('close', resolve))
      }
    }
    await neighbourIsFine()
  })

  test('that says nothing is ended in time, and floods do not starve the neighbour', async () => {
    const silent = await open()
    const ended = new Promise<void>((resolve) => silent.on('close', () => resolve()))
    silent.resume()
    const flood = await mqttStream('flood')
    const socket = await open()
    socket.on('error', () => {})
    socket.resume()
    socket.write(flood.connect)
    const publish = packets.generate({
      cmd: 'publish',
      topic: 'devices/flood/messages/events/',
      payload: Buffer.alloc(1000, 65),
      qos: 0,
      dup: false,
      retain: false,
    })
    for (let index = 0; index < 200; index++) socket.write(Buffer.concat(Array.from({ length: 50 }, () => publish)))
    const started = Date.now()
    await neighbourIsFine()
    expect(Date.now() - started).toBeLessThan(5_000)
    socket.destroy()
    await ended
  })
})

describe('a device', () => {
  test('that is deleted while it is connected takes its Will along, and nothing else', async () => {
    const client = await mqtt.connectAsync({
      ...mqttOptions(await cloud.device('deleted')),
      will: { topic: 'devices/deleted/messages/events/', payload: Buffer.from('gone'), qos: 1, retain: false },
    })
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()))
    expect((await cloud.rest('DELETE', '/devices/deleted', undefined, { 'if-match': '*' })).status).toBe(204)
    await closed
    await neighbourIsFine()
  })

  test('that asks for a fault in broken words gets none', async () => {
    for (const value of ['0.0001', '-5', 'x', '1e999', '%F0%9F%98%80'])
      await neighbour.publishAsync(
        `devices/neighbour/messages/events/AzIoTHub_FaultOperationType=InvokeThrottling&AzIoTHub_FaultOperationDelayInSecs=999&AzIoTHub_FaultOperationDurationInSecs=${value}`,
        '{}',
        { qos: 1 },
      )
    await neighbourIsFine()
  })

  test.each([
    ['publishes as another', 'devices/neighbour/messages/events/'],
    ['publishes where nothing is documented', 'devices/mine/anything'],
    ['publishes to another’s module', 'devices/mine/modules/other/messages/events/'],
    ['answers a method nobody called, on a wrong topic', '$iothub/methods/res/abc'],
  ])('that %s is cut off', async (_, topic) => {
    const { connect } = await mqttStream('mine')
    const socket = await open()
    const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()))
    socket.on('error', () => {})
    socket.resume()
    socket.write(connect)
    socket.write(packets.generate({ cmd: 'publish', topic, payload: Buffer.from('x'), qos: 1, messageId: 1, dup: false, retain: false }))
    await closed
    await neighbourIsFine()
  })

  test.each(['devices/neighbour/messages/devicebound/#', '#', '$iothub/#', 'devices/+/messages/events/', '$iothub/twin/res/+'])(
    'that listens to %s is cut off',
    async (topic) => {
      const { connect } = await mqttStream('mine')
      const socket = await open()
      const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()))
      socket.on('error', () => {})
      socket.resume()
      socket.write(connect)
      socket.write(packets.generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 0 }] }))
      await closed
      await neighbourIsFine()
    },
  )
})

describe('readers of bytes and names', () => {
  const runs = { numRuns: 2_000 }
  const orRangeError = (read: () => unknown) => {
    try {
      read()
    } catch (error) {
      expect(error).toBeInstanceOf(Error)
      expect(error).not.toBeInstanceOf(TypeError)
    }
  }
  test('of AMQP sections', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => orRangeError(() => splitSections(bytes))),
      runs,
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => orRangeError(() => batchedMessages(bytes))),
      runs,
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => orRangeError(() => partitionKeyOf(bytes))),
      runs,
    )
  })
  test('of topics and property bags', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), (text) => orRangeError(() => parsePropertyBag(text))),
      runs,
    )
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), (text) => void parsePublishTopic(text)),
      runs,
    )
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), (text) => void parseSubscription(text, { deviceId: 'd', moduleId: undefined })),
      runs,
    )
  })
  test('of table requests', () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.string(),
        fc.boolean(),
        (path, body, isBatch) =>
          void checkTableRequest({ method: 'POST', path: isBatch ? `/x/$batch${path}` : path, body: Buffer.from(body) }),
      ),
      runs,
    )
  })
})
