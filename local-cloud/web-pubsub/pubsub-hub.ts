/**
 * One hub of Web PubSub: connections, groups, and who gets which message. A connection of the reliable protocol that is
 * lost waits a minute for its client, with what it has not acknowledged.
 */
import { randomUUID } from 'node:crypto'

const limits = { recoveryMs: 60_000, unacknowledgedMax: 1_000, unacknowledgedBytes: 16 * 1024 * 1024, connectionsMax: 20_000 } as const

export type DataType = 'text' | 'json' | 'binary' | 'protobuf'

/** A message to clients: JSON as a value, text as it is, binary in base64. */
export type PubSubMessage = {
  readonly from: 'server' | 'group'
  readonly group?: string
  readonly fromUserId?: string | undefined
  readonly dataType: DataType
  readonly data: unknown
}

/** The channel to a client that is there now. */
export type Channel = { send(frame: Record<string, unknown>, message?: PubSubMessage): void; close(code: number, reason: string): void }

export type PubSubConnection = {
  readonly id: string
  readonly userId: string | undefined
  readonly isReliable: boolean
  readonly reconnectionToken: string
  readonly groups: Set<string>
  readonly roles: Set<string>
  channel: Channel | undefined
  nextSequence: number
  unacknowledged: { sequenceId: number; frame: Record<string, unknown>; message: PubSubMessage; bytes: number }[]
  unacknowledgedBytes: number
  recovery: NodeJS.Timeout | undefined
  /** Ids of requests that were answered, so that a repetition does nothing. */
  readonly ackIds: Set<number>
}

export type Target =
  | { readonly kind: 'all' }
  | { readonly kind: 'group'; readonly group: string }
  | { readonly kind: 'user'; readonly userId: string }
  | { readonly kind: 'connection'; readonly id: string }

export class PubSubHub {
  readonly name: string
  readonly connections = new Map<string, PubSubConnection>()

  constructor(name: string) {
    this.name = name
  }

  /** @returns undefined when the hub is full */
  connect(options: {
    userId: string | undefined
    isReliable: boolean
    roles: Iterable<string>
    groups: Iterable<string>
    channel: Channel
  }): PubSubConnection | undefined {
    if (this.connections.size >= limits.connectionsMax) return undefined
    const connection: PubSubConnection = {
      id: randomUUID(),
      userId: options.userId,
      isReliable: options.isReliable,
      reconnectionToken: randomUUID(),
      groups: new Set(options.groups),
      roles: new Set(options.roles),
      channel: options.channel,
      nextSequence: 1,
      unacknowledged: [],
      unacknowledgedBytes: 0,
      recovery: undefined,
      ackIds: new Set(),
    }
    this.connections.set(connection.id, connection)
    return connection
  }

  /** Takes a lost connection up again: what was not acknowledged is sent once more. */
  recover(id: string, token: string, channel: Channel): PubSubConnection | undefined {
    const connection = this.connections.get(id)
    if (connection?.reconnectionToken !== token) return undefined
    clearTimeout(connection.recovery)
    connection.channel?.close(1000, 'taken up by another connection')
    connection.channel = channel
    return connection
  }

  /** Sends what a recovered connection has not acknowledged. */
  resend(connection: PubSubConnection): void {
    for (const { frame, message } of connection.unacknowledged) connection.channel?.send(frame, message)
  }

  lost(connection: PubSubConnection, channel: Channel): void {
    if (connection.channel !== channel) return
    connection.channel = undefined
    if (!connection.isReliable) return void this.connections.delete(connection.id)
    connection.recovery = setTimeout(() => this.connections.delete(connection.id), limits.recoveryMs)
    connection.recovery.unref()
  }

  /** Ends a connection for good. */
  close(connection: PubSubConnection, reason: string): void {
    clearTimeout(connection.recovery)
    this.connections.delete(connection.id)
    connection.channel?.send({ type: 'system', event: 'disconnected', message: reason })
    // The client reads 1008 as: do not come back by recovery.
    connection.channel?.close(1008, reason.slice(0, 120))
    connection.channel = undefined
  }

  acknowledge(connection: PubSubConnection, sequenceId: number): void {
    while ((connection.unacknowledged[0]?.sequenceId ?? Infinity) <= sequenceId)
      connection.unacknowledgedBytes -= connection.unacknowledged.shift()!.bytes
  }

  targets(target: Target): PubSubConnection[] {
    if (target.kind === 'connection') return [this.connections.get(target.id)].filter((one) => one !== undefined)
    return [...this.connections.values()].filter(
      (one) => target.kind === 'all' || (target.kind === 'group' ? one.groups.has(target.group) : one.userId === target.userId),
    )
  }

  send(
    target: Target,
    message: PubSubMessage,
    options: { excluded?: ReadonlySet<string>; meets?: (connection: PubSubConnection) => boolean } = {},
  ): number {
    let count = 0
    for (const connection of this.targets(target)) {
      if (options.excluded?.has(connection.id) || options.meets?.(connection) === false) continue
      this.#deliver(connection, message)
      count++
    }
    return count
  }

  #deliver(connection: PubSubConnection, message: PubSubMessage): void {
    const frame: Record<string, unknown> = { type: 'message', ...message }
    if (!connection.isReliable) return connection.channel?.send(frame, message)
    const sequenceId = connection.nextSequence++
    const numbered = { sequenceId, ...frame }
    const bytes = typeof message.data === 'string' ? message.data.length : JSON.stringify(message.data ?? null).length
    connection.unacknowledged.push({ sequenceId, frame: numbered, message, bytes })
    connection.unacknowledgedBytes += bytes
    // A client that never acknowledges cannot be served reliably for ever.
    if (connection.unacknowledged.length > limits.unacknowledgedMax || connection.unacknowledgedBytes > limits.unacknowledgedBytes)
      return this.close(connection, 'too many messages wait for its acknowledgement')
    connection.channel?.send(numbered, message)
  }

  closeAll(): void {
    for (const connection of [...this.connections.values()]) this.close(connection, 'the service is going away')
  }
}
