/**
 * The hub: devices in, messages out. A publish is acknowledged when its message is durable; one connection per identity,
 * the newer one wins. Twins, methods and messages to devices pass through here to whoever is connected.
 */
import type { X509Certificate } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Faults } from '../faults.ts'
import { nameOf } from '../device-backend.ts'
import type {
  Admission,
  Credentials,
  DeviceBackend,
  DeviceLink,
  Identity,
  IncomingTelemetry,
  PropertyBag,
  Subscription,
  TwinResponse,
} from '../device-backend.ts'
import { Announcements } from './announcements.ts'
import type { CloudToDevice } from './cloud-to-device.ts'
import { admit } from './device-credentials.ts'
import type { CredentialRules } from './device-credentials.ts'
import { DirectMethods } from './direct-methods.ts'
import type { MethodCall, MethodResult } from './direct-methods.ts'
import { HubError } from './hub-errors.ts'
import type { MessageSink } from './hub-message.ts'
import { IncomingMessages } from './incoming-messages.ts'
import { isJsonObject, patchBetween } from './json-merge-patch.ts'
import type { JsonObject } from './json-merge-patch.ts'
import { Registry } from './registry.ts'
import type { Named, StoredIdentity } from './registry.ts'
import type { SessionStore } from '../session-store.ts'
import type { Throttles } from './throttles.ts'
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

export class IotHub implements DeviceBackend {
  readonly registry: Registry
  readonly credentialRules: CredentialRules
  readonly #options: IotHubOptions
  readonly #sessions = new Map<string, Session>()
  readonly #methods = new DirectMethods()
  readonly #announcements: Announcements
  readonly #incoming: IncomingMessages
  readonly #onSubscribed = new Set<(name: string, subscription: Subscription) => void>()
  /** When each identity came or went last. */
  readonly #connectionChangedMs = new Map<string, number>()
  /** Counts by reason of what was refused: "where is my message?" */
  readonly refusals = new Map<string, number>()

  constructor(options: IotHubOptions) {
    this.#options = options
    this.registry = options.registry
    const { registry, sink, throttles, faults, isNotified, policyKey, authorities, nowMs } = options
    const failed = (error: unknown) => this.refused('not-stored', String(error))
    this.#announcements = new Announcements({ hubName: options.name, sink, isNotified, nowMs, failed })
    this.#incoming = new IncomingMessages({ registry, sink, throttles, faults, nowMs, sessionOf: (name) => this.#sessions.get(name) })
    this.credentialRules = { find: ({ deviceId, moduleId }) => this.registry.get(deviceId, moduleId), policyKey, authorities, nowMs }
    faults.handle('kill-connection', ({ target }) =>
      this.#eachSession(target, ({ link }) => link.close('fault injection: kill-connection')),
    )
    faults.handle('expire-token', ({ target }) =>
      this.#eachSession(target, ({ link }) => link.close('401003 IotHubUnauthorized: fault injection: expire-token')),
    )
    faults.handle('stall-connection', ({ target, delayMs }) => this.#eachSession(target, ({ link }) => link.stall(delayMs)))
  }

  async admit(credentials: Credentials): Promise<Admission> {
    const permit = this.#options.throttles.permit('connect')
    if (permit.kind === 'refuse') return { accepted: false, kind: 'unavailable', reason: permit.code }
    if (permit.kind === 'wait') await delay(permit.ms)
    const admission = admit(credentials, this.credentialRules)
    if (admission.accepted && this.#options.faults.strikes('offline', nameOf(admission.identity)))
      return { accepted: false, kind: 'unavailable', reason: 'fault injection: offline' }
    if (admission.accepted && this.#options.faults.strikes('quota', nameOf(admission.identity)))
      return { accepted: false, kind: 'unavailable', reason: '403002 IotHubQuotaExceeded: fault injection' }
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

  get receivedCount(): number {
    return this.#incoming.receivedCount
  }

  get meteredCount(): number {
    return this.#incoming.meteredCount
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

  telemetry(message: IncomingTelemetry): Promise<void> {
    return this.#incoming.take(message)
  }

  /** A message that came by HTTPS or on an edge's behalf: as telemetry, without a connection. */
  telemetryOf(identity: StoredIdentity, authMethod: string, bag: PropertyBag, body: Buffer): Promise<void> {
    return this.#incoming.takeFrom(identity, authMethod, bag, body)
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
    if (permit.kind === 'wait') await delay(permit.ms)
    return permit.kind === 'refuse' ? errorResponse(429, 429001, permit.code) : undefined
  }

  /** @throws TwinLimitError */
  async patchReported(identity: StoredIdentity, patch: JsonObject): Promise<StoredIdentity> {
    const current = this.#requireIdentity(identity)
    const reported = patchSection('reported', current.twin.reported, withoutService(patch), { nowMs: this.#options.nowMs() })
    const changed = await this.registry.changeTwin(current, { reported })
    this.#announcements.twin(changed, { properties: { reported: { ...patch, $version: reported.version } } })
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
      session.link.desired(section.version, Buffer.from(JSON.stringify({ ...announced, $version: section.version })))
    }
    this.#announcements.twin(changed, {
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
      const bag = { system: new Map(message.system), application: message.application }
      session.link
        .deliver({ bag, body: Buffer.from(message.body, 'base64') })
        .then(
          async (settlement) => {
            await cloudToDevice.settle(deviceId, token, settlement)
            if (settlement === 'abandon') this.deliverPending(deviceId)
          },
          async () => {
            await cloudToDevice.settle(deviceId, token, 'abandon')
            // The connection is ending; a newer one may be there already, and listen.
            if (this.#sessions.get(deviceId) !== session) this.deliverPending(deviceId)
          },
        )
        // It is done with in memory; should that not have reached the disk, it comes once more after a restart.
        .catch((error: unknown) => this.refused('not-stored', `${deviceId}: ${String(error)}`))
    }
  }

  refused(reason: string, detail: string): void {
    this.refusals.set(reason, (this.refusals.get(reason) ?? 0) + 1)
    this.#options.logRefusal(reason, detail)
  }

  #connectionChanged(identity: Identity, opType: 'deviceConnected' | 'deviceDisconnected'): void {
    this.#connectionChangedMs.set(nameOf(identity), this.#options.nowMs())
    this.#announcements.connection(identity, opType)
  }

  /** Says that an identity was created or deleted, to routes that want to know. */
  announceLife(identity: StoredIdentity, opType: string): void {
    this.#announcements.life(identity, opType)
  }

  #eachSession(target: string | undefined, strike: (session: Session) => void): number {
    const struck = [...this.#sessions].filter(([name]) => target === undefined || name === target)
    for (const [, session] of struck) strike(session)
    return struck.length
  }

  #requireIdentity({ deviceId, moduleId }: Named): StoredIdentity {
    const identity = this.registry.get(deviceId, moduleId)
    if (!identity) throw new HubError('DeviceNotFound', `'${deviceId}' was removed`)
    return identity
  }
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
