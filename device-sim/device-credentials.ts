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

export function formatDeviceConnectionString({ hubHost, gatewayHost, deviceId, key }: DeviceCredentials): string {
  return `HostName=${hubHost};DeviceId=${deviceId};SharedAccessKey=${key}${gatewayHost === undefined ? '' : `;GatewayHostName=${gatewayHost}`}`
}

/** @param key base64 @param keyName the policy, for tokens of the service side */
export function sharedAccessSignature(resource: string, key: string, expiresMs: number, keyName?: string): string {
  const encoded = encodeURIComponent(resource)
  const expires = Math.ceil(expiresMs / 1000)
  const signature = createHmac('sha256', Buffer.from(key, 'base64')).update(`${encoded}\n${expires}`).digest('base64')
  return `SharedAccessSignature sr=${encoded}&sig=${encodeURIComponent(signature)}&se=${expires}${keyName === undefined ? '' : `&skn=${keyName}`}`
}
