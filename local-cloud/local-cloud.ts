/**
 * Azure on one computer: IoT Hub with its built-in Event Hubs endpoint, more event hubs, provisioning, Web PubSub and
 * storage. Everything that must survive a crash lies in the data folder; `connection.json` there says how to connect.
 */
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Connection } from '../contract/connection.ts'
import { writeWhole } from '../journal/durable-file.ts'
import { failure } from './amqp/amqp-node.ts'
import { AmqpServer } from './amqp/amqp-server.ts'
import { DeviceNodes } from './amqp/devices/device-nodes.ts'
import type { AmqpPolicy } from './amqp/claims.ts'
import { ClosingStack } from './closing-stack.ts'
import { CloudSettings } from './cloud-settings.ts'
import { readCloudState, writeCloudState } from './cloud-state.ts'
import type { CloudState } from './cloud-state.ts'
import { Doors } from './doors.ts'
import { EnrollmentGroup, stamped } from './dps/enrollments.ts'
import { ProvisioningRestApi } from './dps/provisioning-rest.ts'
import { ProvisioningNodes } from './dps/provisioning-nodes.ts'
import { ProvisioningService } from './dps/provisioning-service.ts'
import { EventHubNodes } from './event-hubs/event-hub-nodes.ts'
import type { EventHub } from './event-hubs/event-hub.ts'
import { Faults } from './faults.ts'
import { Inspector } from './inspector/inspector.ts'
import { RecentMessages } from './inspector/recent-messages.ts'
import { FileUploads } from './iot-hub/file-uploads.ts'
import { Authorisation } from './iot-hub/rest/authorisation.ts'
import { DeviceSide } from './iot-hub/rest/device-side.ts'
import { HubRestApi } from './iot-hub/rest/rest-api.ts'
import { ServiceNodes } from './iot-hub/service-nodes.ts'
import { CommitLog } from './log/commit-log.ts'
import { MqttServer } from './mqtt/mqtt-server.ts'
import { hubName, openHub } from './open-hub.ts'
import { MessageRouter } from './routing/message-router.ts'
import { serverCertificate } from './security/certificates.ts'
import type { ServerCertificate } from './security/certificates.ts'
import { storageAccount } from './storage/azurite.ts'
import { startStorage } from './storage/storage.ts'
import { WebPubSub } from './web-pubsub/web-pubsub.ts'

export type LocalCloudOptions = {
  readonly dataDirectory: string
  /** TLS port for MQTT, AMQP and HTTPS; 0 takes the one used before, or a free one. */
  readonly port: number
  /** Plain port for AMQP and HTTP; 0 as above. */
  readonly amqpPort: number
  /** Listens on 443, 5671 and 8883 too, so that `HostName=localhost` alone is enough. */
  readonly azurePorts?: boolean
  readonly settings?: CloudSettings
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
export const enrollmentGroup = 'millwright'
/** AMQP over TLS, where Azure has it. */
const amqpsPort = 5671
const cleanEveryMs = 5_000

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
  const saved = await readCloudState(directory)
  const { keys } = saved
  const settings = options.settings ?? CloudSettings.parse({})
  const { log: report } = options
  const nowMs = Date.now
  const faults = new Faults(nowMs)

  // Azurite takes the longest; the rest is opened meanwhile.
  const starting = startStorage(join(directory, 'storage'), saved.ports, faults, report)
  opened.defer(() =>
    starting.then(
      (running) => running.stop(),
      () => {},
    ),
  )
  const certificate = await serverCertificate(join(directory, 'certificates'))
  const eventHubs = await openEventHubs(directory, settings, saved, opened)

  // Routes need storage, which is still on its way, and all that follows needs ports; no connection is taken before they stand.
  let router: MessageRouter | undefined
  let doors: Doors | undefined
  const hubHost = () => (options.azurePorts ? 'localhost' : `localhost:${doors?.ports.tls ?? 0}`)
  const recent = new RecentMessages()
  const hubDirectory = join(directory, 'iot-hub')
  const parts = await openHub(
    {
      directory: hubDirectory,
      settings: settings.iotHub,
      keys,
      faults,
      nowMs,
      sink: (message) => {
        recent.add(message, nowMs())
        return router!.send(message)
      },
      isNotified: () => router?.isNotified ?? false,
      report,
    },
    opened,
  )
  const { hub, policies, cloudToDevice, feedback, fileNotifications } = parts
  const refused = (reason: string, detail: string) => hub.refused(reason, detail)

  const nodes = new EventHubNodes({ hubs: eventHubs, faults, refused })
  const builtIn = () => ({ host: 'localhost', port: options.azurePorts ? amqpsPort : (doors?.ports.tls ?? 0), name: builtInEventHub })
  const deviceNodes = new DeviceNodes(hub, nowMs)
  const serviceNodes = new ServiceNodes({ hub, cloudToDevice, feedback, fileNotifications, builtIn, nowMs })
  const amqpPolicies = new Map<string, AmqpPolicy>([
    ...policies.map((policy) => [policy.name, policy] as const),
    ['RootManageSharedAccessKey', { key: keys.RootManageSharedAccessKey, rights: ['listen', 'send', 'manage'] }],
  ])
  const provisioning = await opened.own(
    ProvisioningService.open(join(directory, 'dps'), { idScope: saved.idScope, hub, hubHost, nowMs, refused }),
  )
  const provisioningNodes = new ProvisioningNodes(provisioning)
  const amqp = new AmqpServer({
    directory: {
      find: (address, peer) =>
        deviceNodes.find(address, peer) ??
        serviceNodes.find(address, peer) ??
        provisioningNodes.find(address, peer) ??
        nodes.find(address, peer) ??
        failure.notFound(address),
      manage: (address, request, peer) => nodes.manage(address, request, peer),
    },
    claims: {
      policy: (name) => amqpPolicies.get(name),
      admit: (credentials) => hub.admit(credentials),
      refuseRegistration: (path, token) => provisioningNodes.refuse(path, token),
      nowMs,
    },
    refused,
  })
  opened.defer(async () => amqp.close())
  const mqtt = new MqttServer(hub)
  opened.defer(async () => mqtt.close())
  await ensureEnrollmentGroup(provisioning, keys.dpsGroup, settings, nowMs())
  const webPubSub = new WebPubSub({ key: keys.webPubSub, nowMs, refused })
  opened.defer(async () => webPubSub.close())
  const inspector = new Inspector({
    hub,
    eventHubs,
    nodes,
    router: () => router!,
    webPubSub,
    faults,
    recent,
    connections: () => ({ mqtt: mqtt.connectionCount, amqp: amqp.connectionCount }),
    token: keys.inspector,
  })

  const storage = await starting
  router = await opened.own(
    MessageRouter.open({
      directory: join(hubDirectory, 'routing'),
      hubName,
      settings: settings.iotHub,
      builtIn: eventHubs.get(builtInEventHub)!.log,
      eventHubs,
      storage: storage.connectionString,
      nowMs,
      report,
    }),
  )
  const uploads = new FileUploads({
    storage: storage.connectionString,
    container: settings.iotHub.fileUploadContainer,
    blobHost: () => `${hubHost()}/${storageAccount.name}`,
    notifications: fileNotifications,
    nowMs,
  })
  const authorisation = new Authorisation(hub, policies, nowMs)
  const devices = new DeviceSide({ hub, authorisation, cloudToDevice, uploads })
  const restApi = new HubRestApi({ ...parts, authorisation, devices, faults, nowMs })
  doors = new Doors({
    mqtt,
    amqp,
    provisioning,
    webPubSub,
    inspector,
    services: [
      new ProvisioningRestApi(provisioning, keys.provisioningserviceowner, nowMs),
      inspector,
      { owns: () => true, handle: (request) => restApi.handle(request) },
    ],
    certificate,
    blobPort: storage.ports.blob,
    refused,
    report,
  })
  opened.defer(() => doors.close())
  await doors.open({ tls: options.port, amqp: options.amqpPort }, saved.ports)
  if (options.azurePorts) await doors.openAzurePorts()
  const cleaning = setInterval(() => cloudToDevice.expire(), cleanEveryMs)
  opened.defer(async () => clearInterval(cleaning))

  writeCloudState(directory, { ...saved, ports: { ...doors.ports, ...storage.ports } })
  const connection = connectionOf(saved, { hubHost: hubHost(), amqpPort: doors.ports.amqp, storage, certificate })
  const connectionFile = join(directory, 'connection.json')
  writeWhole(connectionFile, `${JSON.stringify(connection, null, 2)}\n`)
  const failed = new Promise<string>((resolveFailed) =>
    storage.process.once('exit', (code, signal) => resolveFailed(`storage (Azurite) ended with ${signal ?? `code ${code}`}`)),
  )
  return { connection, connectionFile, failed, stop: () => opened.close() }
}

type Opened = {
  readonly hubHost: string
  readonly amqpPort: number
  readonly storage: Awaited<ReturnType<typeof startStorage>>
  readonly certificate: ServerCertificate
}

/** What clients need to know, each in the form its SDK takes. */
function connectionOf({ keys, idScope }: CloudState, { hubHost, amqpPort, storage, certificate }: Opened): Connection {
  const namespace = (policy: string, key: string) =>
    `Endpoint=sb://localhost:${amqpPort};SharedAccessKeyName=${policy};SharedAccessKey=${key};UseDevelopmentEmulator=true`
  return {
    iotHub: `HostName=${hubHost};SharedAccessKeyName=iothubowner;SharedAccessKey=${keys.iothubowner}`,
    eventHub: `${namespace('iothubowner', keys.iothubowner)};EntityPath=${builtInEventHub}`,
    eventHubNamespace: namespace('RootManageSharedAccessKey', keys.RootManageSharedAccessKey),
    storage: storage.connectionString,
    dps: { endpoint: hubHost, idScope, groupKey: keys.dpsGroup },
    dpsService: `HostName=${hubHost};SharedAccessKeyName=provisioningserviceowner;SharedAccessKey=${keys.provisioningserviceowner}`,
    webPubSub: `Endpoint=http://localhost:${amqpPort};AccessKey=${keys.webPubSub};Version=1.0;`,
    inspector: { url: `http://localhost:${amqpPort}/`, token: keys.inspector },
    ca: certificate.caFile,
  }
}

/** The built-in endpoint of the hub, and the event hubs that the settings name. */
async function openEventHubs(
  directory: string,
  { iotHub, eventHubs }: CloudSettings,
  { createdMs }: CloudState,
  opened: ClosingStack,
): Promise<Map<string, EventHub>> {
  const builtIn = { name: builtInEventHub, ...iotHub, consumerGroups: [...Object.values(consumerGroups), ...iotHub.consumerGroups] }
  const hubs = new Map<string, EventHub>()
  for (const { name, partitions, consumerGroups: groups, retention } of [builtIn, ...eventHubs]) {
    const folder = name === builtInEventHub ? join(directory, 'iot-hub', 'log') : join(directory, 'event-hubs', name.toLowerCase())
    const kept = { bytes: retention.megabytes * 1024 * 1024, ageMs: retention.hours * 3_600_000 }
    const log = await opened.own(CommitLog.open({ directory: folder, partitions, retention: kept, nowMs: Date.now }))
    hubs.set(name.toLowerCase(), {
      name,
      log,
      consumerGroups: new Set(['$default', ...groups.map((group) => group.toLowerCase())]),
      createdMs,
    })
  }
  return hubs
}

/** The group that simulated fleets and agents enrol in. */
async function ensureEnrollmentGroup(
  provisioning: ProvisioningService,
  primaryKey: string,
  { dps }: CloudSettings,
  nowMs: number,
): Promise<void> {
  const group = EnrollmentGroup.parse({
    enrollmentGroupId: enrollmentGroup,
    attestation: { type: 'symmetricKey', symmetricKey: { primaryKey } },
    capabilities: { iotEdge: dps.group.edge },
    initialTwin: { tags: dps.group.tags },
  })
  if (!provisioning.groups.get(enrollmentGroup)) await provisioning.groups.set(enrollmentGroup, stamped(group, undefined, nowMs))
}
