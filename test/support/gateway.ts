/** A gateway in this process, with the edge module's bundle in a process of its own. */
import { cpSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import mqtt from 'mqtt'
import type { MqttClient } from 'mqtt'
import { sharedAccessSignature } from '../../device-sim/device-credentials.ts'
import { startEdgeRuntime } from '../../local-cloud/edge-runtime/edge-runtime.ts'
import type { EdgeRuntime } from '../../local-cloud/edge-runtime/edge-runtime.ts'
import { serverCertificate } from '../../local-cloud/security/certificates.ts'
import type { CloudForTests } from './cloud.ts'
import { eventually } from './eventually.ts'
import { mqttOptions } from './mqtt-options.ts'

const root = resolve(import.meta.dirname, '..', '..')
export const edgeModuleScript = join(root, 'dist', 'edge', 'edge-module.cjs')

export type GatewayForTests = {
  readonly deviceId: string
  readonly runtime: EdgeRuntime
  readonly logs: { event: string; fields: Record<string, unknown> }[]
  /** A device behind the gateway, registered and connected. */
  child(deviceId: string): Promise<MqttClient>
  /** A module of the gateway that the test plays itself. */
  module(moduleId: string): Promise<MqttClient>
  /** Desired properties of the edge module. */
  desire(properties: Record<string, unknown>): Promise<void>
  reported(): Promise<Record<string, unknown>>
  call(method: string, payload?: unknown): Promise<{ status: number; payload: unknown }>
  stop(): Promise<void>
}

type Manifest = { modulesContent: Record<string, { 'properties.desired': Record<string, Record<string, unknown>> }> }

export async function gatewayForTests(
  cloud: CloudForTests,
  { deviceId, folder, routes = {}, script }: { deviceId: string; folder: string; routes?: Record<string, unknown>; script?: string },
): Promise<GatewayForTests> {
  // As its image has it: nothing of the repository around it.
  const image = join(folder, `${deviceId}-image`)
  cpSync(join(root, 'dist', 'edge'), image, { recursive: true })
  const manifest = JSON.parse(readFileSync(join(root, 'dist/infra/deployment.json'), 'utf8')) as Manifest
  Object.assign(manifest.modulesContent.$edgeHub!['properties.desired'].routes!, routes)
  await cloud.rest('PUT', `/devices/${deviceId}`, { deviceId, capabilities: { iotEdge: true } })
  await cloud.rest('POST', `/devices/${deviceId}/applyConfigurationContent`, manifest)
  const keyOf = (body: unknown) =>
    (body as { authentication: { symmetricKey: { primaryKey: string } } }).authentication.symmetricKey.primaryKey
  const gateway = (await cloud.rest('GET', `/devices/${deviceId}`)).body as { deviceScope: string }
  const logs: GatewayForTests['logs'] = []
  const { hubHost } = cloud.registry
  const runtime = await startEdgeRuntime({
    connectionString: `HostName=${hubHost};DeviceId=${deviceId};SharedAccessKey=${keyOf(gateway)}`,
    dataDirectory: join(folder, deviceId),
    port: 0,
    certificate: await serverCertificate(dirname(cloud.connection.ca!)),
    scriptOf: () => script ?? join(image, 'edge-module.cjs'),
    nodeOptions: ['--import', pathToFileURL(join(root, 'bin/host-ports.mjs')).href],
    log: (event, fields) => logs.push({ event, fields }),
  })
  const twinPath = `/twins/${deviceId}/modules/edge-module`
  return {
    deviceId,
    runtime,
    logs,
    async child(childId) {
      const { body } = await cloud.rest('PUT', `/devices/${childId}`, { deviceId: childId, parentScopes: [gateway.deviceScope] })
      return mqtt.connectAsync(
        mqttOptions({ hubHost, deviceId: childId, key: keyOf(body), ca: cloud.ca, gatewayHost: runtime.gatewayHost }),
      )
    },
    async module(moduleId) {
      const { body } = await cloud.rest('PUT', `/devices/${deviceId}/modules/${moduleId}`, { deviceId, moduleId })
      const [host = '', port = ''] = runtime.gatewayHost.split(':')
      const password = sharedAccessSignature(`${hubHost}/devices/${deviceId}/modules/${moduleId}`, keyOf(body), Date.now() + 600_000)
      return mqtt.connectAsync({
        protocol: 'mqtts',
        host,
        port: Number(port),
        protocolVersion: 4,
        clientId: `${deviceId}/${moduleId}`,
        username: `${hubHost}/${deviceId}/${moduleId}/?api-version=2021-04-12`,
        password,
        ca: cloud.ca,
      })
    },
    async desire(properties) {
      await cloud.rest('PATCH', twinPath, { properties: { desired: properties } })
    },
    async reported() {
      const { body } = await cloud.rest('GET', twinPath)
      return (body as { properties: { reported: Record<string, unknown> } }).properties.reported
    },
    async call(methodName, payload = {}) {
      return eventually(async () => {
        const { status, body } = await cloud.rest('POST', `${twinPath}/methods`, {
          methodName,
          payload,
          responseTimeoutInSeconds: 20,
          connectTimeoutInSeconds: 5,
        })
        return status === 200 ? (body as { status: number; payload: unknown }) : undefined
      })
    },
    stop: () => runtime.stop(),
  }
}
