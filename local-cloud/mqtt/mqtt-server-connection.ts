/**
 * One device's connection: MQTT 3.1.1 with the rules of IoT Hub. The hub answers a breach by closing the connection,
 * as MQTT has no error reply. What the messages mean is the backend's business.
 */
import type { Duplex } from 'node:stream'
import mqtt from 'mqtt-packet'
import type { IConnectPacket, IPublishPacket, ISubscribePacket, Packet } from 'mqtt-packet'
import type { PeerCertificate } from '../security/peer-certificate.ts'
import { RefusedMessageError } from '../device-backend.ts'
import type {
  Admission,
  DeviceBackend,
  DeviceLink,
  Identity,
  MessageToClient,
  PropertyBag,
  Settlement,
  Subscription,
  TwinResponse,
} from '../device-backend.ts'
import { connack, readConnectNames } from './connect-names.ts'
import { formatPropertyBag, parsePropertyBag } from './property-bag.ts'
import { readRepeatedPublishes } from './repeated-publish.ts'
import { isOwnTopic, parsePublishTopic, parseSubscription, topics } from './topics.ts'
import type { PublishTopic } from './topics.ts'

const limits = {
  /** IoT Hub: 256 KB, with the topic and its properties. */
  packetBytes: 256 * 1024 + 16 * 1024,
  messageBytes: 256 * 1024,
  subscriptions: 5,
  /** A client that has not said CONNECT by then is not one. */
  connectMs: 10_000,
  /** The longest IoT Hub waits for a sign of life, a time and a half of the largest keep-alive. */
  silenceMs: 1_767_000,
  /** Publishes under way; with more, the connection is not read until some are acknowledged. */
  publishesUnderWay: 1_000,
  /** What may wait for a client that does not read. */
  outgoingBytes: 16 * 1024 * 1024,
} as const

/** A topic taken apart. */
type TopicRead = {
  readonly text: string
  readonly bytes: Buffer
  /** Length of the property bag, which counts as part of the message. */
  readonly bagBytes: number
  readonly target: PublishTopic | undefined
  readonly bag: PropertyBag | undefined
}

export type ConnectionOptions = {
  readonly certificate: () => PeerCertificate | undefined
  readonly onClosed: () => void
  readonly nowMs: number
}

export class MqttServerConnection {
  readonly #socket: Duplex
  readonly #backend: DeviceBackend
  readonly #certificate: () => PeerCertificate | undefined
  readonly #onClosed: () => void
  /** Made with the first message that needs it: most connections are idle. */
  #unacknowledged: Map<number, { resolve: () => void; reject: (error: Error) => void }> | undefined
  readonly #subscriptions = new Set<string>()
  readonly #parser = mqtt.parser({ protocolVersion: 4 })
  #link: DeviceLink | undefined
  #will: { bag: string; body: Buffer } | undefined
  #lastHeardMs: number
  #silenceMs: number = limits.connectMs
  #expiresMs = Infinity
  #publishesUnderWay = 0
  /** Publishes that wait for the same commit as the last one. */
  #commit: { readonly committed: Promise<void>; count: number; readonly messageIds: number[] } | undefined
  /** Devices send the same topic over and over. */
  #lastTopic: TopicRead | undefined
  /** True while mqtt-packet holds the beginning of a packet. */
  #isInPacket = false
  readonly #outgoing: Buffer[] = []
  #nextMessageId = 1
  #isClosed = false
  #stall: NodeJS.Timeout | undefined
  #work: Promise<void> | undefined

  constructor(socket: Duplex, backend: DeviceBackend, options: ConnectionOptions) {
    this.#socket = socket
    this.#backend = backend
    this.#certificate = options.certificate
    this.#onClosed = options.onClosed
    this.#lastHeardMs = options.nowMs
    this.#parser.on('packet', (packet) => this.#receive(packet))
    this.#parser.on('error', (error) => this.#refuse('malformed-packet', error.message))
    socket.on('data', (chunk: Buffer) => this.#parse(chunk))
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#closed())
  }

  /** Called every second or so: ends what is silent or has outlived its token. */
  checkAlive(nowMs: number): void {
    const name = this.#link?.identity.deviceId ?? 'a client that never said CONNECT'
    if (nowMs > this.#expiresMs) this.#refuse('token-expired', name)
    else if (nowMs - this.#lastHeardMs > this.#silenceMs) this.#refuse(this.#link ? 'keep-alive' : 'connect-timeout', name)
  }

  /** Ends the connection at once, as a server that goes away does: the device's Will is not sent. */
  destroy(): void {
    this.#will = undefined
    this.#socket.destroy()
    this.#closed()
  }

  #parse(chunk: Buffer): void {
    this.#lastHeardMs = Date.now()
    if (this.#isClosed) return
    const topic = this.#lastTopic
    try {
      const read = topic?.bag && this.#link && !this.#isInPacket ? this.#readRepeated(chunk, topic, topic.bag, this.#link) : 0
      if (read === chunk.length || this.#isClosed) return
      const waiting = this.#parser.parse(read === 0 ? chunk : chunk.subarray(read))
      this.#isInPacket = waiting > 0
      if (waiting > limits.packetBytes) this.#refuse('too-large', `a packet of more than ${limits.packetBytes} bytes`)
    } catch (error) {
      this.#refuse('malformed-packet', String(error))
    }
  }

  #readRepeated(chunk: Buffer, topic: TopicRead, bag: PropertyBag, link: DeviceLink): number {
    return readRepeatedPublishes(chunk, topic.bytes, (messageId, payload) => {
      this.#telemetry(topic, bag, payload, messageId, link)
      return !this.#isClosed
    })
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
    if (!this.#link && this.#work)
      this.#work.then(() => this.#dispatch(packet)).catch((error: unknown) => this.#refuse('internal-error', String(error)))
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
          this.#subscriptions.delete(filter)
          // One that a kept session brought along was never subscribed to here.
          if (subscription) this.#backend.subscribed(this.#link, subscription, false)
        }
        return this.#write({ cmd: 'unsuback', messageId: packet.messageId!, granted: [] })
      case 'puback':
        this.#unacknowledged?.get(packet.messageId!)?.resolve()
        this.#unacknowledged?.delete(packet.messageId!)
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
    const names = readConnectNames(packet.clientId, packet.username ?? '')
    if ('refusal' in names) return this.#refuseConnect(packet, names.refusal)
    const token = packet.password?.toString() ?? ''
    const admission = await this.#backend.admit({ ...names, token, certificate: this.#certificate })
    if (this.#isClosed) return
    if (!admission.accepted)
      return this.#refuseConnect(packet, {
        code: admission.kind === 'unavailable' ? connack.unavailable : connack.notAuthorized,
        reason: admission.reason,
      })
    if (packet.will) {
      const topic = parsePublishTopic(packet.will.topic)
      if (topic?.kind !== 'telemetry' || !isOwnTopic(topic, admission.identity)) return this.#refuse('bad-will', packet.will.topic)
      this.#will = { bag: topic.bag, body: Buffer.from(packet.will.payload) }
    }
    const link = this.#newLink(admission)
    this.#link = link
    this.#expiresMs = admission.expiresMs
    // [MQTT-3.1.2-24] the server waits half as long again.
    this.#silenceMs = Math.min(packet.keepalive ? packet.keepalive * 1500 : limits.silenceMs, limits.silenceMs)
    const kept = this.#backend.connected(link, packet.clean ?? true)
    this.#write({ cmd: 'connack', returnCode: connack.accepted, sessionPresent: kept !== undefined && packet.clean !== true })
    for (const subscription of kept ?? []) this.#backend.subscribed(link, subscription, true)
  }

  #refuseConnect({ clientId }: IConnectPacket, { code, reason }: { code: number; reason: string }): void {
    this.#write({ cmd: 'connack', returnCode: code, sessionPresent: false })
    this.#refuse('not-authorized', `${clientId}: ${reason}`)
  }

  #newLink({ identity, modelId, authMethod }: Admission & { accepted: true }): DeviceLink {
    return {
      identity,
      modelId,
      authMethod,
      deliver: (message) => this.#deliver(identity, message),
      desired: (version, patch) => this.#tell(topics.desired(version), patch),
      call: (methodName, requestId, payload) => this.#tell(topics.method(methodName, requestId), payload),
      close: (reason) => this.#refuse('closed-by-hub', reason),
      stall: (ms) => this.#stallFor(ms),
    }
  }

  /** At QoS 1. In MQTT a client cannot but acknowledge. */
  #deliver({ deviceId, moduleId = '' }: Identity, { input, bag, body }: MessageToClient): Promise<Settlement> {
    const properties = formatPropertyBag(bag)
    const topic =
      input === undefined ? topics.cloudToDevice(deviceId, properties) : topics.moduleInput(deviceId, moduleId, input, properties)
    return new Promise((resolve, reject) => {
      if (this.#isClosed) return reject(new Error('the connection is closed'))
      const waiting = (this.#unacknowledged ??= new Map())
      const messageId = this.#newMessageId()
      waiting.set(messageId, { resolve: () => resolve('complete'), reject })
      this.#writeSoon(mqtt.generate({ cmd: 'publish', topic, payload: body, qos: 1, messageId, retain: false, dup: false }))
    })
  }

  /** At QoS 0. */
  #tell(topic: string, body: Buffer): void {
    this.#write({ cmd: 'publish', topic, payload: body, qos: 0, retain: false, dup: false })
  }

  #newMessageId(): number {
    do {
      this.#nextMessageId = this.#nextMessageId >= 0xffff ? 1 : this.#nextMessageId + 1
    } while (this.#unacknowledged?.has(this.#nextMessageId))
    return this.#nextMessageId
  }

  #stallFor(ms: number): void {
    this.#socket.pause()
    this.#socket.cork()
    clearTimeout(this.#stall)
    this.#stall = setTimeout(() => {
      this.#stall = undefined
      this.#socket.uncork()
      this.#socket.resume()
    }, ms)
  }

  #publish(packet: IPublishPacket, link: DeviceLink): void {
    const { topic, qos, messageId } = packet
    if (qos === 2) return this.#refuse('qos-2', topic)
    const read = this.#readTopic(topic)
    const { target, bag } = read
    if (!target) return this.#refuse('undocumented-topic', topic)
    const payload = packet.payload as Buffer
    if (target.kind === 'telemetry') {
      if (!isOwnTopic(target, link.identity)) return this.#refuse('foreign-topic', topic)
      if (!bag) return this.#refuse('malformed-properties', topic)
      // IoT Hub keeps no retained messages; it tells the reader that the sender wished so.
      const properties = packet.retain ? { ...bag, application: [...bag.application, ['mqtt-retain', 'true'] as const] } : bag
      return this.#telemetry(read, properties, payload, qos === 1 ? messageId : undefined, link)
    }
    if (qos === 1) this.#write({ cmd: 'puback', messageId: messageId! })
    switch (target.kind) {
      case 'twin-get':
        return this.#answerTwin(target.requestId, this.#backend.twinGet(link))
      case 'twin-reported':
        return this.#answerTwin(target.requestId, this.#backend.twinReported(link, payload))
      case 'method-response':
        return this.#backend.methodResponse(link, target.requestId, target.status, payload)
      default:
        return target satisfies never
    }
  }

  #telemetry({ bagBytes }: TopicRead, bag: PropertyBag, body: Buffer, messageId: number | undefined, link: DeviceLink): void {
    if (body.length + bagBytes > limits.messageBytes)
      return this.#refuse('too-large', `413001 MessageTooLarge: ${body.length} bytes from '${link.identity.deviceId}'`)
    if (++this.#publishesUnderWay >= limits.publishesUnderWay) this.#socket.pause()
    this.#awaitCommit(this.#backend.telemetry({ link, bag, body }), messageId)
  }

  /** Messages that become durable together are acknowledged together: one write, one TLS record. */
  #awaitCommit(committed: Promise<void>, messageId: number | undefined): void {
    if (this.#commit?.committed === committed) {
      this.#commit.count++
      if (messageId !== undefined) this.#commit.messageIds.push(messageId)
      return
    }
    const commit = { committed, count: 1, messageIds: messageId === undefined ? [] : [messageId] }
    this.#commit = commit
    committed.then(
      () => {
        if (this.#commit === commit) this.#commit = undefined
        const wasFull = this.#publishesUnderWay >= limits.publishesUnderWay
        this.#publishesUnderWay -= commit.count
        if (wasFull && !this.#stall) this.#socket.resume()
        this.#acknowledge(commit.messageIds)
      },
      (error: unknown) => this.#refuse(error instanceof RefusedMessageError ? error.reason : 'not-stored', String(error)),
    )
  }

  #acknowledge(messageIds: readonly number[]): void {
    if (messageIds.length === 0 || this.#isClosed || !this.#socket.writable) return
    const bytes = Buffer.allocUnsafe(4 * messageIds.length)
    for (let index = 0; index < messageIds.length; index++) {
      // PUBACK, two bytes, packet identifier [MQTT-3.4].
      bytes.writeUInt16BE(0x4002, 4 * index)
      bytes.writeUInt16BE(messageIds[index]!, 4 * index + 2)
    }
    this.#socket.write(bytes)
  }

  #readTopic(text: string): TopicRead {
    if (this.#lastTopic?.text === text) return this.#lastTopic
    const target = parsePublishTopic(text)
    const isTelemetry = target?.kind === 'telemetry'
    const bagBytes = isTelemetry ? Buffer.byteLength(target.bag) : 0
    const read: TopicRead = { text, bytes: Buffer.from(text), bagBytes, target, bag: isTelemetry ? bagOf(target.bag) : undefined }
    // Answers carry a request id: nothing to keep. Nor is a topic that is about to end the connection.
    if (isTelemetry && this.#link && isOwnTopic(target, this.#link.identity)) this.#lastTopic = read
    return read
  }

  #answerTwin(requestId: string, response: Promise<TwinResponse>): void {
    response.then(
      ({ status, body, version }) => this.#tell(topics.twinResponse(status, requestId, version), Buffer.from(body)),
      // The device SDK dies of an error without a body.
      (error: unknown) =>
        this.#tell(topics.twinResponse(500, requestId), Buffer.from(JSON.stringify({ errorCode: 500001, message: String(error) }))),
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

  /** What is delivered in one turn leaves together: one write, one TLS record. */
  #writeSoon(bytes: Buffer): void {
    if (this.#outgoing.push(bytes) > 1) return
    process.nextTick(() => {
      const [first, ...more] = this.#outgoing.splice(0)
      if (first) this.#send(more.length === 0 ? first : Buffer.concat([first, ...more]))
    })
  }

  #write(packet: Packet): void {
    this.#send(mqtt.generate(packet))
  }

  #send(bytes: Buffer): void {
    if (this.#isClosed || !this.#socket.writable) return
    this.#socket.write(bytes)
    if (this.#socket.writableLength > limits.outgoingBytes) this.#refuse('slow-reader', `${this.#socket.writableLength} bytes wait for it`)
  }

  #refuse(reason: string, detail: string): void {
    if (this.#isClosed) return
    if (reason !== 'closed-by-hub') this.#backend.refused(reason, detail)
    this.#isClosed = true
    if (this.#stall) this.#socket.uncork()
    this.#socket.end()
    // A peer that does not close its side is closed for it.
    setTimeout(() => this.#socket.destroy(), 1_000).unref()
    this.#closed()
  }

  #closed(): void {
    this.#isClosed = true
    clearTimeout(this.#stall)
    for (const { reject } of this.#unacknowledged?.values() ?? []) reject(new Error('the connection was closed before the acknowledgement'))
    this.#unacknowledged = undefined
    this.#onClosed()
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
