/** The IoT Hub's service side by REST, for what the app needs of it: a twin to show, a device's message to send again. */
import { createHmac } from 'node:crypto'
import { parseConnectionString } from '../../contract/connection.ts'
import { errorText } from '../../contract/error-text.ts'
import type { HubConnection } from '../azure-connections.ts'

export type HubRest = {
  /** Undefined when the hub does not know the device. */
  twin(deviceId: string): Promise<unknown>
  /** Sends a message in a device's name; the policy must have DeviceConnect. @throws Error saying what the hub answered */
  sendAsDevice(deviceId: string, body: Uint8Array, contentType: string): Promise<void>
}

const apiVersion = '2021-04-12'
const tokenValidS = 3_600
const timeoutMs = 10_000

/** The audience of tokens for the service side of any hub ("Control access to IoT Hub by using Microsoft Entra ID"). */
const audience = 'https://iothubs.azure.net/.default'

/** @param connection `HostName=…;SharedAccessKeyName=…;SharedAccessKey=…`, or an identity */
export function openHubRest(connection: HubConnection, nowMs: () => number): HubRest {
  const { host, authorization } = typeof connection === 'string' ? bySharedKey(connection, nowMs) : byIdentity(connection)
  const call = async (path: string, init: { method?: string; body?: Uint8Array<ArrayBuffer>; headers?: Record<string, string> }) =>
    fetch(`https://${host}${path}?api-version=${apiVersion}`, {
      ...init,
      headers: { ...init.headers, authorization: await authorization() },
      signal: AbortSignal.timeout(timeoutMs),
    }).catch((error: unknown) => {
      throw new Error(`the hub '${host}' cannot be reached: ${errorText(error)}`, { cause: error })
    })
  return {
    async twin(deviceId) {
      const response = await call(`/twins/${encodeURIComponent(deviceId)}`, {})
      if (response.status === 404) return undefined
      if (!response.ok) throw new Error(`the hub answered ${response.status} for the twin of '${deviceId}'`)
      return response.json()
    },
    async sendAsDevice(deviceId, body, contentType) {
      const response = await call(`/devices/${encodeURIComponent(deviceId)}/messages/events`, {
        method: 'POST',
        body: new Uint8Array(body),
        headers: { 'iothub-contenttype': contentType, 'iothub-contentencoding': 'utf-8' },
      })
      if (!response.ok)
        throw new Error(`the hub answered ${response.status} to a message of '${deviceId}': ${(await response.text()).slice(0, 200)}`)
    },
  }
}

type Access = { readonly host: string; readonly authorization: () => Promise<string> }

function bySharedKey(connectionString: string, nowMs: () => number): Access {
  const fields = parseConnectionString(connectionString, ['HostName', 'SharedAccessKeyName', 'SharedAccessKey'])
  const host = fields.get('hostname')!
  const key = Buffer.from(fields.get('sharedaccesskey')!, 'base64')
  const resource = encodeURIComponent(host)
  return {
    host,
    async authorization() {
      const expiry = Math.floor(nowMs() / 1000) + tokenValidS
      const signature = createHmac('sha256', key).update(`${resource}\n${expiry}`).digest('base64')
      return `SharedAccessSignature sr=${resource}&sig=${encodeURIComponent(signature)}&se=${expiry}&skn=${fields.get('sharedaccesskeyname')}`
    },
  }
}

function byIdentity({ host, credential }: Exclude<HubConnection, string>): Access {
  return {
    host,
    async authorization() {
      // The credential keeps a token until it is about to expire.
      const token = await credential.getToken(audience)
      if (!token) throw new Error('the managed identity got no token for the hub; give it the role IoT Hub Twin Contributor')
      return `Bearer ${token.token}`
    },
  }
}
