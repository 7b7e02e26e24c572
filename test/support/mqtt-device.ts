/** A device of the running product that says what a test wants: MQTT as the documentation has it, a key of its own. */
import mqtt from 'mqtt'
import type { MqttClient } from 'mqtt'
import { sharedAccessSignature } from '../../device-sim/device-credentials.ts'
import { HubRegistry } from '../../device-sim/hub-registry.ts'
import type { Product } from './product.ts'

export type MqttDevice = { send(body: unknown): Promise<void>; end(): Promise<void>; readonly client: MqttClient }

export async function connectDevice(product: Product, deviceId: string, modelId?: string): Promise<MqttDevice> {
  const { connection, ca } = product.connection()
  const registry = new HubRegistry(connection.iotHub, ca)
  const [device] = await registry.ensureDevices([deviceId])
  const [host, port] = registry.hubHost.split(':')
  const client = await mqtt.connectAsync({
    protocol: 'mqtts',
    host: host!,
    port: Number(port),
    ca,
    protocolVersion: 4,
    clientId: deviceId,
    username: `${registry.hubHost}/${deviceId}/?api-version=2021-04-12${modelId === undefined ? '' : `&model-id=${encodeURIComponent(modelId)}`}`,
    password: sharedAccessSignature(`${registry.hubHost}/devices/${deviceId}`, device!.key, Date.now() + 600_000),
  })
  return {
    client,
    async send(body) {
      const text = typeof body === 'string' ? body : JSON.stringify(body)
      await client.publishAsync(`devices/${deviceId}/messages/events/`, text, { qos: 1 })
    },
    end: () => client.endAsync(),
  }
}
