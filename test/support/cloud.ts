/** A local cloud of its own for a test file: free ports, a folder that is removed afterwards. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import https from 'node:https'
import { tmpdir } from 'node:os'
import { rootCertificates } from 'node:tls'
import { join } from 'node:path'
import type { z } from 'zod'
import { Connection, parseConnectionString } from '../../contract/connection.ts'
import { HubRegistry } from '../../device-sim/hub-registry.ts'
import type { DeviceCredentials } from '../../device-sim/device-credentials.ts'
import { CloudSettings } from '../../local-cloud/cloud-settings.ts'
import { startLocalCloud } from '../../local-cloud/local-cloud.ts'
import { createAccessToken } from '../../local-cloud/security/shared-access.ts'

/**
 * Set to the path of a `connection.json` that names a hub on Azure, the contract suites run against that instead. What only
 * the local cloud has (restarts, faults, keys of all policies, a log of refusals) is skipped there.
 */
const azureConnectionFile = process.env.MILLWRIGHT_AZURE_CONNECTION
export const onAzure = azureConnectionFile !== undefined

export type CloudForTests = {
  readonly connection: Connection
  readonly ca: string
  readonly registry: HubRegistry
  readonly refusals: { reason: string; detail: string }[]
  /** Registers a device and gives what it connects with. */
  device(deviceId: string): Promise<DeviceCredentials>
  /** A request to the hub's REST API, signed by a policy (iothubowner unless another is named). */
  rest(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
    policy?: string,
  ): Promise<{ status: number; body: unknown; headers: IncomingHttpHeaders }>
  policyKey(policy: string): Promise<string>
  request(
    url: string,
    options: { method: string; body?: unknown; headers?: Record<string, string> },
  ): Promise<{ status: number; body: unknown; headers: IncomingHttpHeaders }>
  /** Sets a fault; with another token than the cloud's own, when one is given. */
  fault(fault: Record<string, unknown>, token?: string): Promise<{ status: number; body: unknown }>
  /** Ends all faults. */
  endFaults(): Promise<void>
  /** Stops the cloud and starts it again on the same data. */
  restart(): Promise<void>
  stop(): Promise<void>
}

export async function cloudForTests(settings?: z.input<typeof CloudSettings>): Promise<CloudForTests> {
  if (azureConnectionFile !== undefined) return azureForTests(azureConnectionFile)
  const folder = mkdtempSync(join(tmpdir(), 'the cloud-'))
  const refusals: CloudForTests['refusals'] = []
  const log = (event: string, fields: Record<string, unknown>) => {
    if (event === 'refused') refusals.push(fields as { reason: string; detail: string })
  }
  const start = () => startLocalCloud({ dataDirectory: folder, port: 0, amqpPort: 0, log, settings: CloudSettings.parse(settings ?? {}) })
  let cloud = await start()
  const ca = readFileSync(cloud.connection.ca!, 'utf8')
  const registry = () => new HubRegistry(cloud.connection.iotHub, ca)
  const keyOf = (policy: string) =>
    (JSON.parse(readFileSync(join(folder, 'cloud.json'), 'utf8')) as { keys: Record<string, string> }).keys[policy]!
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
    async rest(method, path, body, headers = {}, policy = 'iothubowner') {
      const { hubHost } = registry()
      const authorization = createAccessToken(hubHost, Buffer.from(keyOf(policy), 'base64'), Date.now() + 60_000, policy)
      return request(`https://${hubHost}${path}?api-version=2021-04-12`, { method, ca, body, headers: { authorization, ...headers } })
    },
    policyKey: async (policy) => keyOf(policy),
    request: (url, options) => request(url, { ca, ...options }),
    fault: (fault, token = cloud.connection.inspector!.token) =>
      request(`https://${registry().hubHost}/millwright/faults`, {
        method: 'POST',
        ca,
        body: fault,
        headers: { authorization: `Bearer ${token}` },
      }),
    async endFaults() {
      await request(`https://${registry().hubHost}/millwright/faults`, {
        method: 'DELETE',
        ca,
        headers: { authorization: `Bearer ${cloud.connection.inspector!.token}` },
      })
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

/** A hub on Azure, in the same words. */
function azureForTests(file: string): CloudForTests {
  const connection = Connection.parse(JSON.parse(readFileSync(file, 'utf8')))
  const ca = rootCertificates.join('\n')
  const registry = new HubRegistry(connection.iotHub)
  const localOnly = (what: string) => (): never => {
    throw new Error(`${what} is for the local cloud alone: skip this test on Azure`)
  }
  const fields = parseConnectionString(connection.iotHub, ['SharedAccessKeyName', 'SharedAccessKey'])
  const [policy, key] = [fields.get('sharedaccesskeyname')!, fields.get('sharedaccesskey')!]
  return {
    connection,
    ca,
    registry,
    refusals: [],
    async device(deviceId) {
      const [device] = await registry.ensureDevices([deviceId])
      return { hubHost: registry.hubHost, deviceId, key: device!.key, ca }
    },
    rest(method, path, body, headers = {}) {
      const authorization = createAccessToken(registry.hubHost, Buffer.from(key, 'base64'), Date.now() + 60_000, policy)
      return request(`https://${registry.hubHost}${path}?api-version=2021-04-12`, {
        method,
        ca,
        body,
        headers: { authorization, ...headers },
      })
    },
    policyKey: localOnly('keys of policies'),
    request: (url, options) => request(url, { ca, ...options }),
    fault: localOnly('a fault'),
    endFaults: localOnly('faults'),
    restart: localOnly('a restart'),
    stop: async () => {},
  }
}

/** An HTTPS request; the answer as JSON when it is, otherwise as text. */
export function request(
  url: string,
  { method, ca, body, headers }: { method: string; ca: string; body?: unknown; headers?: Record<string, string> },
): Promise<{ status: number; body: unknown; headers: IncomingHttpHeaders }> {
  return new Promise((resolve, reject) => {
    const outgoing = https.request(
      url,
      { method, ca, headers: { 'content-type': 'application/json', ...headers }, agent: false },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString()
          let parsed: unknown = text
          try {
            parsed = JSON.parse(text)
          } catch {
            // Not every answer is JSON.
          }
          resolve({ status: response.statusCode ?? 0, body: parsed, headers: response.headers })
        })
      },
    )
    outgoing.on('error', reject)
    outgoing.end(body === undefined ? undefined : Buffer.isBuffer(body) ? body : JSON.stringify(body))
  })
}
