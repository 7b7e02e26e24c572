/**
 * An IoT Edge device on this computer: edgeHub, the workload API, and the modules that the deployment names. It is
 * given the edge device's connection string, as `config.toml` would be; all else comes from the hub.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { parseConnectionString } from '../../contract/connection.ts'
import { errorText } from '../../contract/error-text.ts'
import { fileNameOf } from '../../contract/file-name.ts'
import { ClosingStack } from '../closing-stack.ts'
import { FrontDoor } from '../front-door.ts'
import { isJsonObject, mergePatch } from '../iot-hub/json-merge-patch.ts'
import type { JsonObject } from '../iot-hub/json-merge-patch.ts'
import { httpEntry, refuseUpgrade } from '../http/http-entry.ts'
import { SocketUpgrades } from '../http/socket-upgrades.ts'
import { failure } from '../amqp/amqp-node.ts'
import { AmqpServer } from '../amqp/amqp-server.ts'
import { DeviceNodes } from '../amqp/devices/device-nodes.ts'
import { MqttServer } from '../mqtt/mqtt-server.ts'
import { peerCertificateOf } from '../security/peer-certificate.ts'
import type { ServerCertificate } from '../security/certificates.ts'
import { EdgeAgent } from './edge-agent.ts'
import { EdgeHub } from './edge-hub.ts'
import { edgeMethods } from './edge-methods.ts'
import { EdgeHubDesired, parseRoutes } from './routes.ts'
import { EdgeScope, keyOfIdentity } from './scope.ts'
import { SessionStore } from '../session-store.ts'
import { StoreAndForward } from './store-and-forward.ts'
import { startWorkloadApi, workloadSocketPath } from './workload-api.ts'

export type EdgeRuntimeOptions = {
  /** `HostName=…;DeviceId=…;SharedAccessKey=…` of the edge device. */
  readonly connectionString: string
  readonly dataDirectory: string
  readonly port: number
  readonly certificate: ServerCertificate
  /** Which script stands for a module's image, undefined when there is none. */
  readonly scriptOf: (image: string) => string | undefined
  /** Options of Node for the modules: here their gateway has a port in its name, which the SDK's HTTPS side does not know of. */
  readonly nodeOptions?: readonly string[]
  readonly log: (event: string, fields: Record<string, unknown>) => void
  /** A module has ended and is started again. */
  readonly onModuleRestart?: (name: string, why: string) => void
}

export type EdgeRuntime = { readonly gatewayHost: string; readonly edgeHub: EdgeHub; stop(): Promise<void> }

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
  await scope.refresh().catch((error: unknown) => log('scope-refresh-failed', { error: errorText(error) }))
  const store = await StoreAndForward.open(join(dataDirectory, 'store'), Date.now)
  opened.defer(() => store.close())
  const sessions = await SessionStore.open(dataDirectory)
  opened.defer(() => sessions.close())
  const edgeHub = new EdgeHub({ edge, scope, store, sessions, nowMs: Date.now, log })
  opened.defer(() => edgeHub.close())
  const socketPath = workloadSocketPath(dataDirectory, process.platform)
  const workload = await startWorkloadApi({
    socketPath,
    trustBundle: certificate.ca,
    keyOf: (moduleId, generationId) => {
      const module = scope.module(moduleId)
      return module?.generationId === generationId ? keyOfIdentity(module) : undefined
    },
  })
  opened.defer(() => workload.stop())

  const reportOf = (moduleId: string) => (reported: JsonObject) => edgeHub.report({ deviceId: edge.deviceId, moduleId }, reported)
  const reportHub = reportOf('$edgeHub')
  const agent = new EdgeAgent({
    scriptOf: options.scriptOf,
    nodeOptions: options.nodeOptions ?? [],
    environmentOf: (moduleId) => {
      const generationId = scope.module(moduleId)?.generationId
      if (generationId === undefined) return undefined
      return {
        ...process.env,
        MODULE_DATA: join(dataDirectory, 'modules', fileNameOf(moduleId)),
        IOTEDGE_WORKLOADURI: `unix://${socketPath}`,
        IOTEDGE_DEVICEID: edge.deviceId,
        IOTEDGE_MODULEID: moduleId,
        IOTEDGE_MODULEGENERATIONID: generationId,
        IOTEDGE_IOTHUBHOSTNAME: edge.hubHost,
        IOTEDGE_GATEWAYHOSTNAME: gatewayHost,
        IOTEDGE_AUTHSCHEME: 'sasToken',
        IOTEDGE_APIVERSION: '2018-06-28',
      }
    },
    report: reportOf('$edgeAgent'),
    onModuleRestart: options.onModuleRestart ?? (() => {}),
    log,
  })
  opened.defer(() => agent.stop())

  const onHub = async (desired: JsonObject) => {
    const applied = (code: number, description: string) =>
      reportHub({
        schemaVersion: '1.1',
        version: { version: '1.6' },
        lastDesiredVersion: desired.$version,
        lastDesiredStatus: { code, description },
      })
    try {
      const parsed = EdgeHubDesired.parse(desired)
      await edgeHub.applyRoutes(parseRoutes(parsed), parsed.storeAndForwardConfiguration)
      applied(200, '')
    } catch (error) {
      // The routes that stood stay.
      applied(400, error instanceof z.ZodError ? z.prettifyError(error) : String(error))
      throw error
    }
  }
  const onAgent = async (desired: JsonObject) => {
    // A deployment may name a module that was registered a moment ago.
    await scope.refresh({ atOnce: true })
    await agent.apply(desired)
  }
  let gatewayHost = ''
  // Routes before the door opens: a message that no route takes is acknowledged and gone.
  await followDesired(edgeHub, edge.deviceId, '$edgeHub', onHub, log)
  const mqtt = new MqttServer(edgeHub)
  opened.defer(async () => mqtt.close())
  const deviceNodes = new DeviceNodes(edgeHub, Date.now)
  const amqp = new AmqpServer({
    directory: {
      find: (address, peer) => deviceNodes.find(address, peer) ?? failure.notFound(address),
      manage: (address) => ({ statusCode: 404, description: failure.notFound(address).description }),
    },
    claims: {
      policy: () => undefined,
      admit: (credentials) => edgeHub.admit(credentials),
      refuseRegistration: () => 'a gateway provisions nobody',
      nowMs: Date.now,
    },
    refused: (reason, detail) => edgeHub.refused(reason, detail),
  })
  opened.defer(async () => amqp.close())
  const upgrades = new SocketUpgrades({
    mqtt: (stream, { socket }) => mqtt.accept(stream, () => peerCertificateOf(socket)),
    amqp: (stream, { socket }) => amqp.accept(stream, () => peerCertificateOf(socket)),
    refused: (reason, detail) => edgeHub.refused(reason, detail),
  })
  opened.defer(async () => upgrades.close())
  const door = new FrontDoor(
    {
      mqtt: (socket) => mqtt.accept(socket, () => peerCertificateOf(socket)),
      amqp: (socket) => amqp.accept(socket, () => peerCertificateOf(socket)),
      http: httpEntry({ services: [edgeMethods(edgeHub)], report: log }),
      upgrade: (request, socket, head) => {
        if (upgrades.owns((request.url ?? '').split('?')[0]!)) upgrades.upgrade(request, socket, head)
        else refuseUpgrade(socket)
      },
    },
    certificate,
  )
  opened.defer(() => door.close())
  gatewayHost = `localhost:${await door.listen(options.port)}`

  await followDesired(edgeHub, edge.deviceId, '$edgeAgent', onAgent, log, ({ modules }) =>
    agent.setReportedBefore(isJsonObject(modules) ? Object.keys(modules) : []),
  )
  return { gatewayHost, edgeHub, stop: () => opened.close() }
}

/** Applies a system module's desired properties now and whenever they change. */
async function followDesired(
  edgeHub: EdgeHub,
  deviceId: string,
  moduleId: string,
  apply: (desired: JsonObject) => Promise<void>,
  log: EdgeRuntimeOptions['log'],
  onReported?: (reported: JsonObject) => void,
): Promise<void> {
  const upstream = edgeHub.upstreamOf({ deviceId, moduleId })
  const read = async (): Promise<{ desired: JsonObject; reported: JsonObject }> => {
    const { status, body } = await upstream.twinRequest((requestId) => `$iothub/twin/GET/?$rid=${requestId}`, Buffer.from(' '))
    const twin: unknown = JSON.parse(body)
    if (status !== 200 || !isJsonObject(twin) || !isJsonObject(twin.desired))
      throw new Error(`the twin of ${moduleId} could not be read: ${status} ${body}`)
    return { desired: twin.desired, reported: isJsonObject(twin.reported) ? twin.reported : {} }
  }
  const twin = await read()
  let { desired } = twin
  onReported?.(twin.reported)
  // A deployment that cannot be applied is reported, and must not keep the gateway from starting.
  await apply(desired).catch((error: unknown) => log('deployment-failed', { module: moduleId, error: String(error) }))
  await upstream.onDesired((_version, _text, patch) => {
    desired = mergePatch(desired, patch)
    apply(desired).catch((error: unknown) => log('deployment-failed', { module: moduleId, error: String(error) }))
  })
}
