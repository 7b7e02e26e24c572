/** Messages from devices: stamped with who sent them, metered, held up on a bad day, and handed to where routes begin. */
import { setTimeout as delay } from 'node:timers/promises'
import { DeviceMessageTemplate } from '../amqp/message-sections.ts'
import type { Faults } from '../faults.ts'
import { faultInMessage } from '../faults.ts'
import { nameOf, RefusedMessageError } from '../device-backend.ts'
import type { DeviceLink, IncomingTelemetry, PropertyBag } from '../device-backend.ts'
import { HubMessage } from './hub-message.ts'
import type { MessageSink } from './hub-message.ts'
import type { Named, Registry, StoredIdentity } from './registry.ts'
import type { Throttles } from './throttles.ts'

export type IncomingOptions = {
  readonly registry: Registry
  readonly sink: MessageSink
  readonly throttles: Throttles
  readonly faults: Faults
  readonly nowMs: () => number
  /** The connection under a name, whose last sign of life is noted. */
  readonly sessionOf: (name: string) => { lastSeenMs: number } | undefined
}

/** What messages of one connection with the same properties have in common. */
type Sender = {
  readonly name: string
  readonly template: DeviceMessageTemplate
  readonly twin: () => unknown
  readonly fault: ReturnType<typeof faultInMessage>
  readonly session: { lastSeenMs: number }
}

/** IoT Hub's quota counts in units of 4 KB ("IoT Hub quotas and throttling"). */
const meterBytes = 4_096

export class IncomingMessages {
  readonly #options: IncomingOptions
  readonly #senders = new WeakMap<PropertyBag, Sender>()
  receivedCount = 0
  /** What Azure would put on the bill: a message counts once for every 4 KB it begins. */
  meteredCount = 0

  constructor(options: IncomingOptions) {
    this.#options = options
  }

  /** Resolves when the message is durable. @throws RefusedMessageError */
  take({ link, bag, body }: IncomingTelemetry): Promise<void> {
    const sender = this.#senders.get(bag) ?? this.#senderOf(link, bag)
    // Deleted while it was connected: its Will, at the latest, finds nobody to speak for.
    if (!sender) return Promise.reject(new RefusedMessageError('not-registered', `'${nameOf(link.identity)}' was removed`))
    const { faults, throttles, sink, nowMs } = this.#options
    sender.session.lastSeenMs = nowMs()
    if (sender.fault) this.#strikeLater(sender.fault)
    const message = new HubMessage('Telemetry', sender.template, body, sender.twin)
    if (faults.areSet || throttles.areOn) return this.#takeOnABadDay(message, sender.name)
    this.#meter(body.length)
    return sink(message)
  }

  /** A message that came without a connection. @throws RefusedMessageError */
  async takeFrom(identity: StoredIdentity, authMethod: string, bag: PropertyBag, body: Buffer): Promise<void> {
    await this.#mayProceed(nameOf(identity), body.length)
    this.#meter(body.length)
    const template = new DeviceMessageTemplate(fieldsOf(identity, authMethod, undefined, bag))
    await this.#options.sink(new HubMessage('Telemetry', template, body, () => this.#twinForRoutes(identity)))
  }

  async #takeOnABadDay(message: HubMessage, name: string): Promise<void> {
    await this.#mayProceed(name, message.body.length)
    this.#meter(message.body.length)
    const { faults, sink } = this.#options
    await sink(message)
    const late = faults.strikes('delay', name)
    if (late) await delay(late.delayMs)
    if (faults.strikes('drop-acknowledgement', name)) await new Promise(() => {})
  }

  #meter(bytes: number): void {
    this.receivedCount++
    this.meteredCount += Math.max(1, Math.ceil(bytes / meterBytes))
  }

  #senderOf(link: DeviceLink, bag: PropertyBag): Sender | undefined {
    const { registry, sessionOf } = this.#options
    const identity = registry.get(link.identity.deviceId, link.identity.moduleId)
    if (!identity) return undefined
    const name = nameOf(link.identity)
    const sender: Sender = {
      name,
      template: new DeviceMessageTemplate(fieldsOf(identity, link.authMethod, link.modelId, bag)),
      twin: () => this.#twinForRoutes(link.identity),
      fault: faultInMessage(bag.application, name),
      // The Will of a connection is sent when its session is gone.
      session: sessionOf(name) ?? { lastSeenMs: 0 },
    }
    this.#senders.set(bag, sender)
    return sender
  }

  /** Waits its turn, or refuses. @throws RefusedMessageError */
  async #mayProceed(name: string, bytes: number): Promise<void> {
    const { faults, throttles } = this.#options
    if (faults.strikes('throttle', name)) throw new RefusedMessageError('throttled', '429001 ThrottlingException: fault injection')
    if (faults.strikes('quota', name)) throw new RefusedMessageError('quota-exceeded', '403002 IotHubQuotaExceeded: fault injection')
    const permit = throttles.permit('send', bytes)
    if (permit.kind === 'refuse') throw new RefusedMessageError(permit.code.startsWith('403') ? 'quota-exceeded' : 'throttled', permit.code)
    if (permit.kind === 'wait') await delay(permit.ms)
  }

  #strikeLater({ request, afterMs }: NonNullable<Sender['fault']>): void {
    setTimeout(() => this.#options.faults.set(request), afterMs).unref()
  }

  #twinForRoutes({ deviceId, moduleId }: Named): unknown {
    const twin = this.#options.registry.get(deviceId, moduleId)?.twin
    return twin && { tags: twin.tags, properties: { desired: twin.desired.values, reported: twin.reported.values } }
  }
}

function fieldsOf(identity: StoredIdentity, authMethod: string, modelId: string | undefined, { system, application }: PropertyBag) {
  return {
    deviceId: identity.deviceId,
    moduleId: identity.moduleId,
    authMethod,
    generationId: identity.generationId,
    source: 'Telemetry',
    dataSchema: modelId ?? (identity.twin.modelId || undefined),
    subject: system.get('sub'),
    interfaceId: system.get('ifid'),
    creationTimeUtc: system.get('ctime'),
    messageId: system.get('mid'),
    correlationId: system.get('cid'),
    userId: system.get('uid'),
    to: system.get('to'),
    contentType: system.get('ct'),
    contentEncoding: system.get('ce'),
    properties: application,
  }
}
