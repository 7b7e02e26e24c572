/** The identities behind a gateway, as the hub lists them for its edge hub; kept on disk for a start without the hub. */
import { join } from 'node:path'
import { z } from 'zod'
import type { KnownIdentity } from '../iot-hub/device-credentials.ts'
import { nameOf } from '../device-backend.ts'
import type { Identity } from '../device-backend.ts'
import { DocumentStore } from '../log/document-store.ts'
import { createAccessToken } from '../security/shared-access.ts'

const ScopeIdentity = z.object({
  deviceId: z.string(),
  moduleId: z.string().optional(),
  generationId: z.string(),
  status: z.enum(['enabled', 'disabled']),
  authentication: z.object({
    type: z.enum(['sas', 'selfSigned', 'certificateAuthority']),
    symmetricKey: z.object({ primaryKey: z.string().nullable(), secondaryKey: z.string().nullable() }),
    x509Thumbprint: z.object({ primaryThumbprint: z.string().nullable(), secondaryThumbprint: z.string().nullable() }),
  }),
})
export type ScopeIdentity = z.infer<typeof ScopeIdentity>

const ScopeResult = z.object({ devices: z.array(ScopeIdentity), modules: z.array(ScopeIdentity) })

export type EdgeDevice = { readonly hubHost: string; readonly deviceId: string; readonly key: string }

const apiVersion = '2021-04-12'
const tokenMs = 300_000
/** An unknown device may make the gateway ask this often. */
const refreshEveryMs = 1_000

export class EdgeScope {
  readonly #edge: EdgeDevice
  readonly #known: DocumentStore<ScopeIdentity>
  #refreshing: Promise<void> | undefined
  #waiting: Promise<void> | undefined
  #refreshedMs = 0

  private constructor(edge: EdgeDevice, known: DocumentStore<ScopeIdentity>) {
    this.#edge = edge
    this.#known = known
  }

  static async open(edge: EdgeDevice, directory: string): Promise<EdgeScope> {
    return new EdgeScope(edge, await DocumentStore.open(join(directory, 'scope.ndjson'), (value) => ScopeIdentity.parse(value)))
  }

  get(identity: Identity): ScopeIdentity | undefined {
    return this.#known.get(nameOf(identity))
  }

  module(moduleId: string): ScopeIdentity | undefined {
    return this.#known.get(nameOf({ deviceId: this.#edge.deviceId, moduleId }))
  }

  /**
   * Asks the hub again; a moment after it was asked, that moment is waited for first, by all who ask together. What is
   * known stays known when the hub is away.
   */
  refresh({ atOnce = false } = {}): Promise<void> {
    if (atOnce) return this.#ask()
    const waitMs = this.#refreshedMs + refreshEveryMs - Date.now()
    if (waitMs <= 0) return this.#ask()
    this.#waiting ??= new Promise<void>((resolve) => setTimeout(resolve, waitMs)).then(() => {
      this.#waiting = undefined
      return this.#ask()
    })
    return this.#waiting
  }

  #ask(): Promise<void> {
    this.#refreshing ??= this.#fetch().finally(() => {
      this.#refreshing = undefined
      this.#refreshedMs = Date.now()
    })
    return this.#refreshing
  }

  async #fetch(): Promise<void> {
    const { deviceId } = this.#edge
    // The identity service on an edge device lists its modules, and their keys, as the device itself.
    const modules = z
      .array(ScopeIdentity)
      .parse(await this.#call('GET', `/devices/${encodeURIComponent(deviceId)}/modules`, `devices/${deviceId}`, this.#edge.key))
    const hub = modules.find(({ moduleId }) => moduleId === '$edgeHub')
    if (!hub) throw new Error(`'${deviceId}' has no module $edgeHub: it is not registered as an edge device`)
    const path = `/devices/${encodeURIComponent(deviceId)}/modules/$edgeHub/devicesAndModulesInTargetDeviceScope`
    const scope = ScopeResult.parse(await this.#call('POST', path, `devices/${deviceId}/modules/$edgeHub`, keyOfIdentity(hub)))
    const identities = new Map([...scope.devices, ...scope.modules].map((identity) => [nameOf(identity), identity]))
    const gone = [...this.#known.entries()].map(([key]) => key).filter((key) => !identities.has(key))
    await Promise.all([
      ...gone.map((key) => this.#known.delete(key)),
      ...[...identities].map(([key, identity]) => this.#known.set(key, identity)),
    ])
  }

  async #call(method: string, path: string, resource: string, key: string): Promise<unknown> {
    const { hubHost } = this.#edge
    const authorization = createAccessToken(`${hubHost}/${resource}`, Buffer.from(key, 'base64'), Date.now() + tokenMs)
    const body = method === 'POST' ? JSON.stringify({ pageSize: 1000, continuationLink: '', targetDeviceId: this.#edge.deviceId }) : null
    const response = await fetch(`https://${hubHost}${path}?api-version=${apiVersion}`, {
      method,
      body,
      headers: { authorization, 'content-type': 'application/json' },
      signal: AbortSignal.timeout(10_000),
    })
    if (!response.ok) throw new Error(`the hub answered ${response.status} to ${method} ${path}: ${await response.text()}`)
    return response.json()
  }

  close(): Promise<void> {
    return this.#known.close()
  }
}

/** Key of an identity that signs in by tokens. @throws when it does not */
export function keyOfIdentity({ deviceId, moduleId, authentication }: ScopeIdentity): string {
  const key = authentication.symmetricKey.primaryKey
  if (!key)
    throw new Error(`'${nameOf({ deviceId, moduleId })}' has no key: a gateway can speak only for identities that sign in by tokens`)
  return key
}

/** What the hub's own rules need to know of it. */
export function credentialsOf({ status, authentication: { type, symmetricKey, x509Thumbprint } }: ScopeIdentity): KnownIdentity {
  const text = (value: string | null) => value ?? ''
  if (type === 'selfSigned')
    return {
      status,
      authentication: {
        type,
        primaryThumbprint: text(x509Thumbprint.primaryThumbprint),
        secondaryThumbprint: text(x509Thumbprint.secondaryThumbprint),
      },
    }
  if (type === 'certificateAuthority') return { status, authentication: { type } }
  return { status, authentication: { type, primaryKey: text(symmetricKey.primaryKey), secondaryKey: text(symmetricKey.secondaryKey) } }
}
