/** `/devices` and `/devices/{id}/modules`: create, read, update, delete, in bulk too, with ETags. */
import { z } from 'zod'
import type { CloudToDevice } from '../cloud-to-device.ts'
import { HubError } from '../hub-errors.ts'
import type { IotHub } from '../iot-hub.ts'
import { identifierPattern, TooManyIdentitiesError } from '../registry.ts'
import type { StoredIdentity } from '../registry.ts'
import { IdentityBody, identityView, settingsOf } from './identity-view.ts'
import { headerOf, jsonBody, requireEtag } from './request.ts'
import type { RestRequest, RestResponse } from './request.ts'

export const bulkMax = 100
const BulkOperation = IdentityBody.extend({
  id: z.string().optional(),
  eTag: z.string().optional(),
  importMode: z.string().optional(),
  tags: z.record(z.string(), z.unknown()).nullish(),
  properties: z.looseObject({ desired: z.record(z.string(), z.unknown()).nullish() }).nullish(),
})
export type BulkOperation = z.infer<typeof BulkOperation>
export const BulkOperations = z.array(BulkOperation)

export type IdentitiesOptions = {
  readonly hub: IotHub
  readonly cloudToDevice: CloudToDevice
  /** Told of every identity made, changed or removed. */
  readonly onChanged: () => void
}

export class Identities {
  readonly #options: IdentitiesOptions

  constructor(options: IdentitiesOptions) {
    this.#options = options
  }

  view(identity: StoredIdentity) {
    const pending = identity.moduleId === undefined ? this.#options.cloudToDevice.pendingCount(identity.deviceId) : 0
    return identityView(identity, this.#options.hub, pending)
  }

  list(request: RestRequest): RestResponse {
    const top = Math.min(Number(request.url.searchParams.get('top') ?? 1000) || 1000, 1000)
    const devices: unknown[] = []
    for (const device of this.#options.hub.registry.devices()) {
      if (devices.length >= top) break
      devices.push(this.view(device))
    }
    return { status: 200, body: devices }
  }

  modules(deviceId: string): RestResponse {
    this.#require(deviceId)
    return { status: 200, body: [...this.#options.hub.registry.modules(deviceId)].map((module) => this.view(module)) }
  }

  async handle(request: RestRequest, deviceId: string, moduleId: string | undefined): Promise<RestResponse> {
    const existing = this.#options.hub.registry.get(deviceId, moduleId)
    switch (request.method) {
      case 'GET':
        return this.#answer(existing ?? this.#missing(deviceId, moduleId))
      case 'PUT':
        return this.#answer(await this.#put(request, deviceId, moduleId, existing))
      case 'DELETE':
        if (!existing) return this.#missing(deviceId, moduleId)
        requireEtag(request, existing.etag)
        await this.remove(existing)
        return { status: 204 }
      default:
        throw new HubError('MethodNotAllowed', request.method)
    }
  }

  #answer(identity: StoredIdentity): RestResponse {
    return { status: 200, body: this.view(identity), headers: { etag: `"${identity.etag}"` } }
  }

  async #put(request: RestRequest, deviceId: string, moduleId: string | undefined, existing: StoredIdentity | undefined) {
    const body = jsonBody(request, IdentityBody)
    checkIds(deviceId, moduleId)
    if ((body.deviceId ?? deviceId) !== deviceId || (body.moduleId ?? moduleId) !== moduleId)
      throw new HubError('ArgumentInvalid', 'the ids of the body are not those of the address')
    if (moduleId !== undefined) this.#require(deviceId)
    const ifMatch = headerOf(request, 'if-match')
    if (existing && ifMatch === undefined)
      throw moduleId === undefined
        ? new HubError('DeviceAlreadyExists', `'${deviceId}' is registered already`)
        : new HubError('ModuleAlreadyExistsOnDevice', `'${deviceId}/${moduleId}' is registered already`)
    if (!existing && ifMatch !== undefined) this.#missing(deviceId, moduleId)
    if (existing) requireEtag(request, existing.etag)
    return this.#store(deviceId, moduleId, body, existing)
  }

  async #store(
    deviceId: string,
    moduleId: string | undefined,
    body: IdentityBody,
    existing: StoredIdentity | undefined,
  ): Promise<StoredIdentity> {
    const { hub, onChanged } = this.#options
    let identity: StoredIdentity
    try {
      identity = await hub.registry.put(deviceId, moduleId, settingsOf(body))
    } catch (error) {
      if (error instanceof TooManyIdentitiesError) throw new HubError('TooManyModulesOnDevice', error.message)
      throw error
    }
    const isShutOut = identity.status === 'disabled' || JSON.stringify(existing?.authentication) !== JSON.stringify(identity.authentication)
    if (existing && isShutOut) hub.drop(identity)
    if (!existing) hub.announceLife(identity, moduleId === undefined ? 'createDeviceIdentity' : 'createModuleIdentity')
    onChanged()
    return identity
  }

  async remove(identity: StoredIdentity): Promise<void> {
    const { hub, cloudToDevice, onChanged } = this.#options
    const { deviceId, moduleId } = identity
    const modules = moduleId === undefined ? [...hub.registry.modules(deviceId)] : []
    await hub.registry.delete(deviceId, moduleId)
    for (const gone of [...modules, identity]) hub.removed(gone)
    if (moduleId === undefined) await cloudToDevice.purge(deviceId)
    hub.announceLife(identity, moduleId === undefined ? 'deleteDeviceIdentity' : 'deleteModuleIdentity')
    onChanged()
  }

  /** Bulk operations: what cannot be done is listed, the rest is done. */
  async bulk(request: RestRequest): Promise<RestResponse> {
    const operations = jsonBody(request, BulkOperations.max(bulkMax))
    const errors = (await Promise.all(operations.map((operation) => this.applyOperation(operation)))).filter((error) => error !== undefined)
    return { status: errors.length > 0 ? 400 : 200, body: { isSuccessful: errors.length === 0, errors, warnings: [] } }
  }

  /** One operation of a bulk request or an import. @returns why it failed */
  async applyOperation(
    operation: BulkOperation,
  ): Promise<{ deviceId: string; moduleId?: string; errorCode: string; errorStatus: string } | undefined> {
    const deviceId = operation.id ?? operation.deviceId ?? ''
    const { moduleId } = operation
    const { hub } = this.#options
    try {
      checkIds(deviceId, moduleId)
      if (moduleId !== undefined) this.#require(deviceId)
      const existing = hub.registry.get(deviceId, moduleId)
      // Modes are written `createOrUpdateIfMatchETag` or `CreateOrUpdate` by different clients.
      const mode = (operation.importMode ?? 'createOrUpdate').toLowerCase()
      if (mode === 'create' && existing) throw new HubError('DeviceAlreadyExists', 'registered already')
      if (/^(update|delete)/.test(mode) && !existing) throw new HubError('DeviceNotFound', 'not registered')
      const etag = mode.startsWith('updatetwin') ? existing?.twin.etag : existing?.etag
      if (mode.endsWith('ifmatchetag') && existing && operation.eTag?.replaceAll('"', '') !== etag)
        throw new HubError('PreconditionFailed', 'the ETag does not match')
      if (mode.startsWith('delete')) {
        await this.remove(existing!)
        return undefined
      }
      const identity = mode.startsWith('updatetwin') ? existing! : await this.#store(deviceId, moduleId, operation, existing)
      const desired = operation.properties?.desired ?? undefined
      if (operation.tags || desired) await hub.patchTwin(identity, { tags: operation.tags ?? undefined, desired })
      return undefined
    } catch (error) {
      const code = error instanceof HubError ? error.code : 'ArgumentInvalid'
      return { deviceId, ...(moduleId === undefined ? {} : { moduleId }), errorCode: code, errorStatus: (error as Error).message }
    }
  }

  #require(deviceId: string): StoredIdentity {
    return this.#options.hub.registry.get(deviceId) ?? this.#missing(deviceId, undefined)
  }

  #missing(deviceId: string, moduleId: string | undefined): never {
    if (moduleId === undefined || !this.#options.hub.registry.get(deviceId))
      throw new HubError('DeviceNotFound', `'${deviceId}' is not registered`)
    throw new HubError('ModuleNotFound', `'${deviceId}/${moduleId}' is not registered`)
  }
}

function checkIds(deviceId: string, moduleId: string | undefined): void {
  if (!identifierPattern.test(deviceId))
    throw new HubError(
      'ArgumentInvalid',
      `'${deviceId.slice(0, 140)}' is no device id: up to 128 of A-Z a-z 0-9 - : . + % _ # * ? ! ( ) , = @ $ '`,
    )
  if (moduleId !== undefined && !identifierPattern.test(moduleId))
    throw new HubError('ArgumentInvalid', `'${moduleId.slice(0, 140)}' is no module id`)
}
