/** Identities of devices and modules, with their twins: what the hub must know to let somebody in. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import { DocumentStore } from '../log/document-store.ts'
import { newKey } from '../security/shared-access.ts'

const Json = z.record(z.string(), z.unknown())

const StoredIdentity = z.object({
  deviceId: z.string(),
  moduleId: z.string().optional(),
  generationId: z.string(),
  etag: z.string(),
  status: z.enum(['enabled', 'disabled']),
  statusReason: z.string().optional(),
  isEdge: z.boolean(),
  deviceScope: z.string().optional(),
  primaryKey: z.string(),
  secondaryKey: z.string(),
  twin: z.object({
    version: z.number(),
    etag: z.string(),
    modelId: z.string(),
    tags: Json,
    desired: Json,
    desiredVersion: z.number(),
    reported: Json,
    reportedVersion: z.number(),
  }),
})
export type StoredIdentity = z.infer<typeof StoredIdentity>

export type IdentitySettings = {
  readonly status?: 'enabled' | 'disabled' | undefined
  readonly statusReason?: string | undefined
  readonly isEdge?: boolean | undefined
  readonly deviceScope?: string | undefined
  /** Empty or absent keys are generated, as the service does. */
  readonly primaryKey?: string | undefined
  readonly secondaryKey?: string | undefined
}

export class Registry {
  readonly #identities: DocumentStore<StoredIdentity>

  private constructor(identities: DocumentStore<StoredIdentity>) {
    this.#identities = identities
  }

  static async open(directory: string): Promise<Registry> {
    return new Registry(await DocumentStore.open(join(directory, 'identities.ndjson'), (value) => StoredIdentity.parse(value)))
  }

  get(deviceId: string, moduleId?: string): StoredIdentity | undefined {
    return this.#identities.get(key(deviceId, moduleId))
  }

  *devices(): Generator<StoredIdentity> {
    for (const [, identity] of this.#identities.entries()) if (identity.moduleId === undefined) yield identity
  }

  *modules(deviceId: string): Generator<StoredIdentity> {
    for (const [, identity] of this.#identities.entries())
      if (identity.deviceId === deviceId && identity.moduleId !== undefined) yield identity
  }

  /** Creates or replaces an identity; a twin that exists is kept. Resolves when it is durable. */
  async put(deviceId: string, moduleId: string | undefined, settings: IdentitySettings): Promise<StoredIdentity> {
    const existing = this.get(deviceId, moduleId)
    const isEdge = settings.isEdge ?? existing?.isEdge ?? false
    const generationId = existing?.generationId ?? Date.now().toString()
    const identity: StoredIdentity = {
      deviceId,
      moduleId,
      generationId,
      etag: newEtag(),
      status: settings.status ?? existing?.status ?? 'enabled',
      statusReason: settings.statusReason ?? existing?.statusReason,
      isEdge,
      deviceScope: isEdge ? `ms-azure-iot-edge://${deviceId}-${generationId}` : (settings.deviceScope ?? existing?.deviceScope),
      primaryKey: settings.primaryKey || existing?.primaryKey || newKey(),
      secondaryKey: settings.secondaryKey || existing?.secondaryKey || newKey(),
      twin: existing?.twin ?? newTwin(),
    }
    await this.#identities.set(key(deviceId, moduleId), identity)
    if (isEdge && moduleId === undefined && !existing) {
      // The service gives every edge device these two.
      for (const system of ['$edgeAgent', '$edgeHub']) await this.put(deviceId, system, {})
    }
    return identity
  }

  async delete(deviceId: string, moduleId?: string): Promise<void> {
    if (moduleId === undefined)
      for (const module of [...this.modules(deviceId)]) await this.#identities.delete(key(deviceId, module.moduleId))
    await this.#identities.delete(key(deviceId, moduleId))
  }

  /** Changes a twin in place. Resolves when it is durable. */
  async changeTwin(identity: StoredIdentity, change: Partial<StoredIdentity['twin']>): Promise<StoredIdentity> {
    const current = this.get(identity.deviceId, identity.moduleId) ?? identity
    const changed = { ...current, twin: { ...current.twin, ...change, version: current.twin.version + 1, etag: newEtag() } }
    await this.#identities.set(key(identity.deviceId, identity.moduleId), changed)
    return changed
  }

  close(): Promise<void> {
    return this.#identities.close()
  }
}

function key(deviceId: string, moduleId: string | undefined): string {
  // A slash cannot stand in either id.
  return moduleId === undefined ? deviceId : `${deviceId}/${moduleId}`
}

function newTwin(): StoredIdentity['twin'] {
  return { version: 1, etag: newEtag(), modelId: '', tags: {}, desired: {}, desiredVersion: 1, reported: {}, reportedVersion: 1 }
}

function newEtag(): string {
  return Buffer.from(randomUUID().slice(0, 8)).toString('base64')
}

/** Device ids of IoT Hub: up to 128 of these characters. */
export const identifierPattern = /^[A-Za-z0-9\-:.+%_#*?!(),=@$']{1,128}$/
