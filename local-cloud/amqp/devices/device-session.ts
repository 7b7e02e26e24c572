/**
 * One device or module on an AMQP connection, which may carry several: its links together are what a connection is in MQTT.
 * It begins with the first link and ends with the last.
 */
import type { Delivery, Message, Receiver, Sender } from 'rhea'
import { errorText } from '../../../contract/error-text.ts'
import { nameOf, RefusedMessageError } from '../../device-backend.ts'
import type {
  Admission,
  DeviceBackend,
  DeviceLink,
  Identity,
  MessageToClient,
  Settlement,
  Subscription,
  TwinResponse,
} from '../../device-backend.ts'
import { failure } from '../amqp-node.ts'
import type { AmqpFailure } from '../amqp-node.ts'
import type { AmqpPeer } from '../amqp-peer.ts'
import { remoteAttach } from '../link-attach.ts'
import { whenLinkEnds } from '../link-end.ts'
import { batchedMessages } from '../message-sections.ts'
import { bodyOf, decoded } from '../message-values.ts'
import { OutgoingLink } from '../outgoing-link.ts'
import type { DeviceEndpoint } from './device-address.ts'
import {
  bagOf,
  desiredChange,
  messageToClient,
  methodAnswer,
  methodRequest,
  newDeliveryTag,
  twinAnswer,
  twinRequest,
} from './device-messages.ts'

/** IoT Hub: 256 KB, with the properties. */
export const messageBytesMax = 256 * 1024
/** Message format of a batch: each data section is a message. */
const batchFormat = 0x80013700
/** Links that belong together, for requests and for answers, carry the same. */
const correlationProperty = 'com.microsoft:channel-correlation-id'
const modelProperty = 'com.microsoft:model-id'

export type DeviceSessionOptions = {
  readonly backend: DeviceBackend
  readonly peer: AmqpPeer
  readonly identity: Identity
  /** Whether nobody else is on its connection. */
  readonly isAlone: () => boolean
  readonly onEnded: () => void
}

export class DeviceSession {
  readonly #options: DeviceSessionOptions
  readonly #links = new Set<Sender | Receiver>()
  /** What the first link said of it, and whether it was let in. */
  readonly #connected: Promise<DeviceLink | undefined>
  #link: DeviceLink | undefined
  #expiresMs = Infinity
  #isEnded = false
  #messages: OutgoingLink | undefined
  #calls: OutgoingLink | undefined
  /** Where answers about the twin go, by the correlation of their links. */
  readonly #twinAnswers = new Map<string, OutgoingLink>()
  #desired: OutgoingLink | undefined

  constructor(options: DeviceSessionOptions, first: Sender | Receiver) {
    this.#options = options
    this.#connected = this.#connect(first).catch((error: unknown) => {
      options.backend.refused('internal-error', `${nameOf(options.identity)}: ${String(error)}`)
      this.#endLinks({ condition: 'amqp:internal-error', description: String(error) })
      return undefined
    })
  }

  /** When it must have shown another token; Infinity for a certificate. */
  get expiresMs(): number {
    const { peer, identity } = this.#options
    return Math.max(this.#expiresMs, peer.claims.admitted(identity)?.expiresMs ?? 0, peer.claims.policyTokenFor(identity)?.expiresMs ?? 0)
  }

  async #connect(first: Sender | Receiver): Promise<DeviceLink | undefined> {
    const { backend, identity } = this.#options
    const admission = await this.#admit(propertyOf(first, modelProperty))
    if (this.#isEnded) return undefined
    if (!admission.accepted) {
      backend.refused('not-authorized', `${nameOf(identity)}: ${admission.reason}`)
      const condition = admission.kind === 'unavailable' ? 'com.microsoft:timeout' : 'amqp:unauthorized-access'
      this.#endLinks({ condition, description: admission.reason })
      return undefined
    }
    this.#expiresMs = admission.expiresMs
    this.#link = this.#newLink(admission)
    backend.connected(this.#link, true)
    return this.#link
  }

  async #admit(modelId: string | undefined): Promise<Admission> {
    const { backend, identity, peer } = this.#options
    const known = peer.claims.admitted(identity)
    if (known) return { ...known, modelId }
    return backend.admit({ identity, modelId, token: peer.claims.policyTokenFor(identity)?.token ?? '', certificate: peer.certificate })
  }

  #newLink({ identity, modelId, authMethod }: Admission & { accepted: true }): DeviceLink {
    const lost = () => {}
    return {
      identity,
      modelId,
      authMethod,
      deliver: (message) => this.#deliver(message),
      desired: (version, patch) => void this.#desired?.send(desiredChange(version, patch)).catch(lost),
      call: (methodName, requestId, payload) => void this.#calls?.send(methodRequest(methodName, requestId, payload)).catch(lost),
      close: (reason) => this.#end({ condition: conditionOf(reason), description: reason }),
      stall: (ms) => this.#options.peer.stall(ms),
    }
  }

  #deliver(message: MessageToClient): Promise<Settlement> {
    return this.#messages?.send(messageToClient(message), newDeliveryTag()) ?? Promise.reject(new Error('nobody listens'))
  }

  /** The client wants to receive. */
  openToPeer(endpoint: DeviceEndpoint, link: Sender): void {
    const isModule = this.#options.identity.moduleId !== undefined
    const outgoing = new OutgoingLink(link, () => this.#closed(link))
    this.#links.add(link)
    switch (endpoint) {
      case 'messages':
      case 'device-bound':
        this.#messages = outgoing
        this.#listen(link, isModule ? 'module-inputs' : 'cloud-to-device', () => this.#messages === outgoing)
        break
      case 'methods':
        this.#calls = outgoing
        this.#listen(link, 'methods', () => this.#calls === outgoing)
        break
      case 'twin': {
        const correlation = propertyOf(link, correlationProperty) ?? ''
        this.#twinAnswers.set(correlation, outgoing)
        whenLinkEnds(link, () => {
          if (this.#twinAnswers.get(correlation) === outgoing) this.#twinAnswers.delete(correlation)
          if (this.#desired === outgoing) this.#follow(undefined)
        })
        break
      }
      default:
        endpoint satisfies never
    }
  }

  /** Tells the backend once the session is let in, and again when the link is closed, unless a newer one has taken over. */
  #listen(link: Sender, subscription: Subscription, isCurrent: () => boolean): void {
    this.#connected
      .then((connected) => {
        if (connected && link.is_open()) this.#options.backend.subscribed(connected, subscription, true)
      })
      .catch((error: unknown) => {
        this.#options.backend.refused('internal-error', String(error))
        link.close({ condition: 'amqp:internal-error', description: String(error) })
      })
    whenLinkEnds(link, () => {
      if (this.#link && isCurrent()) this.#options.backend.subscribed(this.#link, subscription, false)
    })
  }

  #follow(desired: OutgoingLink | undefined): void {
    const wasOn = this.#desired !== undefined
    this.#desired = desired
    if (this.#link && wasOn !== (desired !== undefined))
      this.#options.backend.subscribed(this.#link, 'desired-properties', desired !== undefined)
  }

  /** The client wants to send. */
  openFromPeer(link: Receiver): void {
    this.#links.add(link)
    whenLinkEnds(link, () => this.#closed(link))
  }

  receive(endpoint: DeviceEndpoint, link: Receiver, message: Message | Buffer, delivery: Delivery): void {
    this.#connected
      .then((connected) => {
        if (!connected || !link.is_open()) return undefined
        if (endpoint === 'messages') return this.#telemetry(connected, message, delivery)
        const plain = decoded(message)
        if (endpoint === 'methods') return this.#answer(connected, plain, delivery)
        return this.#twin(connected, link, plain, delivery)
      })
      .catch((error: unknown) => {
        const reason = failureOf(error)
        this.#options.backend.refused(error instanceof RefusedMessageError ? error.reason : reason.condition, reason.description)
        delivery.reject(reason)
      })
  }

  async #telemetry(link: DeviceLink, message: Message | Buffer, delivery: Delivery): Promise<void> {
    const isBatch = Buffer.isBuffer(message) && (delivery as { format?: number }).format === batchFormat
    const messages = isBatch ? batchedMessages(message).map((bytes) => decoded(Buffer.from(bytes))) : [decoded(message)]
    const telemetry = messages.map((one) => ({ link, bag: bagOf(one), body: bodyOf(one) }))
    const bytes = telemetry.reduce((sum, { body }) => sum + body.length, 0)
    if (bytes > messageBytesMax) return delivery.reject(failure.tooLarge(bytes, messageBytesMax))
    await Promise.all(telemetry.map((one) => this.#options.backend.telemetry(one)))
    delivery.accept()
  }

  #answer(link: DeviceLink, message: Message, delivery: Delivery): void {
    const answer = methodAnswer(message)
    if (!answer)
      return delivery.reject({ condition: 'amqp:invalid-field', description: 'an answer has a correlation id and an IoThub-status' })
    delivery.accept()
    this.#options.backend.methodResponse(link, answer.requestId, answer.status, answer.body)
  }

  async #twin(connected: DeviceLink, link: Receiver, message: Message, delivery: Delivery): Promise<void> {
    const request = twinRequest(message)
    if (!request) return delivery.reject({ condition: 'amqp:invalid-field', description: 'the annotations name no operation on a twin' })
    delivery.accept()
    const correlation = propertyOf(link, correlationProperty) ?? ''
    const answers = this.#twinAnswers.get(correlation) ?? [...this.#twinAnswers.values()].at(-1)
    const answer = await this.#askTwin(connected, request, message, answers)
    await answers?.answer(twinAnswer(message, answer)).catch(() => {})
  }

  async #askTwin(
    link: DeviceLink,
    request: ReturnType<typeof twinRequest>,
    message: Message,
    answers: OutgoingLink | undefined,
  ): Promise<TwinResponse> {
    const { backend } = this.#options
    try {
      if (request === 'get') return await backend.twinGet(link)
      if (request === 'patch-reported') return await backend.twinReported(link, bodyOf(message))
      this.#follow(request === 'follow-desired' ? answers : undefined)
      return { status: 200, body: '' }
    } catch (error) {
      return { status: 500, body: JSON.stringify({ errorCode: 500001, message: String(error) }) }
    }
  }

  #closed(link: Sender | Receiver): void {
    this.#links.delete(link)
    if (this.#links.size === 0) this.#over()
  }

  /** Ends it, saying why: with its connection, unless others use that, too. */
  #end(reason: AmqpFailure): void {
    const { peer, identity, isAlone } = this.#options
    // It must come with another token, or another right to this one.
    if (reason.condition === 'amqp:unauthorized-access') peer.claims.forget(identity)
    if (!isAlone()) return this.#endLinks(reason)
    peer.close(reason)
    this.#over()
  }

  #endLinks({ condition, description }: AmqpFailure): void {
    for (const link of this.#links) link.close({ condition, description })
    this.#over()
  }

  /** The connection is gone. */
  disconnected(): void {
    this.#over()
  }

  #over(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    const { backend, onEnded } = this.#options
    onEnded()
    if (this.#link) backend.disconnected(this.#link)
    this.#link = undefined
  }
}

/** A property of the attach frame, by which a client says more of a link. */
function propertyOf(link: Sender | Receiver, name: string): string | undefined {
  const value = remoteAttach(link).properties?.[name]
  return typeof value === 'string' ? value : undefined
}

/** How the hub's reasons to end a connection are worded in AMQP. */
function conditionOf(reason: string): string {
  if (reason.startsWith('401')) return 'amqp:unauthorized-access'
  return reason.startsWith('400027') ? 'amqp:link:stolen' : 'amqp:connection:forced'
}

function failureOf(error: unknown): AmqpFailure {
  const description = errorText(error)
  if (error instanceof RangeError || error instanceof TypeError) return { condition: 'amqp:decode-error', description }
  if (!(error instanceof RefusedMessageError)) return { condition: 'amqp:internal-error', description }
  const conditions: Readonly<Record<string, string>> = {
    throttled: 'com.microsoft:device-container-throttled',
    'quota-exceeded': 'amqp:resource-limit-exceeded',
    'not-registered': 'amqp:not-found',
  }
  return { condition: conditions[error.reason] ?? 'amqp:internal-error', description }
}
