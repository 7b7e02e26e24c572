/** One client of Web PubSub: its WebSocket, in the JSON protocols or plain (reference-json-reliable-webpubsub-subprotocol.md). */
import type { WebSocket } from 'ws'
import { z } from 'zod'
import type { Channel, PubSubConnection, PubSubHub, PubSubMessage } from './pubsub-hub.ts'

export const protocols = { reliable: 'json.reliable.webpubsub.azure.v1', json: 'json.webpubsub.azure.v1' } as const

const AckId = z.number().int().nonnegative().optional()
const group = z.string().min(1).max(1024)
const ClientFrame = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('joinGroup'), group, ackId: AckId }),
  z.looseObject({ type: z.literal('leaveGroup'), group, ackId: AckId }),
  z.looseObject({
    type: z.literal('sendToGroup'),
    group,
    ackId: AckId,
    noEcho: z.boolean().default(false),
    dataType: z.enum(['text', 'json', 'binary', 'protobuf']).default('json'),
    data: z.unknown(),
  }),
  z.looseObject({ type: z.literal('event'), event: z.string(), ackId: AckId }),
  z.looseObject({ type: z.literal('sequenceAck'), sequenceId: z.number() }),
  z.looseObject({ type: z.literal('ping') }),
])
type ClientFrame = z.infer<typeof ClientFrame>

const ackIdsMax = 10_000

export function channelOf(socket: WebSocket, isFramed: boolean): Channel {
  return {
    send(frame, message) {
      if (socket.readyState !== socket.OPEN) return
      if (isFramed) socket.send(JSON.stringify(frame))
      // A client without a protocol sees the data alone.
      else if (message) socket.send(plainData(message))
    },
    close: (code, reason) => socket.close(code, reason),
  }
}

function plainData({ dataType, data }: PubSubMessage): string | Buffer {
  if (dataType === 'binary' || dataType === 'protobuf') return Buffer.from(String(data), 'base64')
  return dataType === 'json' ? JSON.stringify(data) : String(data)
}

export function serve(socket: WebSocket, hub: PubSubHub, connection: PubSubConnection, channel: Channel): void {
  socket.on('message', (bytes: Buffer, isBinary: boolean) => {
    let frame: ClientFrame
    try {
      if (isBinary) throw new Error('binary frames are not part of the JSON protocols')
      frame = ClientFrame.parse(JSON.parse(bytes.toString()))
    } catch (error) {
      return hub.close(connection, `Invalid payload: ${error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message}`)
    }
    receive(hub, connection, channel, frame)
  })
  socket.on('error', () => socket.terminate())
  socket.on('close', () => hub.lost(connection, channel))
}

function receive(hub: PubSubHub, connection: PubSubConnection, channel: Channel, frame: ClientFrame): void {
  const acknowledge = (error?: { name: string; message: string }) => {
    if (!('ackId' in frame) || frame.ackId === undefined) return
    channel.send({ type: 'ack', ackId: frame.ackId, success: error === undefined, ...(error ? { error } : {}) })
  }
  const ackId = 'ackId' in frame && typeof frame.ackId === 'number' ? frame.ackId : undefined
  if (ackId !== undefined) {
    if (connection.ackIds.has(ackId)) return acknowledge({ name: 'Duplicate', message: `ackId ${ackId} was used already` })
    connection.ackIds.add(ackId)
    if (connection.ackIds.size > ackIdsMax) connection.ackIds.delete(connection.ackIds.values().next().value!)
  }
  const may = (role: string, name: string) => connection.roles.has(`webpubsub.${role}`) || connection.roles.has(`webpubsub.${role}.${name}`)
  const forbidden = (action: string, name: string) =>
    acknowledge({ name: 'Forbidden', message: `The client does not have permission to ${action} group '${name}'` })
  switch (frame.type) {
    case 'ping':
      return channel.send({ type: 'pong' })
    case 'sequenceAck':
      return hub.acknowledge(connection, frame.sequenceId)
    case 'joinGroup':
      if (!may('joinLeaveGroup', frame.group)) return forbidden('join', frame.group)
      connection.groups.add(frame.group)
      return acknowledge()
    case 'leaveGroup':
      if (!may('joinLeaveGroup', frame.group)) return forbidden('leave', frame.group)
      connection.groups.delete(frame.group)
      return acknowledge()
    case 'sendToGroup': {
      if (!may('sendToGroup', frame.group)) return forbidden('send to', frame.group)
      const { dataType, data } = frame
      const message = { from: 'group', group: frame.group, fromUserId: connection.userId, dataType, data } as const
      hub.send({ kind: 'group', group: frame.group }, message, frame.noEcho ? { excluded: new Set([connection.id]) } : {})
      return acknowledge()
    }
    case 'event':
      return acknowledge({ name: 'NotFound', message: `no event handler takes '${frame.event}'` })
    default:
      return frame satisfies never
  }
}
