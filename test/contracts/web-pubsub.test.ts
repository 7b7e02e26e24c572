/** Web PubSub, seen through the official service and client packages. */
import { WebPubSubServiceClient } from '@azure/web-pubsub'
import { WebPubSubClient } from '@azure/web-pubsub-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { cloudForTests } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { eventually } from '../support/eventually.ts'

let cloud: CloudForTests
let service: WebPubSubServiceClient
beforeAll(async () => {
  cloud = await cloudForTests()
  service = new WebPubSubServiceClient(cloud.connection.webPubSub!, 'plant', { allowInsecureConnection: true })
})
afterAll(() => cloud.stop())

/** A client of the hub with the rights given, and everything it hears. */
async function listen(userId: string, roles: string[] = ['webpubsub.joinLeaveGroup', 'webpubsub.sendToGroup'], groups: string[] = []) {
  const getClientAccessUrl = async () => (await service.getClientAccessToken({ userId, roles, groups })).url
  const client = new WebPubSubClient({ getClientAccessUrl }, { messageRetryOptions: { maxRetries: 0 } })
  const heard: unknown[] = []
  client.on('group-message', ({ message }) => heard.push(message.data))
  client.on('server-message', ({ message }) => heard.push(message.data))
  const connected = new Promise<string>((resolve) => client.on('connected', ({ connectionId }) => resolve(connectionId)))
  await client.start()
  return { client, heard, connectionId: await connected }
}
const hears = (heard: unknown[], expected: unknown[]) =>
  eventually(() => (heard.length >= expected.length ? heard : undefined)).then((all) => expect(all).toEqual(expected))

describe('servers', () => {
  test('reach everybody, a group, a user, a connection; JSON, text and binary', async () => {
    const [ann, bob] = [await listen('ann'), await listen('bob')]
    await ann.client.joinGroup('alerts')
    await service.sendToAll({ to: 'all' })
    await service.group('alerts').sendToAll({ to: 'group' })
    await service.sendToUser('bob', 'text', { contentType: 'text/plain' })
    await service.sendToConnection(ann.connectionId, { to: 'ann' })
    await service.sendToAll({ to: 'filtered' }, { filter: "userId eq 'bob'" })
    await hears(ann.heard, [{ to: 'all' }, { to: 'group' }, { to: 'ann' }])
    await hears(bob.heard, [{ to: 'all' }, 'text', { to: 'filtered' }])
    ann.client.stop()
    bob.client.stop()
  })

  test('move connections between groups, ask who is there, and close', async () => {
    const eve = await listen('eve')
    const group = service.group('moved')
    await group.addConnection(eve.connectionId)
    await group.sendToAll('in', { contentType: 'text/plain' })
    await hears(eve.heard, ['in'])
    expect([await service.connectionExists(eve.connectionId), await service.userExists('eve'), await service.groupExists('moved')]).toEqual(
      [true, true, true],
    )
    await group.removeConnection(eve.connectionId)
    expect(await service.groupExists('moved')).toBe(false)
    const ended = new Promise<string>((resolve) => eve.client.on('disconnected', ({ message }) => resolve(String(message?.message))))
    await service.closeConnection(eve.connectionId, { reason: 'enough' })
    expect(await ended).toBe('enough')
    expect(await service.connectionExists(eve.connectionId)).toBe(false)
    eve.client.stop()
  })
})

describe('clients', () => {
  test('do what their token lets them, and no more', async () => {
    const guest = await listen('guest', [])
    await expect(guest.client.joinGroup('secret')).rejects.toThrow()
    await expect(guest.client.sendToGroup('secret', 'x', 'text')).rejects.toThrow()
    guest.client.stop()
    const member = await listen('member', ['webpubsub.joinLeaveGroup.open'])
    await member.client.joinGroup('open')
    await expect(member.client.joinGroup('closed')).rejects.toThrow()
    member.client.stop()
  })

  test('that are cut off get everything they missed, once, in order', async () => {
    const { client, heard, connectionId } = await listen('cut')
    await client.joinGroup('stream')
    const group = service.group('stream')
    for (let n = 0; n < 5; n++) await group.sendToAll({ n })
    await hears(
      heard,
      [0, 1, 2, 3, 4].map((n) => ({ n })),
    )
    // The socket alone goes; the session is to go on.
    const socket = (client as unknown as { _wsClient: { _socket: WebSocket } })._wsClient
    const inner = Object.values(socket).find(
      (value) => value instanceof WebSocket || (typeof value === 'object' && value !== null && 'terminate' in value),
    ) as WebSocket
    inner.terminate()
    for (let n = 5; n < 10; n++) await group.sendToAll({ n })
    await hears(
      heard,
      Array.from({ length: 10 }, (_, n) => ({ n })),
    )
    expect(await service.connectionExists(connectionId)).toBe(true)
    client.stop()
  })

  test('without a protocol see the data alone', async () => {
    const { url } = await service.getClientAccessToken({ userId: 'plain', groups: ['plain'] })
    const socket = new WebSocket(url)
    await new Promise((resolve) => socket.on('open', resolve))
    const text = new Promise<string>((resolve) => socket.on('message', (bytes: Buffer) => resolve(bytes.toString())))
    await eventually(async () => ((await service.groupExists('plain')) ? true : undefined))
    await service.group('plain').sendToAll({ a: 1 })
    expect(await text).toBe('{"a":1}')
    socket.close()
  })

  test.each([
    ['no token', (url: string) => url.split('?')[0]!],
    ['a token of another key', (url: string) => url.slice(0, -4) + 'AAAA'],
    ['a token of another hub', (url: string) => url.replace('/hubs/plant', '/hubs/other')],
  ])('with %s are refused', async (_, change) => {
    const { url } = await service.getClientAccessToken({ userId: 'x' })
    const status = await new Promise<number>((resolve) => {
      const socket = new WebSocket(change(url), 'json.webpubsub.azure.v1')
      socket.on('unexpected-response', (_request, { statusCode }) => resolve(statusCode ?? 0))
      socket.on('open', () => resolve(101))
      socket.on('error', () => {})
    })
    expect(status).toBe(401)
  })

  test('that send nonsense are closed, and disturb nobody', async () => {
    const good = await listen('good', undefined, ['everybody'])
    const { url } = await service.getClientAccessToken({ userId: 'bad' })
    const socket = new WebSocket(url, 'json.webpubsub.azure.v1')
    const closed = new Promise<number>((resolve) => socket.on('close', (code) => resolve(code)))
    socket.on('open', () => socket.send('{"type":"joinGroup"'))
    expect(await closed).toBe(1008)
    await service.group('everybody').sendToAll('still here', { contentType: 'text/plain' })
    await hears(good.heard, ['still here'])
    good.client.stop()
  })
})
