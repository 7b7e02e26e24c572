/** A local cloud and a gateway with the edge module, in processes of their own, to be measured from outside. */
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Connection } from '../../contract/connection.ts'
import { sharedAccessSignature } from '../../device-sim/device-credentials.ts'
import { HubRegistry } from '../../device-sim/hub-registry.ts'
import type { LoadArguments } from '../comparison/load.ts'
import { childrenOf, end, said } from '../process.ts'

const root = new URL('../..', import.meta.url).pathname
const startMsMax = 30_000

export type BenchClient = { readonly clientId: string; readonly username: string; readonly password: string }
export type BenchGateway = {
  readonly port: number
  readonly ca: string
  readonly certificates: string
  /** What gateway and modules have said so far. */
  output(): string
  /** The gateway, then its modules. */
  pids(): number[]
  /** Devices behind it, registered. */
  clients(count: number, prefix: string): Promise<BenchClient[]>
  /** The same for `paced-load.ts`: each with its topic. */
  loadClients(count: number): Promise<LoadArguments['clients']>
  stop(): Promise<void>
}

type Manifest = { modulesContent: Record<string, { 'properties.desired': Record<string, unknown> }> }

/** @param desired properties of the edge module beside those of the laptop's deployment */
export async function startGateway(folder: string, desired: Record<string, unknown>): Promise<BenchGateway> {
  const main = join(root, 'dist/cli/main.mjs')
  const data = join(folder, 'cloud')
  mkdirSync(folder, { recursive: true })
  const cloud = spawn(process.execPath, [main, 'cloud', '--data', data, '--json'], { stdio: ['ignore', 'pipe', 'inherit'] })
  await said(cloud, '"ready"')
  const connection = Connection.parse(JSON.parse(readFileSync(join(data, 'connection.json'), 'utf8')))
  const ca = readFileSync(connection.ca!, 'utf8')
  const registry = new HubRegistry(connection.iotHub, ca)
  const manifest = JSON.parse(readFileSync(join(root, 'dist/infra/deployment.json'), 'utf8')) as Manifest
  Object.assign(manifest.modulesContent['edge-module']!['properties.desired'], desired)
  const manifestFile = join(folder, 'deployment.json')
  writeFileSync(manifestFile, JSON.stringify(manifest))
  const options = ['--device', 'gw', '--target', join(data, 'connection.json'), '--manifest', manifestFile]
  const edge = spawn(process.execPath, [main, 'edge', ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_EXTRA_CA_CERTS: connection.ca! },
  })
  const stop = async () => {
    await end(edge)
    await end(cloud)
  }
  let output = ''
  edge.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const isUp = () => /"event":"started"/.test(output) && /ready: gateway gw at \S+/.test(output)
  for (const deadline = Date.now() + startMsMax; !isUp(); await delay(50)) {
    if (Date.now() < deadline) continue
    await stop()
    throw new Error(`the gateway did not start: ${output.slice(-1000)}`)
  }
  const clients = async (count: number, prefix: string): Promise<BenchClient[]> => {
    const scope = (await registry.get('gw'))!.deviceScope
    const names = Array.from({ length: count }, (_, index) => `${prefix}-${String(index).padStart(5, '0')}`)
    return (await registry.ensureDevices(names, scope)).map(({ deviceId, key }) => ({
      clientId: deviceId,
      username: `${registry.hubHost}/${deviceId}/?api-version=2021-04-12`,
      password: sharedAccessSignature(`${registry.hubHost}/devices/${deviceId}`, key, Date.now() + 3_600_000),
    }))
  }
  return {
    port: Number(/ready: gateway gw at [^:]+:(\d+)/.exec(output)![1]),
    ca,
    certificates: dirname(connection.ca!),
    output: () => output,
    pids: () => [edge.pid!, ...childrenOf(edge.pid!)],
    clients,
    async loadClients(count) {
      return (await clients(count, 'dev')).map(({ clientId, ...credentials }) => ({
        deviceId: clientId,
        clientId,
        topic: `devices/${clientId}/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8`,
        ...credentials,
      }))
    },
    stop,
  }
}
