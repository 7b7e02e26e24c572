/**
 * The hub: devices in, messages out. A publish is acknowledged when its message is durable; one connection per identity,
 * the newer one wins. Twins, methods and messages to devices pass through here to whoever is connected.
 */
import type { X509Certificate } from 'node:crypto'
import { DeviceMessageTemplate } from '../amqp/message-sections.ts'
import type { Faults } from '../faults.ts'
import { faultInMessage } from '../faults.ts'
import { RefusedMessageError } from '../mqtt/mqtt-server-connection.ts'
import type { Admission, DeviceBackend, DeviceLink, Identity, IncomingTelemetry, TwinResponse } from '../mqtt/mqtt-server-connection.ts'
import { formatPropertyBag } from '../mqtt/property-bag.ts'
import type { PropertyBag } from '../mqtt/property-bag.ts'
import { topics } from '../mqtt/topics.ts'
import type { Subscription } from '../mqtt/topics.ts'
import type { CloudToDevice } from './cloud-to-device.ts'
import { admit } from './device-credentials.ts'
import type { CredentialRules, Credentials } from './device-credentials.ts'
import { DirectMethods } from './direct-methods.ts'
import type { MethodCall, MethodResult } from './direct-methods.ts'
import { HubError } from './hub-errors.ts'
import { HubMessage, notification } from './hub-message.ts'
import type { MessageSink } from './hub-message.ts'
import { isJsonObject, patchBetween } from './json-merge-patch.ts'
import type { JsonObject } from './json-merge-patch.ts'
import { key, Registry } from './registry.ts'
import type { StoredIdentity } from './registry.ts'
import type { SessionStore } from './session-store.ts'
import type { Permit, ThrottledOperation, Throttles } from './throttles.ts'
import { patchSection, patchTags, sectionView, TwinLimitError, withoutService } from './twin.ts'

export type IotHubOptions = {
  readonly name: string
  readonly registry: Registry
  readonly sessions: SessionStore
  readonly cloudToDevice: CloudToDevice
  readonly sink: MessageSink
  /** True when some route wants to hear of twins, lives and connections. */
  readonly isNotified: () => boolean
  readonly policyKey: CredentialRules['policyKey']
  readonly authorities: readonly X509Certificate[]
  readonly throttles: Throttles
  readonly faults: Faults
  readonly nowMs: () => number
  readonly logRefusal: (reason: string, detail: string) => void
}

type Session = {
  readonly link: DeviceLink
  readonly isClean: boolean
  readonly sinceMs: number
  lastSeenMs: number
  readonly subscriptions: Set<Subscription>
}

/** What messages of one connection with the same properties have in common. */
type Sender = {
  readonly template: DeviceMessageTemplate
  readonly twin: () => unknown
  readonly fault: ReturnType<typeof faultInMessage>
  readonly session: { lastSeenMs: number }
}

/** An identity, also as it is stored. */
type Named = { readonly deviceId: string; readonly moduleId?: string | undefined }

/** IoT Hub's quota counts in units of 4 KB ("IoT Hub quotas and throttling"). */
const meterBytes = 4_096

export class IotHub implements DeviceBackend {
  readonly registry: Registry
  readonly credentialRules: CredentialRules
  readonly #options: IotHubOptions
  readonly #sessions = new Map<string, Session>()
  readonly #methods = new DirectMethods()
  readonly #senders = new WeakMap<PropertyBag, Sender>()
  readonly #onSubscribed = new Set<(name: string, subscription: Subscription) => void>()
  /** When each identity came or went last. */
  readonly #connectionChangedMs = new Map<string, number>()
  /** Counts by reason of what was refused: "where is my message?" */
  readonly refusals = new Map<string, number>()
  receivedCount = 0
  /** What Azure would put on the bill: a message counts once for every 4 KB it begins. */
  meteredCount = 0

  constructor(options: IotHubOptions) {
    this.#options = options
    this.registry = options.registry
    const { policyKey, authorities, nowMs } = options
    this.credentialRules = { find: ({ deviceId, moduleId }) => this.registry.get(deviceId, moduleId), policyKey, authorities, nowMs }
    options.faults.handle('kill-connection', ({ target }) =>
      this.#eachSession(target, ({ link }) => link.close('fault injection: kill-connection')),
    )
    options.faults.handle('expire-token', ({ target }) =>
      this.#eachSession(target, ({ link }) => link.close('401003 IotHubUnauthorized: fault injection: expire-token')),
    )
    options.faults.handle('stall-connection', ({ target, delayMs }) => this.#eachSession(target, ({ link }) => link.stall(delayMs)))
  }

  async admit(credentials: Credentials): Promise<Admission> {
    const permit = this.#options.throttles.permit('connect')
    if (permit.kind === 'refuse') return { accepted: false, code: 3, reason: permit.code }
    if (permit.kind === 'wait') await pause(permit.ms)
    const admission = admit(credentials, this.credentialRules)
    if (admission.accepted && this.#options.faults.strikes('offline', key(admission.identity.deviceId, admission.identity.moduleId)))
      return { accepted: false, code: 3, reason: 'fault injection: offline' }
    if (admission.accepted && this.#options.faults.strikes('quota', key(admission.identity.deviceId, admission.identity.moduleId)))
      return { accepted: false, code: 3, reason: '403002 IotHubQuotaExceeded: fault injection' }
    return admission
  }

  connected(link: DeviceLink, isClean: boolean): ReadonlySet<Subscription> | undefined {
    const name = nameOf(link.identity)
    const nowMs = this.#options.nowMs()
    const older = this.#sessions.get(name)
    this.#sessions.set(name, { link, isClean, sinceMs: nowMs, lastSeenMs: nowMs, subscriptions: new Set() })
    older?.link.close('400027 ConnectionForcefullyClosedOnNewConnection')
    this.#connectionChanged(link.identity, 'deviceConnected')
    const identity = this.registry.get(link.identity.deviceId, link.identity.moduleId)
    if (identity && link.modelId !== undefined && identity.twin.modelId !== link.modelId)
      void this.registry.changeTwin(identity, { modelId: link.modelId })
    return this.#options.sessions.opened(name, isClean)
  }

  disconnected(link: DeviceLink): void {
    this.#methods.disconnected(link)
    const name = nameOf(link.identity)
    if (this.#sessions.get(name)?.link !== link) return
    this.#sessions.delete(name)
    this.#connectionChanged(link.identity, 'deviceDisconnected')
  }

  isConnected(identity: Named): boolean {
    return this.#sessions.has(nameOf(identity))
  }

  /** When an identity connected or went last, and when it last said something; 0 for never. */
  activityOf(identity: Named): { connectionChangedMs: number; lastSeenMs: number } {
    const name = nameOf(identity)
    return {
      connectionChangedMs: this.#connectionChangedMs.get(name) ?? 0,
      lastSeenMs: this.#sessions.get(name)?.lastSeenMs ?? this.#connectionChangedMs.get(name) ?? 0,
    }
  }

  sessions(): { name: string; sinceMs: number; lastSeenMs: number; subscriptions: string[]; modelId: string | undefined }[] {
    return [...this.#sessions].map(([name, { link, sinceMs, lastSeenMs, subscriptions }]) => ({
      name,
      sinceMs,
      lastSeenMs,
      subscriptions: [...subscriptions],
      modelId: link.modelId,
    }))
  }

  get connectedCount(): number {
    return this.#sessions.size
  }

  /** Forgets an identity that was deleted. */
  removed(identity: Named): void {
    this.drop(identity)
    const name = nameOf(identity)
    this.#options.sessions.forget(name)
    this.#connectionChangedMs.delete(name)
  }

  /** Ends the connection of an identity that was removed, disabled, or given other credentials. */
  drop(identity: Named): void {
    this.#sessions.get(nameOf(identity))?.link.close('401003 IotHubUnauthorized')
  }

  telemetry({ link, bag, body }: IncomingTelemetry): Promise<void> {
    const sender = this.#senders.get(bag) ?? this.#senderOf(link, bag)
    // Deleted while it was connected: its Will, at the latest, finds nobody to speak for.
    if (!sender) return Promise.reject(new RefusedMessageError('not-registered', `'${nameOf(link.identity)}' was removed`))
    sender.session.lastSeenMs = this.#options.nowMs()
    if (sender.fault) this.#strikeLater(sender.fault)
    const message = new HubMessage('Telemetry', sender.template, body, sender.twin)
    const { faults, throttles, sink } = this.#options
    if (faults.areSet || throttles.areOn) return this.#telemetryOnABadDay(message, nameOf(link.identity))
    this.#meter(body.length)
    return sink(message)
  }

  #meter(bytes: number): void {
    this.receivedCount++
    this.meteredCount += Math.max(1, Math.ceil(bytes / meterBytes))
  }

  async #telemetryOnABadDay(message: HubMessage, name: string): Promise<void> {
    await this.#mayProceed('send', name, message.body.length)
    this.#meter(message.body.length)
    await this.#options.sink(message)
    const { faults } = this.#options
    const delay = faults.strikes('delay', name)
    if (delay) await pause(delay.delayMs)
    if (faults.strikes('drop-acknowledgement', name)) await new Promise(() => {})
  }

  /** A message that came by HTTPS or on an edge's behalf: as telemetry, without a connection. */
  async telemetryOf(identity: StoredIdentity, authMethod: string, bag: PropertyBag, body: Buffer): Promise<void> {
    await this.#mayProceed('send', nameOf(identity), body.length)
    this.#meter(body.length)
    const template = new DeviceMessageTemplate(this.#fieldsOf(identity, authMethod, undefined, bag))
    await this.#options.sink(new HubMessage('Telemetry', template, body, () => this.#twinForRoutes(identity)))
  }

  #senderOf(link: DeviceLink, bag: PropertyBag): Sender | undefined {
    const identity = this.registry.get(link.identity.deviceId, link.identity.moduleId)
    if (!identity) return undefined
    const name = nameOf(link.identity)
    const sender: Sender = {
      template: new DeviceMessageTemplate(this.#fieldsOf(identity, link.authMethod, link.modelId, bag)),
      twin: () => this.#twinForRoutes(link.identity),
      fault: faultInMessage(bag.application, name),
      // The Will of a connection is sent when its session is gone.
      session: this.#sessions.get(name) ?? { lastSeenMs: 0 },
    }
    this.#senders.set(bag, sender)
    return sender
  }

  #fieldsOf(identity: StoredIdentity, authMethod: string, modelId: string | undefined, { system, application }: PropertyBag) {
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

  async twinGet(link: DeviceLink): Promise<TwinResponse> {
    const refusal = await this.#refuseTwin('twin-read', link.identity)
    if (refusal) return refusal
    const { twin } = this.#requireIdentity(link.identity)
    return {
      status: 200,
      body: JSON.stringify({
        desired: sectionView(twin.desired, { metadata: false }),
        reported: sectionView(twin.reported, { metadata: false }),
      }),
    }
  }

  async twinReported(link: DeviceLink, body: Buffer): Promise<TwinResponse> {
    const patch = parsePatch(body.toString())
    const refusal = await this.#refuseTwin('twin-update', link.identity)
    if (refusal) return refusal
    if (!patch) return errorResponse(400, 400004, 'the patch is not a JSON object')
    try {
      const { twin } = await this.patchReported(this.#requireIdentity(link.identity), patch)
      return { status: 204, body: '', version: twin.reported.version }
    } catch (error) {
      if (error instanceof TwinLimitError) return errorResponse(400, 400004, error.message)
      throw error
    }
  }

  async #refuseTwin(operation: 'twin-read' | 'twin-update', identity: Identity): Promise<TwinResponse | undefined> {
    const name = nameOf(identity)
    if (this.#options.faults.strikes('refuse-twin', name)) return errorResponse(500, 500001, 'fault injection: refuse-twin')
    if (this.#options.faults.strikes('throttle', name)) return errorResponse(429, 429001, 'fault injection: throttle')
    const permit = this.#options.throttles.permit(operation)
    if (permit.kind === 'wait') await pause(permit.ms)
    return permit.kind === 'refuse' ? errorResponse(429, 429001, permit.code) : undefined
  }

  /** @throws TwinLimitError */
  async patchReported(identity: StoredIdentity, patch: JsonObject): Promise<StoredIdentity> {
    const current = this.#requireIdentity(identity)
    const reported = patchSection('reported', current.twin.reported, withoutService(patch), { nowMs: this.#options.nowMs() })
    const changed = await this.registry.changeTwin(current, { reported })
    this.#twinChanged(changed, { properties: { reported: { ...patch, $version: reported.version } } })
    return changed
  }

  /** Changes tags and desired properties in one go, and tells the device, if it listens. @throws TwinLimitError */
  async patchTwin(
    identity: StoredIdentity,
    { tags, desired }: { tags?: JsonObject | undefined; desired?: JsonObject | undefined },
    { replace = false } = {},
  ): Promise<StoredIdentity> {
    const current = this.#requireIdentity(identity)
    const patch = desired && withoutService(desired)
    const section = patch && patchSection('desired', current.twin.desired, patch, { nowMs: this.#options.nowMs(), replace })
    const changed = await this.registry.changeTwin(current, {
      ...(tags ? { tags: patchTags(current.twin.tags, tags, { replace }) } : {}),
      ...(section ? { desired: section } : {}),
    })
    const session = this.#sessions.get(nameOf(identity))
    if (section && session?.subscriptions.has('desired-properties')) {
      // A device that is told of a replacement must learn what is gone.
      const announced = replace ? patchBetween(current.twin.desired.values, section.values) : patch
      session.link.send(topics.desired(section.version), Buffer.from(JSON.stringify({ ...announced, $version: section.version })))
    }
    this.#twinChanged(changed, {
      ...(tags ? { tags } : {}),
      ...(section ? { properties: { desired: { ...patch, $version: section.version } } } : {}),
    })
    return changed
  }

  /** @throws HubError when the device is not there @throws MethodFailedError when it does not answer */
  async invokeMethod(identity: Named, call: MethodCall & { connectTimeoutMs: number }): Promise<MethodResult> {
    const name = nameOf(identity)
    const listening = () => {
      const session = this.#sessions.get(name)
      return session?.subscriptions.has('methods') ? session : undefined
    }
    const session = listening() ?? (await this.#untilSubscribed(name, call.connectTimeoutMs, listening))
    if (!session) throw new HubError('DeviceNotOnline', `'${name}' is not connected, or does not take methods`)
    return this.#methods.call(session.link, call)
  }

  #untilSubscribed(name: string, timeoutMs: number, listening: () => Session | undefined): Promise<Session | undefined> {
    if (timeoutMs <= 0) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      const end = (session: Session | undefined) => {
        clearTimeout(timer)
        this.#onSubscribed.delete(check)
        resolve(session)
      }
      const timer = setTimeout(() => end(undefined), timeoutMs)
      const check = (subscriber: string) => {
        if (subscriber === name && listening()) end(listening())
      }
      this.#onSubscribed.add(check)
    })
  }

  methodResponse(link: DeviceLink, requestId: string, status: number, body: Buffer): void {
    this.#methods.answer(link, requestId, status, body)
  }

  subscribed(link: DeviceLink, subscription: Subscription, isOn: boolean): void {
    const name = nameOf(link.identity)
    const session = this.#sessions.get(name)
    if (session?.link !== link) return
    if (isOn) session.subscriptions.add(subscription)
    else session.subscriptions.delete(subscription)
    if (!session.isClean) this.#options.sessions.keep(name, [...session.subscriptions])
    if (!isOn) return
    for (const listener of this.#onSubscribed) listener(name, subscription)
    if (subscription === 'cloud-to-device') this.deliverPending(link.identity.deviceId)
  }

  /** Hands what waits for a device to its connection, if it listens. */
  deliverPending(deviceId: string): void {
    const session = this.#sessions.get(deviceId)
    const { cloudToDevice } = this.#options
    if (!session?.subscriptions.has('cloud-to-device')) return
    for (let taken = cloudToDevice.take(deviceId, { forever: true }); taken; taken = cloudToDevice.take(deviceId, { forever: true })) {
      const { message, token } = taken
      const bag = formatPropertyBag({ system: new Map(message.system), application: message.application })
      session.link.deliver(topics.cloudToDevice(deviceId, bag), Buffer.from(message.body, 'base64')).then(
        () => cloudToDevice.settle(deviceId, token, 'complete'),
        async () => {
          await cloudToDevice.settle(deviceId, token, 'abandon')
          // A newer connection may be there already, and listen.
          this.deliverPending(deviceId)
        },
      )
    }
  }

  refused(reason: string, detail: string): void {
    this.refusals.set(reason, (this.refusals.get(reason) ?? 0) + 1)
    this.#options.logRefusal(reason, detail)
  }

  /** Says that an identity was created or deleted, to routes that want to know. */
  announceLife(identity: StoredIdentity, opType: string): void {
    if (!this.#options.isNotified()) return
    const { deviceId, moduleId, etag, twin } = identity
    this.#notify('deviceLifecycleEvents', identity, {
      schema: moduleId === undefined ? 'deviceLifecycleNotification' : 'moduleLifecycleNotification',
      opType,
      body: {
        deviceId,
        ...(moduleId === undefined ? {} : { moduleId }),
        etag,
        version: twin.version,
        tags: twin.tags,
        properties: { desired: sectionView(twin.desired, { metadata: true }), reported: sectionView(twin.reported, { metadata: true }) },
      },
    })
  }

  #twinChanged(identity: StoredIdentity, body: JsonObject): void {
    if (this.#options.isNotified())
      this.#notify('twinChangeEvents', identity, {
        schema: 'twinChangeNotification',
        opType: 'updateTwin',
        body: { version: identity.twin.version, ...body },
      })
  }

  #connectionChanged(identity: Identity, opType: string): void {
    const nowMs = this.#options.nowMs()
    this.#connectionChangedMs.set(nameOf(identity), nowMs)
    if (this.#options.isNotified())
      this.#notify('deviceConnectionStateEvents', identity, {
        schema: 'deviceConnectionStateNotification',
        opType,
        body: { sequenceNumber: nowMs.toString(16).padStart(32, '0') },
      })
  }

  #notify(source: Parameters<typeof notification>[0], about: Named, content: Parameters<typeof notification>[2]): void {
    const message = notification(source, { ...about, hubName: this.#options.name, nowMs: this.#options.nowMs() }, content)
    this.#options.sink(message).catch((error: unknown) => this.refused('not-stored', String(error)))
  }

  /** Waits its turn, or refuses. @throws RefusedMessageError */
  async #mayProceed(operation: ThrottledOperation, name: string, bytes: number): Promise<void> {
    const { faults, throttles } = this.#options
    if (faults.strikes('throttle', name)) throw new RefusedMessageError('throttled', '429001 ThrottlingException: fault injection')
    if (faults.strikes('quota', name)) throw new RefusedMessageError('quota-exceeded', '403002 IotHubQuotaExceeded: fault injection')
    const permit: Permit = throttles.permit(operation, bytes)
    if (permit.kind === 'refuse') throw new RefusedMessageError(permit.code.startsWith('403') ? 'quota-exceeded' : 'throttled', permit.code)
    if (permit.kind === 'wait') await pause(permit.ms)
  }

  #strikeLater({ request, afterMs }: NonNullable<ReturnType<typeof faultInMessage>>): void {
    setTimeout(() => this.#options.faults.set(request), afterMs).unref()
  }

  #eachSession(target: string | undefined, strike: (session: Session) => void): number {
    const struck = [...this.#sessions].filter(([name]) => target === undefined || name === target)
    for (const [, session] of struck) strike(session)
    return struck.length
  }

  #twinForRoutes(identity: Named): unknown {
    const twin = this.registry.get(identity.deviceId, identity.moduleId)?.twin
    return twin && { tags: twin.tags, properties: { desired: twin.desired.values, reported: twin.reported.values } }
  }

  #requireIdentity({ deviceId, moduleId }: Named): StoredIdentity {
    const identity = this.registry.get(deviceId, moduleId)
    if (!identity) throw new HubError('DeviceNotFound', `'${deviceId}' was removed`)
    return identity
  }
}

function nameOf({ deviceId, moduleId }: Named): string {
  return key(deviceId, moduleId)
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function parsePatch(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isJsonObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Always with a body: the device SDK dies of an error without one. */
function errorResponse(status: number, errorCode: number, message: string): TwinResponse {
  return { status, body: JSON.stringify({ errorCode, message, trackingId: '', timestampUtc: new Date().toISOString() }) }
}
