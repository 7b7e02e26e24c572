/** Registers devices with a hub over its documented REST API, so that a simulator can start against an empty one. */
import https from 'node:https'
import { z } from 'zod'
import { parseConnectionString } from '../contract/connection.ts'
import { errorText } from '../contract/error-text.ts'
import { sharedAccessSignature } from './device-credentials.ts'
import { httpsRequest } from './https-request.ts'

const apiVersion = '2021-04-12'
const tokenMs = 600_000
/** Requests under way at once; a fleet of thousands asks for each of its devices. */
const socketsMax = 16
/** The service takes a hundred a request. */
const bulkMax = 100

const Identity = z.looseObject({
  deviceId: z.string(),
  deviceScope: z.string().optional(),
  authentication: z.looseObject({ symmetricKey: z.looseObject({ primaryKey: z.string() }) }),
})
export type RegisteredDevice = { readonly deviceId: string; readonly key: string; readonly deviceScope: string | undefined }

/** The hub refused or could not be reached. `retryable` says whether trying again can help. */
export class HubRegistryError extends Error {
  override readonly name = 'HubRegistryError'
  readonly retryable: boolean
  readonly status: number
  constructor(message: string, status: number, options?: ErrorOptions) {
    super(message, options)
    this.status = status
    this.retryable = status === 429 || status >= 500
  }
}

export class HubRegistry {
  readonly hubHost: string
  readonly #keyName: string
  readonly #key: string
  readonly #agent: https.Agent

  /** @param connectionString of a policy with registry rights @param ca PEM, for a hub whose authority the system does not know */
  constructor(connectionString: string, ca?: string) {
    this.#agent = new https.Agent({ keepAlive: true, maxSockets: socketsMax, ...(ca === undefined ? {} : { ca }) })
    const fields = parseConnectionString(connectionString, ['HostName', 'SharedAccessKeyName', 'SharedAccessKey'])
    this.hubHost = fields.get('hostname')!
    this.#keyName = fields.get('sharedaccesskeyname')!
    this.#key = fields.get('sharedaccesskey')!
  }

  /** Devices with their keys; those not registered yet are, as children of `deviceScope` if one is given. */
  async ensureDevices(deviceIds: readonly string[], deviceScope?: string): Promise<RegisteredDevice[]> {
    const found = await Promise.all(deviceIds.map((deviceId) => this.get(deviceId)))
    const missing = deviceIds.filter((_, index) => found[index] === undefined)
    let refusal: HubRegistryError | undefined
    for (let start = 0; start < missing.length; start += bulkMax) {
      const devices = missing
        .slice(start, start + bulkMax)
        .map((id) => ({ id, importMode: 'create', status: 'enabled', ...(deviceScope === undefined ? {} : { deviceScope }) }))
      try {
        await this.#call('POST', '/devices', devices)
      } catch (error) {
        // Somebody else may have registered some of them a moment ago; whether any is missing shows below.
        if (!(error instanceof HubRegistryError) || error.status !== 400) throw error
        refusal ??= error
      }
    }
    const created = await Promise.all(missing.map((deviceId) => this.get(deviceId)))
    const byId = new Map([...found, ...created].flatMap((device) => (device ? [[device.deviceId, device]] : [])))
    return deviceIds.map((deviceId) => {
      const device = byId.get(deviceId)
      if (!device) throw refusal ?? new HubRegistryError(`the hub did not register '${deviceId}'`, 0)
      return device
    })
  }

  async get(deviceId: string): Promise<RegisteredDevice | undefined> {
    const body = await this.#call('GET', `/devices/${encodeURIComponent(deviceId)}`, undefined, 404)
    return body === undefined ? undefined : toDevice(body)
  }

  /** Registers an edge device unless it is there. */
  async ensureEdgeDevice(deviceId: string): Promise<RegisteredDevice> {
    const found = await this.get(deviceId)
    return (
      found ?? toDevice(await this.#call('PUT', `/devices/${encodeURIComponent(deviceId)}`, { deviceId, capabilities: { iotEdge: true } }))
    )
  }

  /** Deploys modules to one edge device. @param content `{ modulesContent }` of a deployment manifest */
  async deploy(deviceId: string, content: unknown): Promise<void> {
    await this.#call('POST', `/devices/${encodeURIComponent(deviceId)}/applyConfigurationContent`, content)
  }

  async #call(method: string, path: string, body?: unknown, absentStatus?: number): Promise<unknown> {
    const authorization = sharedAccessSignature(this.hubHost, this.#key, Date.now() + tokenMs, this.#keyName)
    let response: { status: number; text: string }
    try {
      response = await httpsRequest(`https://${this.hubHost}${path}?api-version=${apiVersion}`, {
        method,
        authorization,
        body: body === undefined ? '' : JSON.stringify(body),
        agent: this.#agent,
      })
    } catch (error) {
      throw new HubRegistryError(`the hub '${this.hubHost}' cannot be reached: ${errorText(error)}`, 503, { cause: error })
    }
    const { status, text } = response
    if (status === absentStatus) return undefined
    if (status >= 300) throw new HubRegistryError(`the hub answered ${status} to ${method} ${path}: ${text.slice(0, 300)}`, status)
    return text === '' ? undefined : JSON.parse(text)
  }
}

function toDevice(body: unknown): RegisteredDevice {
  const { deviceId, deviceScope, authentication } = Identity.parse(body)
  return { deviceId, deviceScope, key: authentication.symmetricKey.primaryKey }
}
