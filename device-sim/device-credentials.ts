/** What a device needs to connect, and the shared access tokens it signs with its key. */
import { createHmac } from 'node:crypto'
import { parseConnectionString } from '../contract/connection.ts'

export type DeviceCredentials = {
  readonly hubHost: string
  /** Host of an edge gateway to connect to instead of the hub. */
  readonly gatewayHost?: string | undefined
  readonly deviceId: string
  readonly key: string
  /** Certificate authority of a local cloud or gateway, PEM. */
  readonly ca?: string | undefined
}

/** A device that proves who it is by a certificate of its own. */
export type CertifiedDevice = Omit<DeviceCredentials, 'key'> & {
  /** PEM. */
  readonly certificate: string
  /** PEM; never leaves the device. */
  readonly privateKey: string
}
export type AgentCredentials = DeviceCredentials | CertifiedDevice

/** `HostName=…;DeviceId=…;SharedAccessKey=…[;GatewayHostName=…]` */
export function parseDeviceConnectionString(text: string): DeviceCredentials {
  const fields = parseConnectionString(text, ['HostName', 'DeviceId', 'SharedAccessKey'])
  return {
    hubHost: fields.get('hostname')!,
    gatewayHost: fields.get('gatewayhostname'),
    deviceId: fields.get('deviceid')!,
    key: fields.get('sharedaccesskey')!,
  }
}

export function formatDeviceConnectionString(credentials: AgentCredentials): string {
  const { hubHost, gatewayHost, deviceId } = credentials
  const proof = 'key' in credentials ? `SharedAccessKey=${credentials.key}` : 'x509=true'
  return `HostName=${hubHost};DeviceId=${deviceId};${proof}${gatewayHost === undefined ? '' : `;GatewayHostName=${gatewayHost}`}`
}

/** @param key base64 @param keyName the policy, for tokens of the service side */
export function sharedAccessSignature(resource: string, key: string, expiresMs: number, keyName?: string): string {
  const encoded = encodeURIComponent(resource)
  const expires = Math.ceil(expiresMs / 1000)
  const signature = createHmac('sha256', Buffer.from(key, 'base64')).update(`${encoded}\n${expires}`).digest('base64')
  return `SharedAccessSignature sr=${encoded}&sig=${encodeURIComponent(signature)}&se=${expires}${keyName === undefined ? '' : `&skn=${keyName}`}`
}
