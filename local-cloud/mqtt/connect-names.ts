/** Who a CONNECT says it is: the user name and the client id that IoT Hub documents. */
import { nameOf } from '../device-backend.ts'
import type { Identity } from '../device-backend.ts'

/** CONNACK return codes of MQTT 3.1.1. */
export const connack = { accepted: 0, badProtocol: 1, badClientId: 2, unavailable: 3, badCredentials: 4, notAuthorized: 5 } as const

export type ConnectNames =
  | { readonly identity: Identity; readonly modelId: string | undefined }
  | { readonly refusal: { readonly code: number; readonly reason: string } }

/** @param username `{host}/{deviceId}[/{moduleId}]/?api-version=…&model-id=…` */
export function readConnectNames(clientId: string, username: string): ConnectNames {
  const [path = '', query = ''] = username.split('/?')
  const [host, deviceId, moduleId, ...rest] = path.split('/')
  if (!host || !deviceId || rest.length > 0) {
    const reason = `the user name '${username.slice(0, 120)}' is not {host}/{deviceId}/?api-version=…`
    return { refusal: { code: connack.badCredentials, reason } }
  }
  const identity = { deviceId, moduleId: moduleId === '' ? undefined : moduleId }
  if (clientId !== nameOf(identity)) {
    const reason = `the client id is '${clientId}', the user name says '${nameOf(identity)}'`
    return { refusal: { code: connack.badClientId, reason } }
  }
  return { identity, modelId: new URLSearchParams(query).get('model-id') ?? undefined }
}
