/** How the `mqtt` package connects as a device: the documented user name, client id and token. */
import type { IClientOptions } from 'mqtt'
import { sharedAccessSignature } from '../../device-sim/device-credentials.ts'
import type { DeviceCredentials } from '../../device-sim/device-credentials.ts'
import type { CertificateForTests } from './certificates.ts'

/** A device's credentials; with a certificate, or nothing at all, in place of its key. */
export type MqttCredentials = Omit<DeviceCredentials, 'key'> & { readonly key?: string; readonly certificate?: CertificateForTests }

const tokenMs = 600_000

export function mqttOptions({ hubHost, deviceId, ca, key, certificate, gatewayHost }: MqttCredentials): IClientOptions {
  const [host, port] = (gatewayHost ?? hubHost).split(':')
  return {
    protocol: 'mqtts',
    host: host!,
    port: Number(port ?? 8883),
    ...(ca === undefined ? {} : { ca }),
    protocolVersion: 4,
    clean: false,
    reconnectPeriod: 0,
    clientId: deviceId,
    username: `${hubHost}/${deviceId}/?api-version=2021-04-12`,
    ...(key === undefined ? {} : { password: sharedAccessSignature(`${hubHost}/devices/${deviceId}`, key, Date.now() + tokenMs) }),
    ...(certificate ? { cert: certificate.cert, key: certificate.key } : {}),
  }
}
