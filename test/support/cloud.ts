/** A local cloud of its own for a test file: free ports, a folder that is removed afterwards. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Connection } from '../../contract/connection.ts'
import { HubRegistry } from '../../device-sim/hub-registry.ts'
import type { DeviceCredentials } from '../../device-sim/device-credentials.ts'
import { startLocalCloud } from '../../local-cloud/local-cloud.ts'

export type CloudForTests = {
  readonly connection: Connection
  readonly ca: string
  readonly registry: HubRegistry
  readonly refusals: { reason: string; detail: string }[]
  /** Registers a device and gives what it connects with. */
  device(deviceId: string): Promise<DeviceCredentials>
  /** Stops the cloud and starts it again on the same data. */
  restart(): Promise<void>
  stop(): Promise<void>
}

export async function cloudForTests(): Promise<CloudForTests> {
  const folder = mkdtempSync(join(tmpdir(), 'cloud-'))
  const refusals: CloudForTests['refusals'] = []
  const log = (event: string, fields: Record<string, unknown>) => {
    if (event === 'refused') refusals.push(fields as { reason: string; detail: string })
  }
  const start = () => startLocalCloud({ dataDirectory: folder, port: 0, amqpPort: 0, log })
  let cloud = await start()
  const ca = readFileSync(cloud.connection.ca!, 'utf8')
  const registry = () => new HubRegistry(cloud.connection.iotHub, ca)
  return {
    get connection() {
      return cloud.connection
    },
    ca,
    get registry() {
      return registry()
    },
    refusals,
    async device(deviceId) {
      const hub = registry()
      const [device] = await hub.ensureDevices([deviceId])
      return { hubHost: hub.hubHost, deviceId, key: device!.key, ca }
    },
    async restart() {
      await cloud.stop()
      cloud = await start()
    },
    async stop() {
      await cloud.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
