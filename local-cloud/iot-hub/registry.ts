/** Identities of devices and modules, with their twins: what the hub must know to let somebody in. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import { nameOf } from '../device-backend.ts'
import { DocumentStore } from '../log/document-store.ts'
import { newKey } from '../security/shared-access.ts'
import { newTwin, Twin } from './twin.ts'

/** How an identity proves who it is. */
const Authentication = z.discriminatedUnion('type', [
  z.object({ type: z.literal('sas'), primaryKey: z.string(), secondaryKey: z.string() }),
  z.object({ type: z.literal('selfSigned'), primaryThumbprint: z.string(), secondaryThumbprint: z.string() }),
  z.object({ type: z.literal('certificateAuthority') }),
])
export type Authentication = z.infer<typeof Authentication>

const StoredIdentity = z.object({
  deviceId: z.string(),
  moduleId: z.string().optional(),
  managedBy: z.string().optional(),
  generationId: z.string(),
  etag: z.string(),
  status: z.enum(['enabled', 'disabled']),
  statusReason: z.string().optional(),
  statusUpdatedMs: z.number(),
  isEdge: z.boolean(),
  deviceScope: z.string().optional(),
  parentScopes: z.array(z.string()),
  authentication: Authentication,
  /** Configurations that apply to it, by id. */
  configurations: z.record(z.string(), z.object({ status: z.string() })),
  twin: Twin,
})
export type StoredIdentity = z.infer<typeof StoredIdentity>

export type IdentitySettings = {
  readonly managedBy?: string | undefined
  readonly status?: 'enabled' | 'disabled' | undefined
  readonly statusReason?: string | undefined
  readonly isEdge?: boolean | undefined
  readonly deviceScope?: string | undefined
  readonly parentScopes?: readonly string[] | undefined
  /** Keys left empty are generated, as the service does; absent keeps what was, or is `sas`. */
  readonly authentication?: Authentication | undefined
}

/** The hub has no room for it. */
export class TooManyIdentitiesError extends Error {
  override readonly name = 'TooManyIdentitiesError'
}

const modulesMax = 50

export class Registry {
  readonly #identities: DocumentStore<StoredIdentity>
  readonly #modulesOf = new Map<string, Set<string>>()
  readonly #nowMs: () => number

  private constructor(identities: DocumentStore<StoredIdentity>, nowMs: () => number) {
    this.#identities = identities
    this.#nowMs = nowMs
    for (const [, { deviceId, moduleId }] of identities.entries()) if (moduleId !== undefined) this.#noteModule(deviceId, moduleId)
  }

  static async open(directory: string, nowMs: () => number): Promise<Registry> {
    return new Registry(await DocumentStore.open(join(directory, 'identities.ndjson'), (value) => StoredIdentity.parse(value)), nowMs)
  }

  get(deviceId: string, moduleId?: string): StoredIdentity | undefined {
    return this.#identities.get(nameOf({ deviceId, moduleId }))
  }

  *devices(): Generator<StoredIdentity> {
    for (const [, identity] of this.#identities.entries()) if (identity.moduleId === undefined) yield identity
  }

  *allModules(): Generator<StoredIdentity> {
    for (const [, identity] of this.#identities.entries()) if (identity.moduleId !== undefined) yield identity
  }

  *modules(deviceId: string): Generator<StoredIdentity> {
    for (const moduleId of this.#modulesOf.get(deviceId) ?? []) {
      const module = this.get(deviceId, moduleId)
      if (module) yield module
    }
  }

  /** Creates or replaces an identity; a twin that exists is kept. Resolves when it is durable. @throws TooManyIdentitiesError */
  async put(deviceId: string, moduleId: string | undefined, settings: IdentitySettings): Promise<StoredIdentity> {
    const existing = this.get(deviceId, moduleId)
    if (!existing && moduleId !== undefined && (this.#modulesOf.get(deviceId)?.size ?? 0) >= modulesMax)
      throw new TooManyIdentitiesError(`device '${deviceId}' has ${modulesMax} modules, the most there may be`)
    const isEdge = settings.isEdge ?? existing?.isEdge ?? false
    const generationId = existing?.generationId ?? `${this.#nowMs()}${Math.floor(Math.random() * 1e5)}`
    const status = settings.status ?? existing?.status ?? 'enabled'
    const parentScope = settings.parentScopes?.[0] ?? (isEdge ? undefined : settings.deviceScope)
    const identity: StoredIdentity = {
      deviceId,
      moduleId,
      managedBy: settings.managedBy ?? existing?.managedBy,
      generationId,
      etag: newEtag(),
      status,
      statusReason: settings.statusReason ?? existing?.statusReason,
      statusUpdatedMs: existing?.status === status ? existing.statusUpdatedMs : this.#nowMs(),
      isEdge,
      deviceScope: isEdge ? `ms-azure-iot-edge://${deviceId}-${generationId}` : (parentScope ?? existing?.deviceScope),
      parentScopes: parentScope === undefined ? (existing?.parentScopes ?? []) : [parentScope],
      authentication: authenticationOf(settings.authentication, existing?.authentication),
      configurations: existing?.configurations ?? {},
      twin: existing?.twin ?? newTwin(newEtag()),
    }
    if (moduleId !== undefined) this.#noteModule(deviceId, moduleId)
    await this.#identities.set(nameOf({ deviceId, moduleId }), identity)
    if (isEdge && moduleId === undefined) {
      // The service gives every edge device these two.
      for (const system of ['$edgeAgent', '$edgeHub'])
        if (!this.get(deviceId, system)) await this.put(deviceId, system, { managedBy: 'IotEdge' })
    }
    return identity
  }

  async delete(deviceId: string, moduleId?: string): Promise<void> {
    if (moduleId === undefined) {
      for (const module of [...this.modules(deviceId)]) await this.#identities.delete(nameOf(module))
      this.#modulesOf.delete(deviceId)
    } else {
      this.#modulesOf.get(deviceId)?.delete(moduleId)
    }
    await this.#identities.delete(nameOf({ deviceId, moduleId }))
  }

  /** Changes a twin in place. Resolves when it is durable. */
  changeTwin(identity: StoredIdentity, change: Partial<Twin>): Promise<StoredIdentity> {
    const current = this.get(identity.deviceId, identity.moduleId) ?? identity
    return this.#replace({ ...current, twin: { ...current.twin, ...change, version: current.twin.version + 1, etag: newEtag() } })
  }

  setConfigurations(identity: StoredIdentity, configurations: StoredIdentity['configurations']): Promise<StoredIdentity> {
    const current = this.get(identity.deviceId, identity.moduleId) ?? identity
    return this.#replace({ ...current, configurations })
  }

  async #replace(identity: StoredIdentity): Promise<StoredIdentity> {
    await this.#identities.set(nameOf(identity), identity)
    return identity
  }

  #noteModule(deviceId: string, moduleId: string): void {
    const known = this.#modulesOf.get(deviceId)
    if (known) known.add(moduleId)
    else this.#modulesOf.set(deviceId, new Set([moduleId]))
  }

  close(): Promise<void> {
    return this.#identities.close()
  }
}

function authenticationOf(wanted: Authentication | undefined, existing: Authentication | undefined): Authentication {
  const chosen = wanted ?? existing ?? { type: 'sas', primaryKey: '', secondaryKey: '' }
  if (chosen.type !== 'sas') return chosen
  const kept = existing?.type === 'sas' ? existing : undefined
  return {
    type: 'sas',
    primaryKey: chosen.primaryKey || kept?.primaryKey || newKey(),
    secondaryKey: chosen.secondaryKey || kept?.secondaryKey || newKey(),
  }
}

/** An identity, also as it is stored. */
export type Named = { readonly deviceId: string; readonly moduleId?: string | undefined }

export function newEtag(): string {
  return Buffer.from(randomUUID().slice(0, 8)).toString('base64')
}

/** Device ids of IoT Hub: up to 128 of these characters. */
export const identifierPattern = /^[A-Za-z0-9\-:.+%_#*?!(),=@$']{1,128}$/
