/**
 * An IoT Edge device on this computer: edgeHub, the workload API, and the modules that the deployment names. It is
 * given the edge device's connection string, as `config.toml` would be; all else comes from the hub.
 */
import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { parseConnectionString } from '../../contract/connection.ts'
import { ClosingStack } from '../closing-stack.ts'
import { FrontDoor } from '../front-door.ts'
import { isJsonObject, mergePatch } from '../iot-hub/json-merge-patch.ts'
import type { JsonObject } from '../iot-hub/json-merge-patch.ts'
import { MqttServerConnection } from '../mqtt/mqtt-server-connection.ts'
import type { ServerCertificate } from '../security/certificates.ts'
import { EdgeHub } from './edge-hub.ts'
import { ModuleProcess } from './module-process.ts'
import { EdgeHubDesired, parseRoutes } from './routes.ts'
import { EdgeScope } from './scope.ts'
import { StoreAndForward } from './store-and-forward.ts'
import { startWorkloadApi } from './workload-api.ts'

export type EdgeRuntimeOptions = {
  /** `HostName=…;DeviceId=…;SharedAccessKey=…` of the edge device. */
  readonly connectionString: string
  readonly dataDirectory: string
  readonly port: number
  readonly certificate: ServerCertificate
  /** Which script stands for a module's image, undefined when there is none. */
  readonly scriptOf: (image: string) => string | undefined
  readonly log: (event: string, fields: Record<string, unknown>) => void
}

export type EdgeRuntime = { readonly gatewayHost: string; readonly edgeHub: EdgeHub; stop(): Promise<void> }

const ModuleSpec = z.looseObject({
  settings: z.looseObject({ image: z.string() }),
  env: z.record(z.string(), z.object({ value: z.coerce.string() })).default({}),
})
const AgentDesired = z.looseObject({ modules: z.record(z.string(), ModuleSpec).default({}) })

/** Paths of Unix sockets are limited to about a hundred characters. */
const socketPathMax = 100

export async function startEdgeRuntime(options: EdgeRuntimeOptions): Promise<EdgeRuntime> {
  const opened = new ClosingStack()
  try {
    return await start(options, opened)
  } catch (error) {
    await opened.close()
    throw error
  }
}

async function start(options: EdgeRuntimeOptions, opened: ClosingStack): Promise<EdgeRuntime> {
  const { dataDirectory, certificate, log } = options
  const fields = parseConnectionString(options.connectionString, ['HostName', 'DeviceId', 'SharedAccessKey'])
  const edge = { hubHost: fields.get('hostname')!, deviceId: fields.get('deviceid')!, key: fields.get('sharedaccesskey')! }
  await mkdir(dataDirectory, { recursive: true })
  const scope = await EdgeScope.open(edge, dataDirectory)
  opened.defer(() => scope.close())
  await scope.refresh().catch((error: unknown) => log('scope-refresh-failed', { error: String(error) }))
  const store = await StoreAndForward.open(join(dataDirectory, 'store'), Date.now)
  opened.defer(() => store.close())
  const edgeHub = new EdgeHub({ edge, scope, store, nowMs: Date.now, log })
  opened.defer(() => edgeHub.close())
  const inFolder = join(dataDirectory, 'workload.sock')
  const socketPath =
    inFolder.length <= socketPathMax
      ? inFolder
      : join(tmpdir(), `millwright-${createHash('sha256').update(inFolder).digest('hex').slice(0, 16)}.sock`)
  const workload = await startWorkloadApi({
    socketPath,
    trustBundle: certificate.ca,
    keyOf: (moduleId, generationId) => {
      const module = scope.module(moduleId)
      return module?.generationId === generationId ? module.authentication.symmetricKey.primaryKey : undefined
    },
  })
  opened.defer(() => workload.stop())

  const modules = new Map<string, ModuleProcess>()
  opened.defer(() => Promise.all([...modules.values()].map((module) => module.stop())))

  const onHub = async (desired: JsonObject) => {
    const parsed = EdgeHubDesired.parse(desired)
    await edgeHub.applyRoutes(parseRoutes(parsed), parsed.storeAndForwardConfiguration.timeToLiveSecs)
  }
  const onAgent = async (desired: JsonObject) => {
    const { modules: wanted } = AgentDesired.parse(desired)
    await scope.refresh()
    for (const [name, module] of modules) {
      if (wanted[name]) continue
      modules.delete(name)
      await module.stop()
    }
    for (const [name, { settings, env }] of Object.entries(wanted)) {
      if (modules.has(name)) continue
      const script = options.scriptOf(settings.image)
      const generationId = scope.module(name)?.generationId
      if (script === undefined || generationId === undefined) {
        log('module-not-started', {
          module: name,
          image: settings.image,
          reason: script === undefined ? 'nothing on this computer stands for its image' : 'it has no identity',
        })
        continue
      }
      const environment = {
        ...process.env,
        ...Object.fromEntries(Object.entries(env).map(([key, { value }]) => [key, value])),
        MODULE_DATA: join(dataDirectory, 'modules', name),
        IOTEDGE_WORKLOADURI: `unix://${socketPath}`,
        IOTEDGE_DEVICEID: edge.deviceId,
        IOTEDGE_MODULEID: name,
        IOTEDGE_MODULEGENERATIONID: generationId,
        IOTEDGE_IOTHUBHOSTNAME: edge.hubHost,
        IOTEDGE_GATEWAYHOSTNAME: gatewayHost,
        IOTEDGE_AUTHSCHEME: 'sasToken',
        IOTEDGE_APIVERSION: '2018-06-28',
      }
      modules.set(name, new ModuleProcess({ name, script, environment, log }))
    }
  }
  // Routes before the door opens: a message that no route takes is acknowledged and gone.
  await followDesired(edgeHub, edge.deviceId, '$edgeHub', onHub, log)
  const door = new FrontDoor(
    {
      mqtt: (socket) => void new MqttServerConnection(socket, edgeHub),
      amqp: (socket) => void socket.destroy(),
      http: (_, response) => void response.writeHead(404).end(),
    },
    certificate,
  )
  opened.defer(() => door.close())
  const gatewayHost = `localhost:${await door.listen(options.port)}`

  await followDesired(edgeHub, edge.deviceId, '$edgeAgent', onAgent, log)
  return { gatewayHost, edgeHub, stop: () => opened.close() }
}

/** Applies a system module's desired properties now and whenever they change. */
async function followDesired(
  edgeHub: EdgeHub,
  deviceId: string,
  moduleId: string,
  apply: (desired: JsonObject) => Promise<void>,
  log: EdgeRuntimeOptions['log'],
): Promise<void> {
  const upstream = edgeHub.upstreamOf({ deviceId, moduleId })
  const read = async (): Promise<JsonObject> => {
    const { status, body } = await upstream.twinRequest((requestId) => `$iothub/twin/GET/?$rid=${requestId}`, Buffer.from(' '))
    const twin: unknown = JSON.parse(body)
    if (status !== 200 || !isJsonObject(twin) || !isJsonObject(twin.desired))
      throw new Error(`the twin of ${moduleId} could not be read: ${status} ${body}`)
    return twin.desired
  }
  let desired = await read()
  await apply(desired)
  await upstream.onDesired((_, body) => {
    const patch: unknown = JSON.parse(body.toString())
    if (!isJsonObject(patch)) return
    desired = mergePatch(desired, patch)
    apply(desired).catch((error: unknown) => log('deployment-failed', { module: moduleId, error: String(error) }))
  })
}
