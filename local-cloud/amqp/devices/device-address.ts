/** The addresses that IoT Hub documents for devices and modules over AMQP (iot-hub-amqp-support.md). */
import type { Identity } from '../../device-backend.ts'
import { pathOf } from '../amqp-node.ts'

/** `messages`: to the hub, and to a module from its routes. `device-bound`: from the cloud to a device. */
export type DeviceEndpoint = 'messages' | 'device-bound' | 'methods' | 'twin'

export type DeviceAddress = { readonly identity: Identity; readonly endpoint: DeviceEndpoint }

const endpoints: Readonly<Record<string, DeviceEndpoint>> = {
  'messages/events': 'messages',
  'messages/devicebound': 'device-bound',
  'methods/devicebound': 'methods',
  twin: 'twin',
}

/** @returns undefined for anything that is not documented; ids may be written percent-encoded */
export function parseDeviceAddress(address: string): DeviceAddress | undefined {
  const parts = /^devices\/([^/]+)(?:\/modules\/([^/]+))?\/(.+)$/i.exec(pathOf(address))
  const endpoint = parts && endpoints[parts[3]!.toLowerCase()]
  if (!endpoint) return undefined
  const [, deviceId, moduleId] = parts
  return { identity: { deviceId: unescaped(deviceId!), moduleId: moduleId === undefined ? undefined : unescaped(moduleId) }, endpoint }
}

/** `%` may stand in an id as it is. */
function unescaped(id: string): string {
  try {
    return decodeURIComponent(id)
  } catch {
    return id
  }
}
