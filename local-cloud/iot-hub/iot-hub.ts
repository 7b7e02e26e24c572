/**
 * The hub: devices in, log out. A device's messages go to the partition its id hashes to; a publish is acknowledged
 * when the log is durable; one connection per identity, the newer one wins.
 */
import type { CommitLog } from '../log/commit-log.ts'
import { encodeDeviceMessage } from '../amqp/message-sections.ts'
import type { Admission, DeviceBackend, DeviceLink, Identity, IncomingTelemetry, TwinResponse } from '../mqtt/mqtt-server-connection.ts'
import type { Subscription } from '../mqtt/topics.ts'
import { topics } from '../mqtt/topics.ts'
import { admitByToken } from './device-credentials.ts'
import type { Credentials } from './device-credentials.ts'
import { isJsonObject, mergePatch } from './json-merge-patch.ts'
import type { JsonObject } from './json-merge-patch.ts'
import type { Registry, StoredIdentity } from './registry.ts'

export type IotHubOptions = {
  readonly registry: Registry
  readonly log: CommitLog
  readonly nowMs: () => number
  readonly logRefusal: (reason: string, detail: string) => void
}

const twinBytesMax = 32 * 1024

type Session = { readonly link: DeviceLink; readonly subscriptions: Set<Subscription>; readonly sinceMs: number }

export class IotHub implements DeviceBackend {
  readonly registry: Registry
  readonly #options: IotHubOptions
  readonly #sessions = new Map<string, Session>()
  /** Counts by reason of what was refused: "where is my message?" */
  readonly refusals = new Map<string, number>()

  constructor(options: IotHubOptions) {
    this.#options = options
    this.registry = options.registry
  }

  // Not async work here, but a gateway must ask its upstream.
  async admit(credentials: Credentials): Promise<Admission> {
    return admitByToken(credentials, {
      // Any name that resolves to this machine is this hub; the token must still name the same device and be signed.
      isOwnHost: (host) => host !== '',
      find: ({ deviceId, moduleId }) => this.registry.get(deviceId, moduleId),
      nowMs: this.#options.nowMs,
    })
  }

  connected(link: DeviceLink): boolean {
    const name = nameOf(link.identity)
    const older = this.#sessions.get(name)
    this.#sessions.set(name, { link, subscriptions: new Set(), sinceMs: this.#options.nowMs() })
    older?.link.close('400027 ConnectionForcefullyClosedOnNewConnection')
    const identity = this.registry.get(link.identity.deviceId, link.identity.moduleId)
    if (identity && link.modelId !== undefined && identity.twin.modelId !== link.modelId)
      void this.registry.changeTwin(identity, { modelId: link.modelId })
    return older !== undefined
  }

  disconnected(link: DeviceLink): void {
    const name = nameOf(link.identity)
    if (this.#sessions.get(name)?.link === link) this.#sessions.delete(name)
  }

  isConnected(identity: Identity): boolean {
    return this.#sessions.has(nameOf(identity))
  }

  get connectedCount(): number {
    return this.#sessions.size
  }

  /** Ends the connection of an identity that was removed or disabled. */
  drop(identity: Named): void {
    this.#sessions.get(nameOf(identity))?.link.close('401003 IotHubUnauthorized')
  }

  telemetry({ link, bag, body }: IncomingTelemetry): Promise<void> {
    const { deviceId, moduleId } = link.identity
    const identity = this.registry.get(deviceId, moduleId)
    if (!identity) return Promise.reject(new Error(`'${deviceId}' was removed`))
    const { system, application } = bag
    const message = {
      deviceId,
      moduleId,
      authMethod: link.authMethod,
      generationId: identity.generationId,
      source: 'Telemetry',
      dataSchema: link.modelId ?? (identity.twin.modelId || undefined),
      subject: system.get('sub'),
      messageId: system.get('mid'),
      correlationId: system.get('cid'),
      userId: system.get('uid'),
      contentType: system.get('ct'),
      contentEncoding: system.get('ce'),
      properties: application,
      body,
    }
    return this.#options.log.append(partitionOf(deviceId, this.#options.log.partitionCount), (position) =>
      encodeDeviceMessage(message, position),
    )
  }

  async twinGet(link: DeviceLink): Promise<TwinResponse> {
    const twin = this.#requireIdentity(link.identity).twin
    return {
      status: 200,
      body: JSON.stringify({
        desired: { ...twin.desired, $version: twin.desiredVersion },
        reported: { ...twin.reported, $version: twin.reportedVersion },
      }),
    }
  }

  async twinReported(link: DeviceLink, body: Buffer): Promise<TwinResponse> {
    const patch = parsePatch(body.toString())
    if (!patch) return errorResponse(400, 400004, 'the patch is not a JSON object')
    const identity = this.#requireIdentity(link.identity)
    const reported = mergePatch(identity.twin.reported, patch)
    if (Buffer.byteLength(JSON.stringify(reported)) > twinBytesMax)
      return errorResponse(400, 413001, `reported properties are limited to ${twinBytesMax} bytes`)
    const version = identity.twin.reportedVersion + 1
    await this.registry.changeTwin(identity, { reported, reportedVersion: version })
    return { status: 204, body: '', version }
  }

  /** Changes desired properties and tells the device, if it listens. */
  async patchDesired(identity: StoredIdentity, patch: JsonObject, { replace = false } = {}): Promise<StoredIdentity> {
    const desired = replace ? mergePatch({}, patch) : mergePatch(identity.twin.desired, patch)
    const version = identity.twin.desiredVersion + 1
    const changed = await this.registry.changeTwin(identity, { desired, desiredVersion: version })
    const session = this.#sessions.get(nameOf(identity))
    if (session?.subscriptions.has('desired-properties')) {
      const announced = replace ? { ...desired, $version: version } : { ...patch, $version: version }
      session.link.send(topics.desired(version), Buffer.from(JSON.stringify(announced)))
    }
    return changed
  }

  methodResponse(): void {
    // No method is ever called yet; an answer to nothing is ignored, as the service does.
  }

  subscribed(link: DeviceLink, subscription: Subscription, isOn: boolean): void {
    const session = this.#sessions.get(nameOf(link.identity))
    if (isOn) session?.subscriptions.add(subscription)
    else session?.subscriptions.delete(subscription)
  }

  refused(reason: string, detail: string): void {
    this.refusals.set(reason, (this.refusals.get(reason) ?? 0) + 1)
    this.#options.logRefusal(reason, detail)
  }

  #requireIdentity({ deviceId, moduleId }: Identity): StoredIdentity {
    const identity = this.registry.get(deviceId, moduleId)
    if (!identity) throw new Error(`'${deviceId}' was removed`)
    return identity
  }
}

/** An identity, also as it is stored. */
type Named = { readonly deviceId: string; readonly moduleId?: string | undefined }

function nameOf({ deviceId, moduleId }: Named): string {
  return moduleId === undefined ? deviceId : `${deviceId}/${moduleId}`
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

/** All messages of one device go to one partition, so that their order is kept. */
export function partitionOf(key: string, partitions: number): number {
  // FNV-1a: spreads short similar names evenly.
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  return (hash >>> 0) % partitions
}
