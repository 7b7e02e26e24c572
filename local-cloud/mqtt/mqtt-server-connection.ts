/**
 * One device's connection: MQTT 3.1.1 with the rules of IoT Hub. The hub answers a breach by closing the connection,
 * as MQTT has no error reply. What the messages mean is the backend's business.
 */
import type { Duplex } from 'node:stream'
import mqtt from 'mqtt-packet'
import type { IConnectPacket, IPublishPacket, ISubscribePacket, Packet } from 'mqtt-packet'
import { parsePropertyBag } from './property-bag.ts'
import type { PropertyBag } from './property-bag.ts'
import { parsePublishTopic, parseSubscription, topics } from './topics.ts'
import type { Subscription } from './topics.ts'

export type Identity = { readonly deviceId: string; readonly moduleId: string | undefined }

/** CONNACK return codes of MQTT 3.1.1. */
export const connack = { accepted: 0, badProtocol: 1, badClientId: 2, unavailable: 3, badCredentials: 4, notAuthorized: 5 } as const

export type Admission =
  | {
      readonly accepted: true
      readonly identity: Identity
      readonly modelId: string | undefined
      readonly expiresMs: number
      readonly authMethod: string
    }
  | { readonly accepted: false; readonly code: number; readonly reason: string }

export type IncomingTelemetry = { readonly link: DeviceLink; readonly bag: PropertyBag; readonly body: Buffer }

/** What stands behind a connection: the hub, or an edge gateway. */
export type DeviceBackend = {
  admit(packet: { clientId: string; username: string; password: string }): Promise<Admission>
  /** @returns true when the hub kept a session for this client */
  connected(link: DeviceLink, cleanSession: boolean): boolean
  disconnected(link: DeviceLink): void
  /** Resolves when the message is durable. */
  telemetry(message: IncomingTelemetry): Promise<void>
  twinGet(link: DeviceLink): Promise<TwinResponse>
  twinReported(link: DeviceLink, body: Buffer): Promise<TwinResponse>
  methodResponse(link: DeviceLink, requestId: string, status: number, body: Buffer): void
  subscribed(link: DeviceLink, subscription: Subscription, isOn: boolean): void
  refused(reason: string, detail: string): void
}

export type TwinResponse = { readonly status: number; readonly body: string; readonly version?: number }

/** How the backend reaches the client of one connection. */
export type DeviceLink = {
  readonly identity: Identity
  readonly modelId: string | undefined
  readonly authMethod: string
  /** Publishes at QoS 1; resolves when the client has acknowledged. Rejects when the connection ends first. */
  deliver(topic: string, body: Buffer): Promise<void>
  /** Publishes at QoS 0. */
  send(topic: string, body: Buffer): void
  close(reason: string): void
}

const limits = {
  /** IoT Hub: 256 KB, with the topic and its properties. */
  packetBytes: 256 * 1024 + 16 * 1024,
  messageBytes: 256 * 1024,
  subscriptions: 5,
  /** A client that has not said CONNECT by then is not one. */
  connectMs: 10_000,
  /** IoT Hub's maximum, when a client asks for none or more. */
  keepAliveS: 1177,
} as const

export class MqttServerConnection {
  readonly #socket: Duplex
  readonly #backend: DeviceBackend
  readonly #unacknowledged = new Map<number, { resolve: () => void; reject: (error: Error) => void }>()
  readonly #subscriptions = new Set<string>()
  readonly #parser = mqtt.parser({ protocolVersion: 4 })
  #link: DeviceLink | undefined
  #will: { bag: string; body: Buffer } | undefined
  #lastHeardMs = Date.now()
  #watch: NodeJS.Timeout
  #nextMessageId = 1
  #isClosed = false
  #work: Promise<void> = Promise.resolve()

  constructor(socket: Duplex, backend: DeviceBackend) {
    this.#socket = socket
    this.#backend = backend
    this.#watch = setTimeout(() => this.#refuse('connect-timeout', 'no CONNECT within 10 s'), limits.connectMs)
    this.#parser.on('packet', (packet) => this.#receive(packet))
    this.#parser.on('error', (error) => this.#refuse('malformed-packet', error.message))
    socket.on('data', (chunk: Buffer) => this.#parse(chunk))
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#closed())
  }

  #parse(chunk: Buffer): void {
    this.#lastHeardMs = Date.now()
    if (this.#isClosed) return
    try {
      const waiting = this.#parser.parse(chunk)
      if (waiting > limits.packetBytes) this.#refuse('too-large', `a packet of more than ${limits.packetBytes} bytes`)
    } catch (error) {
      this.#refuse('malformed-packet', String(error))
    }
  }

  #receive(packet: Packet): void {
    if (this.#isClosed) return
    if (packet.cmd === 'connect') {
      // Everything behind CONNECT waits until it is admitted.
      this.#socket.pause()
      this.#work = this.#connect(packet).finally(() => this.#socket.resume())
      return
    }
    // Packets that share a chunk with CONNECT follow its admission.
    if (!this.#link) void this.#work.then(() => this.#dispatch(packet))
    else this.#dispatch(packet)
  }

  #dispatch(packet: Packet): void {
    if (this.#isClosed) return
    if (!this.#link) return this.#refuse('not-connected', `${packet.cmd} before CONNECT`)
    switch (packet.cmd) {
      case 'publish':
        return this.#publish(packet, this.#link)
      case 'subscribe':
        return this.#subscribe(packet, this.#link)
      case 'unsubscribe':
        for (const filter of packet.unsubscriptions) {
          const subscription = parseSubscription(filter, this.#link.identity)
          if (this.#subscriptions.delete(filter) && subscription) this.#backend.subscribed(this.#link, subscription, false)
        }
        return this.#write({ cmd: 'unsuback', messageId: packet.messageId!, granted: [] })
      case 'puback':
        this.#unacknowledged.get(packet.messageId!)?.resolve()
        this.#unacknowledged.delete(packet.messageId!)
        return
      case 'pingreq':
        return this.#write({ cmd: 'pingresp' })
      case 'disconnect':
        // [MQTT-3.14.4-3] a client that says goodbye has no will.
        this.#will = undefined
        this.#socket.end()
        return
      default:
        return this.#refuse('unexpected-packet', packet.cmd)
    }
  }

  async #connect(packet: IConnectPacket): Promise<void> {
    if (this.#link) return this.#refuse('second-connect', 'CONNECT came twice') // [MQTT-3.1.0-2]
    if (packet.protocolId !== 'MQTT' || packet.protocolVersion !== 4) {
      this.#write({ cmd: 'connack', returnCode: connack.badProtocol, sessionPresent: false })
      return this.#refuse('unsupported-version', `protocol ${packet.protocolId} ${packet.protocolVersion}; IoT Hub speaks MQTT 3.1.1`)
    }
    const admission = await this.#backend.admit({
      clientId: packet.clientId,
      username: packet.username ?? '',
      password: packet.password?.toString() ?? '',
    })
    if (this.#isClosed) return
    if (!admission.accepted) {
      this.#write({ cmd: 'connack', returnCode: admission.code, sessionPresent: false })
      return this.#refuse('not-authorized', `${packet.clientId}: ${admission.reason}`)
    }
    if (packet.will) {
      const topic = parsePublishTopic(packet.will.topic)
      const isOwn =
        topic?.kind === 'telemetry' && topic.deviceId === admission.identity.deviceId && topic.moduleId === admission.identity.moduleId
      if (!isOwn) return this.#refuse('bad-will', packet.will.topic)
      this.#will = { bag: topic.bag, body: Buffer.from(packet.will.payload) }
    }
    this.#link = this.#newLink(admission)
    const keepAliveMs = Math.min(packet.keepalive || limits.keepAliveS, limits.keepAliveS) * 1500
    clearTimeout(this.#watch)
    this.#watch = setInterval(() => this.#checkAlive(keepAliveMs, admission.expiresMs), Math.min(keepAliveMs / 3, 10_000))
    const sessionPresent = this.#backend.connected(this.#link, packet.clean ?? true)
    this.#write({ cmd: 'connack', returnCode: connack.accepted, sessionPresent: sessionPresent && !packet.clean })
  }

  #checkAlive(keepAliveMs: number, expiresMs: number): void {
    const nowMs = Date.now()
    if (nowMs > expiresMs) this.#refuse('token-expired', this.#link?.identity.deviceId ?? '')
    else if (nowMs - this.#lastHeardMs > keepAliveMs) this.#refuse('keep-alive', this.#link?.identity.deviceId ?? '')
  }

  #newLink({ identity, modelId, authMethod }: Admission & { accepted: true }): DeviceLink {
    return {
      identity,
      modelId,
      authMethod,
      deliver: (topic, body) =>
        new Promise((resolve, reject) => {
          if (this.#isClosed) return reject(new Error('the connection is closed'))
          const messageId = this.#newMessageId()
          this.#unacknowledged.set(messageId, { resolve, reject })
          this.#write({ cmd: 'publish', topic, payload: body, qos: 1, messageId, retain: false, dup: false })
        }),
      send: (topic, body) => this.#write({ cmd: 'publish', topic, payload: body, qos: 0, retain: false, dup: false }),
      close: (reason) => this.#refuse('closed-by-hub', reason),
    }
  }

  #newMessageId(): number {
    do {
      this.#nextMessageId = this.#nextMessageId >= 0xffff ? 1 : this.#nextMessageId + 1
    } while (this.#unacknowledged.has(this.#nextMessageId))
    return this.#nextMessageId
  }

  #publish(packet: IPublishPacket, link: DeviceLink): void {
    const { topic, qos, messageId } = packet
    const body = Buffer.from(packet.payload as Buffer)
    if (qos === 2) return this.#refuse('qos-2', topic)
    const target = parsePublishTopic(topic)
    if (!target) return this.#refuse('undocumented-topic', topic)
    const acknowledge = () => {
      if (qos === 1) this.#write({ cmd: 'puback', messageId: messageId! })
    }
    switch (target.kind) {
      case 'telemetry': {
        const { deviceId, moduleId } = link.identity
        if (target.deviceId !== deviceId || target.moduleId !== moduleId) return this.#refuse('foreign-topic', topic)
        const bag = bagOf(target.bag)
        if (!bag) return this.#refuse('malformed-properties', topic)
        if (body.length + target.bag.length > limits.messageBytes)
          return this.#refuse('too-large', `${body.length} bytes from '${deviceId}'`)
        // IoT Hub keeps no retained messages; it tells the reader that the sender wished so.
        const properties = packet.retain ? { ...bag, application: [...bag.application, ['mqtt-retain', 'true'] as const] } : bag
        this.#backend
          .telemetry({ link, bag: properties, body })
          .then(acknowledge, (error: unknown) => this.#refuse('not-stored', String(error)))
        return
      }
      case 'twin-get':
        return this.#answerTwin(target.requestId, this.#backend.twinGet(link), acknowledge)
      case 'twin-reported':
        return this.#answerTwin(target.requestId, this.#backend.twinReported(link, body), acknowledge)
      case 'method-response':
        this.#backend.methodResponse(link, target.requestId, target.status, body)
        return acknowledge()
      default:
        return target satisfies never
    }
  }

  #answerTwin(requestId: string, response: Promise<TwinResponse>, acknowledge: () => void): void {
    acknowledge()
    response.then(
      ({ status, body, version }) => this.#link?.send(topics.twinResponse(status, requestId, version), Buffer.from(body)),
      // The device SDK dies of an error without a body.
      (error: unknown) =>
        this.#link?.send(topics.twinResponse(500, requestId), Buffer.from(JSON.stringify({ errorCode: 500001, message: String(error) }))),
    )
  }

  #subscribe(packet: ISubscribePacket, link: DeviceLink): void {
    const accepted: Subscription[] = []
    const granted: number[] = []
    for (const { topic, qos } of packet.subscriptions) {
      const subscription = parseSubscription(topic, link.identity)
      if (!subscription) return this.#refuse('undocumented-topic', `subscription to ${topic}`)
      if (!this.#subscriptions.has(topic) && this.#subscriptions.size >= limits.subscriptions)
        return this.#refuse('too-many-subscriptions', topic)
      this.#subscriptions.add(topic)
      accepted.push(subscription)
      granted.push(Math.min(qos, 1))
    }
    this.#write({ cmd: 'suback', messageId: packet.messageId!, granted })
    for (const subscription of accepted) this.#backend.subscribed(link, subscription, true)
  }

  #write(packet: Packet): void {
    if (!this.#isClosed && this.#socket.writable) this.#socket.write(mqtt.generate(packet))
  }

  #refuse(reason: string, detail: string): void {
    if (this.#isClosed) return
    if (reason !== 'closed-by-hub') this.#backend.refused(reason, detail)
    this.#isClosed = true
    this.#socket.end()
    // A peer that does not close its side is closed for it.
    setTimeout(() => this.#socket.destroy(), 1_000).unref()
    this.#closed()
  }

  #closed(): void {
    this.#isClosed = true
    clearTimeout(this.#watch)
    clearInterval(this.#watch)
    for (const { reject } of this.#unacknowledged.values()) reject(new Error('the connection was closed before the acknowledgement'))
    this.#unacknowledged.clear()
    const link = this.#link
    this.#link = undefined
    if (!link) return
    this.#backend.disconnected(link)
    const will = this.#will
    const bag = will && bagOf(will.bag)
    if (!bag) return
    const marked = { ...bag, application: [...bag.application, ['iothub-MessageType', 'Will'] as const] }
    this.#backend
      .telemetry({ link, bag: marked, body: will.body })
      .catch((error: unknown) => this.#backend.refused('not-stored', String(error)))
  }
}

function bagOf(text: string): PropertyBag | undefined {
  try {
    return parsePropertyBag(text)
  } catch {
    return undefined
  }
}
