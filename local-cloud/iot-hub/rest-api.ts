/** The part of IoT Hub's REST API that manages identities and twins, with the error bodies the service SDK parses. */
import { z } from 'zod'
import { covers, isSignedBy, parseAccessToken } from '../security/shared-access.ts'
import type { IotHub } from './iot-hub.ts'
import { isJsonObject, mergePatch } from './json-merge-patch.ts'
import type { StoredIdentity } from './registry.ts'
import { identifierPattern } from './registry.ts'

export type RestRequest = {
  readonly method: string
  readonly url: URL
  readonly headers: Record<string, string | string[] | undefined>
  readonly body: string
}
export type RestResponse = { readonly status: number; readonly body?: unknown; readonly headers?: Record<string, string> }

export type SharedAccessPolicy = { readonly name: string; readonly key: string; readonly rights: readonly Right[] }
export type Right = 'registryRead' | 'registryWrite' | 'service' | 'device'

class RestError extends Error {
  readonly status: number
  readonly code: string
  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

const notFound = (deviceId: string) => new RestError(404, 'DeviceNotFound', `'${deviceId}' is not registered`)

const IdentityBody = z.looseObject({
  deviceId: z.string().optional(),
  moduleId: z.string().optional(),
  status: z.enum(['enabled', 'disabled']).optional(),
  statusReason: z.string().nullish(),
  deviceScope: z.string().nullish(),
  parentScopes: z.array(z.string()).nullish(),
  capabilities: z.looseObject({ iotEdge: z.boolean().optional() }).nullish(),
  authentication: z
    .looseObject({ symmetricKey: z.looseObject({ primaryKey: z.string().nullish(), secondaryKey: z.string().nullish() }).nullish() })
    .nullish(),
})

const EdgeContent = z.object({ modulesContent: z.record(z.string(), z.record(z.string(), z.unknown())) })

export class HubRestApi {
  readonly #hub: IotHub
  readonly #policies: readonly SharedAccessPolicy[]
  readonly #nowMs: () => number

  constructor(hub: IotHub, policies: readonly SharedAccessPolicy[], nowMs: () => number) {
    this.#hub = hub
    this.#policies = policies
    this.#nowMs = nowMs
  }

  async handle(request: RestRequest): Promise<RestResponse> {
    try {
      return await this.#route(request)
    } catch (error) {
      if (error instanceof RestError) return errorBody(error.status, error.code, error.message)
      if (error instanceof z.ZodError) return errorBody(400, 'ArgumentInvalid', z.prettifyError(error))
      if (error instanceof SyntaxError) return errorBody(400, 'ArgumentInvalid', 'the body is not JSON')
      throw error
    }
  }

  async #route(request: RestRequest): Promise<RestResponse> {
    const [collection = '', ...rest] = request.url.pathname
      .split('/')
      .filter((part) => part !== '')
      .map(decodeURIComponent)
    const [deviceId, modules, moduleId, action] = rest
    const isWrite = request.method !== 'GET' && request.method !== 'HEAD'
    switch (collection) {
      case 'devices':
        if (action === 'devicesAndModulesInTargetDeviceScope' || action === 'devicesAndModulesInDeviceScope')
          return this.#scopeOf(request, deviceId!, moduleId!)
        if (modules !== 'modules' || !this.#isDeviceItself(request, deviceId!))
          this.#authorise(request, isWrite ? 'registryWrite' : 'registryRead')
        if (deviceId === undefined) return this.#devices(request)
        if (modules === 'applyConfigurationContent' && request.method === 'POST') return this.#deploy(request, deviceId)
        if (modules === 'modules') return moduleId === undefined ? this.#listModules(deviceId) : this.#identity(request, deviceId, moduleId)
        if (modules === undefined) return this.#identity(request, deviceId, undefined)
        break
      case 'twins':
        if (deviceId === undefined || action !== undefined) break
        this.#authorise(request, isWrite ? 'registryWrite' : 'registryRead')
        return this.#twin(request, deviceId, moduleId)
      case 'statistics':
        this.#authorise(request, 'registryRead')
        return this.#statistics(deviceId ?? '')
    }
    throw new RestError(404, 'ResourceNotFound', `${request.method} ${request.url.pathname}`)
  }

  #authorise(request: RestRequest, right: Right): void {
    const token = parseAccessToken(String(request.headers.authorization ?? ''))
    const policy = token && this.#policies.find(({ name }) => name === token.keyName)
    if (!token || !policy || !isSignedBy(token, Buffer.from(policy.key, 'base64')))
      throw new RestError(401, 'IotHubUnauthorized', 'the token is missing, or its signature does not match')
    if (token.expiresMs <= this.#nowMs()) throw new RestError(401, 'IotHubUnauthorized', 'the token has expired')
    const host = String(request.headers.host ?? '')
    if (!covers(token, host) && !covers(token, host.replace(/:\d+$/, '')))
      throw new RestError(401, 'IotHubUnauthorized', `the token is for '${token.resource}', not for '${host}'`)
    if (!policy.rights.includes(right))
      throw new RestError(401, 'IotHubUnauthorizedAccess', `policy '${policy.name}' has no right '${right}'`)
  }

  /** A device may manage its own modules: how the identity service of an edge device gets them. */
  #isDeviceItself(request: RestRequest, deviceId: string): boolean {
    const token = parseAccessToken(String(request.headers.authorization ?? ''))
    const device = this.#hub.registry.get(deviceId)
    if (!token || token.keyName !== undefined || !device || device.status === 'disabled' || token.expiresMs <= this.#nowMs()) return false
    return (
      token.resource.endsWith(`/devices/${deviceId}`) &&
      [device.primaryKey, device.secondaryKey].some((key) => isSignedBy(token, Buffer.from(key, 'base64')))
    )
  }

  async #devices(request: RestRequest): Promise<RestResponse> {
    if (request.method === 'GET') {
      const top = Math.min(Number(request.url.searchParams.get('top') ?? 1000) || 1000, 1000)
      return { status: 200, body: [...this.#hub.registry.devices()].slice(0, top).map((identity) => this.#identityBody(identity)) }
    }
    if (request.method === 'POST') return this.#bulk(request)
    throw new RestError(405, 'MethodNotAllowed', request.method)
  }

  /** Bulk creation: what cannot be done is listed, the rest is done. */
  async #bulk(request: RestRequest): Promise<RestResponse> {
    const operations = z
      .array(IdentityBody.extend({ id: z.string().optional(), importMode: z.string().optional() }))
      .max(100)
      .parse(JSON.parse(request.body))
    const errors: unknown[] = []
    await Promise.all(
      operations.map(async (operation) => {
        const deviceId = operation.id ?? operation.deviceId ?? ''
        const fail = (errorCode: string, errorStatus: string) => errors.push({ deviceId, errorCode, errorStatus })
        if (!identifierPattern.test(deviceId)) return fail('ArgumentInvalid', 'the device id is not valid')
        const exists = this.#hub.registry.get(deviceId) !== undefined
        const mode = operation.importMode ?? 'create'
        if (mode.startsWith('delete')) return exists ? this.#hub.registry.delete(deviceId) : fail('DeviceNotFound', 'not registered')
        if (mode === 'create' && exists) return fail('DeviceAlreadyExists', 'registered already')
        if (mode.startsWith('update') && !exists) return fail('DeviceNotFound', 'not registered')
        await this.#hub.registry.put(deviceId, undefined, settingsOf(operation))
      }),
    )
    return { status: errors.length > 0 ? 400 : 200, body: { isSuccessful: errors.length === 0, errors, warnings: [] } }
  }

  async #identity(request: RestRequest, deviceId: string, moduleId: string | undefined): Promise<RestResponse> {
    const { registry } = this.#hub
    const existing = registry.get(deviceId, moduleId)
    switch (request.method) {
      case 'GET':
        if (!existing) throw notFound(deviceId)
        return { status: 200, body: this.#identityBody(existing) }
      case 'PUT': {
        if (!identifierPattern.test(deviceId) || (moduleId !== undefined && !identifierPattern.test(moduleId)))
          throw new RestError(400, 'ArgumentInvalid', 'the id is not valid')
        if (moduleId !== undefined && !registry.get(deviceId)) throw notFound(deviceId)
        const ifMatch = headerOf(request, 'if-match')
        if (existing && ifMatch === undefined) throw new RestError(409, 'DeviceAlreadyExists', `'${deviceId}' is registered already`)
        if (!existing && ifMatch !== undefined) throw notFound(deviceId)
        if (existing) requireEtag(ifMatch, existing.etag)
        const body = IdentityBody.parse(JSON.parse(request.body))
        const identity = await registry.put(deviceId, moduleId, settingsOf(body))
        if (identity.status === 'disabled') this.#hub.drop(identity)
        return { status: 200, body: this.#identityBody(identity) }
      }
      case 'DELETE':
        if (!existing) throw notFound(deviceId)
        requireEtag(headerOf(request, 'if-match'), existing.etag)
        await registry.delete(deviceId, moduleId)
        this.#hub.drop(existing)
        return { status: 204 }
      default:
        throw new RestError(405, 'MethodNotAllowed', request.method)
    }
  }

  #listModules(deviceId: string): RestResponse {
    if (!this.#hub.registry.get(deviceId)) throw notFound(deviceId)
    return { status: 200, body: [...this.#hub.registry.modules(deviceId)].map((identity) => this.#identityBody(identity)) }
  }

  async #twin(request: RestRequest, deviceId: string, moduleId: string | undefined): Promise<RestResponse> {
    let identity = this.#hub.registry.get(deviceId, moduleId)
    if (!identity) throw notFound(deviceId)
    if (request.method === 'PATCH' || request.method === 'PUT') {
      requireEtag(headerOf(request, 'if-match'), identity.twin.etag)
      const replace = request.method === 'PUT'
      const patch = z
        .looseObject({
          tags: z.record(z.string(), z.unknown()).optional(),
          properties: z.looseObject({ desired: z.record(z.string(), z.unknown()).optional() }).optional(),
        })
        .parse(JSON.parse(request.body))
      if (patch.tags)
        identity = await this.#hub.registry.changeTwin(identity, {
          tags: replace ? patch.tags : mergePatch(identity.twin.tags, patch.tags),
        })
      if (patch.properties?.desired)
        identity = await this.#hub.patchDesired(identity, withoutMetadata(patch.properties.desired), { replace })
    } else if (request.method !== 'GET') {
      throw new RestError(405, 'MethodNotAllowed', request.method)
    }
    return { status: 200, body: this.#twinBody(identity) }
  }

  /** An edge deployment to one device: modules are created, their desired properties set. */
  async #deploy(request: RestRequest, deviceId: string): Promise<RestResponse> {
    const { registry } = this.#hub
    if (!registry.get(deviceId)?.isEdge) throw notFound(deviceId)
    const { modulesContent } = EdgeContent.parse(JSON.parse(request.body))
    const agent = modulesContent.$edgeAgent?.['properties.desired']
    const modules = isJsonObject(agent) && isJsonObject(agent.modules) ? Object.keys(agent.modules) : []
    for (const moduleId of modules) if (!registry.get(deviceId, moduleId)) await registry.put(deviceId, moduleId, {})
    for (const [moduleId, content] of Object.entries(modulesContent)) {
      const identity = registry.get(deviceId, moduleId) ?? (await registry.put(deviceId, moduleId, {}))
      const desired = content['properties.desired']
      if (isJsonObject(desired)) await this.#hub.patchDesired(identity, desired, { replace: true })
    }
    return { status: 204 }
  }

  /** What an edge hub asks for to authenticate the devices behind it: the identities of its scope, with keys. */
  #scopeOf(request: RestRequest, deviceId: string, moduleId: string): RestResponse {
    const asking = this.#hub.registry.get(deviceId, moduleId)
    const token = parseAccessToken(String(request.headers.authorization ?? ''))
    const isSigned =
      asking && token && [asking.primaryKey, asking.secondaryKey].some((key) => isSignedBy(token, Buffer.from(key, 'base64')))
    if (!isSigned || token.expiresMs <= this.#nowMs() || moduleId !== '$edgeHub')
      throw new RestError(401, 'IotHubUnauthorized', 'only an edge hub may ask for its scope')
    const scope = this.#hub.registry.get(deviceId)?.deviceScope
    const devices = [...this.#hub.registry.devices()].filter(
      (device) => device.deviceId === deviceId || (scope !== undefined && device.deviceScope === scope),
    )
    return {
      status: 200,
      body: {
        devices: devices.map((device) => this.#identityBody(device)),
        modules: [...this.#hub.registry.modules(deviceId)].map((module) => this.#identityBody(module)),
        continuationLink: '',
      },
    }
  }

  #statistics(kind: string): RestResponse {
    const devices = [...this.#hub.registry.devices()]
    if (kind === 'service') return { status: 200, body: { connectedDeviceCount: this.#hub.connectedCount } }
    const enabled = devices.filter(({ status }) => status === 'enabled').length
    return {
      status: 200,
      body: { totalDeviceCount: devices.length, enabledDeviceCount: enabled, disabledDeviceCount: devices.length - enabled },
    }
  }

  #identityBody(identity: StoredIdentity) {
    const { deviceId, moduleId, generationId, etag, status, statusReason, isEdge, deviceScope, primaryKey, secondaryKey } = identity
    return {
      deviceId,
      ...(moduleId === undefined ? {} : { moduleId, managedBy: moduleId.startsWith('$') ? 'IotEdge' : '' }),
      generationId,
      etag,
      connectionState: this.#hub.isConnected({ deviceId, moduleId }) ? 'Connected' : 'Disconnected',
      status,
      statusReason: statusReason ?? null,
      connectionStateUpdatedTime: '0001-01-01T00:00:00',
      statusUpdatedTime: '0001-01-01T00:00:00',
      lastActivityTime: '0001-01-01T00:00:00',
      cloudToDeviceMessageCount: 0,
      authentication: {
        symmetricKey: { primaryKey, secondaryKey },
        x509Thumbprint: { primaryThumbprint: null, secondaryThumbprint: null },
        type: 'sas',
      },
      capabilities: { iotEdge: isEdge },
      ...(deviceScope === undefined ? {} : { deviceScope, parentScopes: isEdge ? [] : [deviceScope] }),
    }
  }

  #twinBody({ deviceId, moduleId, status, isEdge, twin }: StoredIdentity) {
    return {
      deviceId,
      ...(moduleId === undefined ? {} : { moduleId }),
      etag: twin.etag,
      version: twin.version,
      modelId: twin.modelId,
      status,
      connectionState: this.#hub.isConnected({ deviceId, moduleId }) ? 'Connected' : 'Disconnected',
      authenticationType: 'sas',
      tags: twin.tags,
      properties: {
        desired: { ...twin.desired, $version: twin.desiredVersion },
        reported: { ...twin.reported, $version: twin.reportedVersion },
      },
      capabilities: { iotEdge: isEdge },
    }
  }
}

function settingsOf(body: z.infer<typeof IdentityBody>) {
  return {
    status: body.status,
    statusReason: body.statusReason ?? undefined,
    isEdge: body.capabilities?.iotEdge,
    deviceScope: body.deviceScope ?? body.parentScopes?.[0],
    primaryKey: body.authentication?.symmetricKey?.primaryKey ?? undefined,
    secondaryKey: body.authentication?.symmetricKey?.secondaryKey ?? undefined,
  }
}

function withoutMetadata(properties: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(properties).filter(([name]) => !name.startsWith('$')))
}

function headerOf(request: RestRequest, name: string): string | undefined {
  const value = request.headers[name]
  return Array.isArray(value) ? value[0] : value
}

function requireEtag(ifMatch: string | undefined, etag: string): void {
  if (ifMatch === undefined || ifMatch.replaceAll('"', '') === '*' || ifMatch.replaceAll('"', '') === etag) return
  throw new RestError(412, 'PreconditionFailed', 'the ETag does not match')
}

function errorBody(status: number, code: string, message: string): RestResponse {
  return { status, body: { Message: `ErrorCode:${code};${message}`, ExceptionMessage: `Tracking ID:;${new Date().toISOString()}` } }
}
