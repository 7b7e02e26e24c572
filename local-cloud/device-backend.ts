/** What stands behind a device's connection, and how it reaches the device: the seam between MQTT or AMQP and the hub, or an edge gateway. */
import type { PeerCertificate } from './security/peer-certificate.ts'

export type Identity = { readonly deviceId: string; readonly moduleId: string | undefined }

/** One name for a device or module: `device`, or `device/module`; a slash cannot stand in either id. */
export function nameOf({ deviceId, moduleId }: { readonly deviceId: string; readonly moduleId?: string | undefined }): string {
  return moduleId === undefined ? deviceId : `${deviceId}/${moduleId}`
}

/** Where a device or module is addressed, in topics, tokens and AMQP alike. */
export function pathOfIdentity({ deviceId, moduleId }: Identity): string {
  return moduleId === undefined ? `devices/${deviceId}` : `devices/${deviceId}/modules/${moduleId}`
}

/** What a message says beside its body. */
export type PropertyBag = {
  /** By the short names they have in a topic: ct, ce, mid, cid, uid, to, exp, on, sub, … */
  readonly system: ReadonlyMap<string, string>
  readonly application: readonly (readonly [string, string])[]
}

/** What a client may listen for. */
export const subscriptions = ['twin-responses', 'desired-properties', 'methods', 'cloud-to-device', 'module-inputs'] as const
export type Subscription = (typeof subscriptions)[number]

export type Credentials = {
  readonly identity: Identity
  /** Plug and Play model that the client says it implements. */
  readonly modelId: string | undefined
  /** A shared access signature; empty for a client that shows a certificate instead. */
  readonly token: string
  /** Asked for only when there is no token. */
  readonly certificate: () => PeerCertificate | undefined
}

export type Admission =
  | {
      readonly accepted: true
      readonly identity: Identity
      readonly modelId: string | undefined
      readonly expiresMs: number
      readonly authMethod: string
    }
  | { readonly accepted: false; readonly kind: 'unavailable' | 'unauthorized'; readonly reason: string }

/** `bag` is the same object for messages of one connection that share their properties, so that work on it can be kept. */
export type IncomingTelemetry = { readonly link: DeviceLink; readonly bag: PropertyBag; readonly body: Buffer }

/** What stands behind a connection: the hub, or an edge gateway. */
export type DeviceBackend = {
  admit(credentials: Credentials): Promise<Admission>
  /** @returns the subscriptions that a session kept for this client still has; undefined without one */
  connected(link: DeviceLink, cleanSession: boolean): ReadonlySet<Subscription> | undefined
  disconnected(link: DeviceLink): void
  /** Resolves when the message is durable. @throws RefusedMessageError */
  telemetry(message: IncomingTelemetry): Promise<void>
  twinGet(link: DeviceLink): Promise<TwinResponse>
  twinReported(link: DeviceLink, body: Buffer): Promise<TwinResponse>
  methodResponse(link: DeviceLink, requestId: string, status: number, body: Buffer): void
  subscribed(link: DeviceLink, subscription: Subscription, isOn: boolean): void
  refused(reason: string, detail: string): void
}

export type TwinResponse = { readonly status: number; readonly body: string; readonly version?: number }

/** A message from the cloud to a device, or from a route of the gateway to a module's input. */
export type MessageToClient = {
  readonly input?: string
  readonly bag: PropertyBag
  readonly body: Buffer
}

/** What a client makes of a message: done with it, wants it again, or never again. */
export type Settlement = 'complete' | 'abandon' | 'reject'

/** How the backend reaches the client of one connection. */
export type DeviceLink = {
  readonly identity: Identity
  readonly modelId: string | undefined
  readonly authMethod: string
  /** Resolves when the client has settled the message. Rejects when the connection ends first. */
  deliver(message: MessageToClient): Promise<Settlement>
  /** Tells of desired properties that changed, as JSON with their `$version`. */
  desired(version: number, patch: Buffer): void
  /** Asks for a method to be run; its answer comes to the backend under the same id. */
  call(methodName: string, requestId: string, payload: Buffer): void
  close(reason: string): void
  /** Neither reads nor writes for a time, as a network that swallows packets does. */
  stall(ms: number): void
}

/** Why a message was not taken: the word that is counted, and the sentence that is logged. */
export class RefusedMessageError extends Error {
  override readonly name = 'RefusedMessageError'
  readonly reason: string
  constructor(reason: string, message: string) {
    super(message)
    this.reason = reason
  }
}
