/**
 * Azure on one computer: IoT Hub with its built-in Event Hubs endpoint, and storage. Everything that must survive a
 * crash lies in the data folder; `connection.json` there says how to connect.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import type http from 'node:http'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import type { Connection } from '../contract/connection.ts'
import { ClosingStack } from './closing-stack.ts'
import { AmqpServer } from './event-hubs/amqp-server.ts'
import type { EventHub } from './event-hubs/event-hub.ts'
import { FrontDoor } from './front-door.ts'
import { IotHub } from './iot-hub/iot-hub.ts'
import { Registry } from './iot-hub/registry.ts'
import { HubRestApi } from './iot-hub/rest-api.ts'
import type { RestResponse, SharedAccessPolicy } from './iot-hub/rest-api.ts'
import { CommitLog } from './log/commit-log.ts'
import { MqttServerConnection } from './mqtt/mqtt-server-connection.ts'
import { readBody, requestUrl } from './http-request.ts'
import { serverCertificate } from './security/certificates.ts'
import { newKey } from './security/shared-access.ts'
import { startAzurite, storageConnectionString } from './storage/azurite.ts'
import type { AzuritePorts } from './storage/azurite.ts'
import { startDurableTables } from './storage/durable-tables.ts'

export type LocalCloudOptions = {
  readonly dataDirectory: string
  /** TLS port for MQTT, AMQP and HTTPS; 0 takes the one used before, or a free one. */
  readonly port: number
  /** Plain AMQP port; 0 as above. */
  readonly amqpPort: number
  readonly log: (event: string, fields: Record<string, unknown>) => void
}

export type LocalCloud = {
  readonly connection: Connection
  readonly connectionFile: string
  /** Resolves with a reason when a part has died and the cloud cannot go on. */
  readonly failed: Promise<string>
  stop(): Promise<void>
}

export const builtInEventHub = 'millwright'
export const consumerGroups = { trigger: 'functions', replay: 'replay' } as const
const partitionCount = 4
const retention = { bytes: 512 * 1024 * 1024, ageMs: 24 * 3_600_000 }

const SavedState = z.object({
  keys: z.object({
    iothubowner: z.string(),
    service: z.string(),
    device: z.string(),
    registryRead: z.string(),
    registryReadWrite: z.string(),
  }),
  createdMs: z.number(),
  ports: z.object({ tls: z.number(), amqp: z.number(), blob: z.number(), queue: z.number(), table: z.number() }),
})
type SavedState = z.infer<typeof SavedState>

const rights: Record<keyof SavedState['keys'], SharedAccessPolicy['rights']> = {
  iothubowner: ['registryRead', 'registryWrite', 'service', 'device'],
  service: ['service'],
  device: ['device'],
  registryRead: ['registryRead'],
  registryReadWrite: ['registryRead', 'registryWrite'],
}

export async function startLocalCloud(options: LocalCloudOptions): Promise<LocalCloud> {
  const opened = new ClosingStack()
  try {
    return await start(options, opened)
  } catch (error) {
    await opened.close()
    throw error
  }
}

async function start(options: LocalCloudOptions, opened: ClosingStack): Promise<LocalCloud> {
  const directory = resolve(options.dataDirectory)
  await mkdir(directory, { recursive: true })
  const saved = await readState(directory)
  const nowMs = Date.now
  const logRefusal = (reason: string, detail: string) => options.log('refused', { reason, detail })

  // Azurite takes the longest; the rest is opened meanwhile.
  const storage = startStorage(join(directory, 'storage'), saved.ports)
  opened.defer(() =>
    storage.then(
      (running) => running.stop(),
      () => {},
    ),
  )
  const certificate = await serverCertificate(join(directory, 'certificates'))
  const registry = await Registry.open(join(directory, 'iot-hub'))
  opened.defer(() => registry.close())
  const log = await CommitLog.open({ directory: join(directory, 'iot-hub', 'log'), partitions: partitionCount, retention, nowMs })
  opened.defer(() => log.close())

  const policies = Object.entries(saved.keys).map(([name, key]) => ({ name, key, rights: rights[name as keyof SavedState['keys']] }))
  const hub = new IotHub({ registry, log, nowMs, logRefusal })
  const eventHub: EventHub = {
    name: builtInEventHub,
    log,
    consumerGroups: new Set(['$default', ...Object.values(consumerGroups)]),
    createdMs: saved.createdMs,
  }
  const keyOfReader = (name: string) => policies.find((policy) => policy.name === name && policy.rights.includes('service'))?.key
  const amqp = new AmqpServer({ hubs: new Map([[builtInEventHub, eventHub]]), keyOf: keyOfReader, nowMs, logRefusal })

  const secure = new FrontDoor(
    {
      mqtt: (socket) => void new MqttServerConnection(socket, hub),
      amqp: (socket) => amqp.accept(socket),
      http: restListener(new HubRestApi(hub, policies, nowMs), options.log),
    },
    certificate,
  )
  opened.defer(() => secure.close())
  const plain = new FrontDoor(
    {
      mqtt: (socket) => void socket.destroy(),
      amqp: (socket) => amqp.accept(socket),
      http: (_, response) => void response.writeHead(400).end(),
    },
    undefined,
  )
  opened.defer(() => plain.close())
  const tlsPort = await listenAt(secure, options.port, saved.ports.tls)
  const amqpPort = await listenAt(plain, options.amqpPort, saved.ports.amqp)
  const { connectionString, ports, process: azurite } = await storage

  await writeState(directory, { ...saved, ports: { tls: tlsPort, amqp: amqpPort, ...ports } })
  const key = saved.keys.iothubowner
  const connection: Connection = {
    iotHub: `HostName=localhost:${tlsPort};SharedAccessKeyName=iothubowner;SharedAccessKey=${key}`,
    eventHub: `Endpoint=sb://localhost:${amqpPort};SharedAccessKeyName=iothubowner;SharedAccessKey=${key};UseDevelopmentEmulator=true;EntityPath=${builtInEventHub}`,
    storage: connectionString,
    ca: certificate.caFile,
  }
  const connectionFile = join(directory, 'connection.json')
  await writeAtomically(connectionFile, `${JSON.stringify(connection, null, 2)}\n`)
  const failed = new Promise<string>((resolveFailed) =>
    azurite.once('exit', (code, signal) => resolveFailed(`storage (Azurite) ended with ${signal ?? `code ${code}`}`)),
  )
  return { connection, connectionFile, failed, stop: () => opened.close() }
}

const restBodyBytesMax = 1024 * 1024

function restListener(rest: HubRestApi, log: LocalCloudOptions['log']): http.RequestListener {
  const answer = async (request: http.IncomingMessage, url: URL): Promise<RestResponse> => {
    const body = await readBody(request, restBodyBytesMax)
    if (!body) return { status: 413 }
    return rest.handle({ method: request.method ?? 'GET', url, headers: request.headers, body: body.toString() })
  }
  return (request, response) => {
    const url = requestUrl(request)
    if (!url) return void response.writeHead(400).end()
    answer(request, url).then(
      ({ status, body, headers }) =>
        response
          .writeHead(status, { 'content-type': 'application/json', ...headers })
          .end(body === undefined ? undefined : JSON.stringify(body)),
      (error: unknown) => {
        log('request-failed', { path: url.pathname, error: String(error) })
        response
          .writeHead(500, { 'content-type': 'application/json' })
          .end(JSON.stringify({ Message: 'ErrorCode:ServerError;the request failed' }))
      },
    )
  }
}

async function readState(directory: string): Promise<SavedState> {
  try {
    return SavedState.parse(JSON.parse(await readFile(join(directory, 'cloud.json'), 'utf8')))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const fresh: SavedState = {
    keys: { iothubowner: newKey(), service: newKey(), device: newKey(), registryRead: newKey(), registryReadWrite: newKey() },
    createdMs: Date.now(),
    ports: { tls: 0, amqp: 0, blob: 0, queue: 0, table: 0 },
  }
  await writeState(directory, fresh)
  return fresh
}

function writeState(directory: string, state: SavedState): Promise<void> {
  return writeAtomically(join(directory, 'cloud.json'), JSON.stringify(state, null, 2))
}

async function writeAtomically(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text, { mode: 0o600 })
  await rename(`${path}.new`, path)
}

/** A port asked for must be had; one merely remembered gives way to a free one. */
async function listenAt(door: FrontDoor, wanted: number, remembered: number): Promise<number> {
  if (wanted !== 0 || remembered === 0) return door.listen(wanted)
  return door.listen(remembered).catch(() => door.listen(0))
}

/** Azurite, with its tables behind a journal; on the ports used before, or on free ones where those are taken. */
async function startStorage(directory: string, remembered: AzuritePorts) {
  const azurite = await startAzurite(directory, { ...remembered, table: 0 }).catch(() =>
    startAzurite(directory, { blob: 0, queue: 0, table: 0 }),
  )
  const front = (port: number) =>
    startDurableTables({ directory: join(directory, 'table-journal'), upstreamPort: azurite.ports.table, port })
  try {
    const tables = await front(remembered.table).catch(() => front(0))
    const ports = { ...azurite.ports, table: tables.port }
    return {
      connectionString: storageConnectionString(ports),
      ports,
      process: azurite.process,
      async stop() {
        await tables.stop()
        if (await azurite.stop()) tables.markClean()
      },
    }
  } catch (error) {
    await azurite.stop()
    throw error
  }
}
