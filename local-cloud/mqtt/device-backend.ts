/** What stands behind a device's connection, and how it reaches the device: the seam between MQTT and the hub, or an edge gateway. */
import type { PeerCertificate } from '../security/peer-certificate.ts'
import type { PropertyBag } from './property-bag.ts'
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

export type ConnectRequest = {
  readonly clientId: string
  readonly username: string
  readonly password: string
  readonly certificate: () => PeerCertificate | undefined
}

/** `bag` is the same object for messages of one connection that share a topic, so that work on it can be kept. */
export type IncomingTelemetry = { readonly link: DeviceLink; readonly bag: PropertyBag; readonly body: Buffer }

/** What stands behind a connection: the hub, or an edge gateway. */
export type DeviceBackend = {
  admit(request: ConnectRequest): Promise<Admission>
  /** @returns the subscriptions that a session kept for this client still has; undefined without one */
  connected(link: DeviceLink, cleanSession: boolean): ReadonlySet<Subscription> | undefined
  disconnected(link: DeviceLink): void
  /** Resolves when the message is durable. A rejection ends the connection. */
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
