/** `/twins/…`: reading and changing twins, calling methods; `/digitaltwins/…` as the same thing under another name. */
import { z } from 'zod'
import type { CloudToDevice } from '../cloud-to-device.ts'
import { MethodFailedError } from '../direct-methods.ts'
import { HubError } from '../hub-errors.ts'
import type { IotHub } from '../iot-hub.ts'
import type { StoredIdentity } from '../registry.ts'
import { TwinLimitError } from '../twin.ts'
import { twinView } from './identity-view.ts'
import { jsonBody, requireEtag } from './request.ts'
import type { RestRequest, RestResponse } from './request.ts'

const Json = z.record(z.string(), z.unknown())
export const TwinBody = z.looseObject({
  tags: Json.nullish(),
  properties: z.looseObject({ desired: Json.nullish() }).nullish(),
})

export const MethodBody = z.looseObject({
  methodName: z.string().min(1).max(100),
  payload: z.unknown().optional(),
  responseTimeoutInSeconds: z.number().int().min(5).max(300).default(30),
  connectTimeoutInSeconds: z.number().int().min(0).max(300).default(0),
})
export type MethodBody = z.infer<typeof MethodBody>

const payloadBytesMax = 128 * 1024

export class Twins {
  readonly #hub: IotHub
  readonly #cloudToDevice: CloudToDevice
  readonly #onChanged: () => void

  constructor(hub: IotHub, cloudToDevice: CloudToDevice, onChanged: () => void) {
    this.#hub = hub
    this.#cloudToDevice = cloudToDevice
    this.#onChanged = onChanged
  }

  view(identity: StoredIdentity) {
    return twinView(identity, this.#hub, identity.moduleId === undefined ? this.#cloudToDevice.pendingCount(identity.deviceId) : 0)
  }

  /** All devices, or all modules, for queries. */
  *documents(kind: 'devices' | 'modules'): Generator<ReturnType<typeof twinView>> {
    for (const identity of kind === 'devices' ? this.#hub.registry.devices() : this.#hub.registry.allModules()) yield this.view(identity)
  }

  async handle(request: RestRequest, deviceId: string, moduleId: string | undefined): Promise<RestResponse> {
    let identity = this.#require(deviceId, moduleId)
    if (request.method === 'PATCH' || request.method === 'PUT') {
      const body = jsonBody(request, TwinBody)
      requireEtag(request, identity.twin.etag)
      identity = await this.patch(identity, body, { replace: request.method === 'PUT' })
    } else if (request.method !== 'GET') {
      throw new HubError('MethodNotAllowed', request.method)
    }
    return { status: 200, body: this.view(identity), headers: { etag: `"${identity.twin.etag}"` } }
  }

  /** @throws HubError when a limit would be broken */
  async patch(identity: StoredIdentity, body: z.infer<typeof TwinBody>, options: { replace: boolean }): Promise<StoredIdentity> {
    try {
      const change = { tags: body.tags ?? undefined, desired: body.properties?.desired ?? undefined }
      const changed = await this.#hub.patchTwin(identity, change, options)
      this.#onChanged()
      return changed
    } catch (error) {
      if (error instanceof TwinLimitError) throw new HubError('ArgumentInvalid', error.message)
      throw error
    }
  }

  async method(request: RestRequest, deviceId: string, moduleId: string | undefined): Promise<RestResponse> {
    if (request.method !== 'POST') throw new HubError('MethodNotAllowed', request.method)
    const identity = this.#require(deviceId, moduleId)
    return { status: 200, body: await this.call(identity, jsonBody(request, MethodBody)) }
  }

  /** @throws HubError when the device is not there or does not answer */
  async call(identity: StoredIdentity, body: MethodBody): Promise<{ status: number; payload: unknown }> {
    const payload = body.payload === undefined ? '' : JSON.stringify(body.payload)
    if (Buffer.byteLength(payload) > payloadBytesMax)
      throw new HubError('MessageTooLarge', `a method's payload is limited to ${payloadBytesMax} bytes`)
    try {
      return await this.#hub.invokeMethod(identity, {
        methodName: body.methodName,
        payload,
        responseTimeoutMs: body.responseTimeoutInSeconds * 1000,
        connectTimeoutMs: body.connectTimeoutInSeconds * 1000,
      })
    } catch (error) {
      if (!(error instanceof MethodFailedError)) throw error
      if (error.kind === 'timeout') throw new HubError('GatewayTimeout', error.message)
      throw new HubError(error.kind === 'disconnected' ? 'DeviceConnectionClosedRemotely' : 'GenericBadRequest', error.message)
    }
  }

  /** Digital twins: properties as they are reported, components' commands as methods `component*command`. */
  async digitalTwin(request: RestRequest, deviceId: string, rest: readonly string[]): Promise<RestResponse> {
    const identity = this.#require(deviceId, undefined)
    if (rest.length === 0 && request.method === 'GET') {
      const { modelId, reported, desired } = identity.twin
      return {
        status: 200,
        body: { $dtId: deviceId, ...reported.values, $metadata: { $model: modelId, ...desired.metadata } },
        headers: { etag: `"${identity.twin.etag}"` },
      }
    }
    const command =
      rest[0] === 'commands' ? rest[1] : rest[0] === 'components' && rest[2] === 'commands' ? `${rest[1]}*${rest[3]}` : undefined
    if (command === undefined || request.method !== 'POST') throw new HubError('ResourceNotFound', request.url.pathname)
    const seconds = (name: string, least: number, other: number) =>
      Math.min(Math.max(Number(request.url.searchParams.get(name) ?? other) || other, least), 300)
    const payload = request.body.length === 0 ? undefined : jsonBody(request, z.unknown())
    const answer = await this.call(identity, {
      methodName: command,
      payload,
      responseTimeoutInSeconds: seconds('responseTimeoutInSeconds', 5, 30),
      connectTimeoutInSeconds: seconds('connectTimeoutInSeconds', 0, 0),
    })
    return { status: 200, body: answer.payload, headers: { 'x-ms-command-statuscode': String(answer.status) } }
  }

  #require(deviceId: string, moduleId: string | undefined): StoredIdentity {
    const identity = this.#hub.registry.get(deviceId, moduleId)
    if (identity) return identity
    if (moduleId === undefined || !this.#hub.registry.get(deviceId)) throw new HubError('DeviceNotFound', `'${deviceId}' is not registered`)
    throw new HubError('ModuleNotFound', `'${deviceId}/${moduleId}' is not registered`)
  }
}
