/**
 * Azure on one computer: IoT Hub with its built-in Event Hubs endpoint, more event hubs, provisioning, Web PubSub and
 * storage. Everything that must survive a crash lies in the data folder; `connection.json` there says how to connect.
 */
import { X509Certificate } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import http from 'node:http'
import type { Duplex } from 'node:stream'
import { join, resolve } from 'node:path'
import type { Connection } from '../contract/connection.ts'
import type { AmqpPolicy } from './amqp/claims.ts'
import { failure } from './amqp/amqp-node.ts'
import { AmqpServer } from './amqp/amqp-server.ts'
import { ClosingStack } from './closing-stack.ts'
import { CloudSettings } from './cloud-settings.ts'
import { readCloudState, writeAtomically, writeCloudState } from './cloud-state.ts'
import type { CloudState } from './cloud-state.ts'
import { EnrollmentGroup, stamped } from './dps/enrollments.ts'
import { acceptProvisioning, isProvisioningUser } from './dps/provisioning-mqtt.ts'
import { ProvisioningRestApi } from './dps/provisioning-rest.ts'
import { ProvisioningService } from './dps/provisioning-service.ts'
import { EventHubNodes } from './event-hubs/event-hub-nodes.ts'
import type { EventHub } from './event-hubs/event-hub.ts'
import { Faults } from './faults.ts'
import { FrontDoor } from './front-door.ts'
import { httpEntry, refuseUpgrade } from './http/http-entry.ts'
import type { HttpService } from './http/http-entry.ts'
import { SocketUpgrades } from './http/socket-upgrades.ts'
import { Inspector } from './inspector/inspector.ts'
import { RecentMessages } from './inspector/recent-messages.ts'
import { CloudToDevice } from './iot-hub/cloud-to-device.ts'
import { ConfigurationService } from './iot-hub/configuration-service.ts'
import { FileUploads } from './iot-hub/file-uploads.ts'
import { IotHub } from './iot-hub/iot-hub.ts'
import { JobService } from './iot-hub/job-service.ts'
import { Registry } from './iot-hub/registry.ts'
import { Authorisation } from './iot-hub/rest/authorisation.ts'
import { DeviceSide } from './iot-hub/rest/device-side.ts'
import { Identities } from './iot-hub/rest/identities.ts'
import type { SharedAccessPolicy } from './iot-hub/rest/request.ts'
import { HubRestApi } from './iot-hub/rest/rest-api.ts'
import { Twins } from './iot-hub/rest/twins.ts'
import { ServiceNodes } from './iot-hub/service-nodes.ts'
import { ServiceQueue } from './iot-hub/service-queue.ts'
import { SessionStore } from './iot-hub/session-store.ts'
import { Throttles } from './iot-hub/throttles.ts'
import { CommitLog } from './log/commit-log.ts'
import { MqttServer } from './mqtt/mqtt-server.ts'
import { peekUsername } from './mqtt/peek-connect.ts'
import { MessageRouter } from './routing/message-router.ts'
import { serverCertificate } from './security/certificates.ts'
import { peerCertificateOf } from './security/peer-certificate.ts'
import { storageAccount } from './storage/azurite.ts'
import { passOn } from './storage/storage-gate.ts'
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
const azurePorts = [443, 5671, 8883] as const
const cleanEveryMs = 5_000

const rights: Readonly<Record<string, SharedAccessPolicy['rights']>> = {
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
  const saved = await readCloudState(directory)
  const settings = options.settings ?? CloudSettings.parse({})
  const { log: report } = options
  const nowMs = Date.now
  const faults = new Faults(nowMs)

  // Azurite takes the longest; the rest is opened meanwhile.
  const starting = startStorage(join(directory, 'storage'), saved.ports, faults)
  opened.defer(() =>
    starting.then(
      (running) => running.stop(),
      () => {},
    ),
  )
  const opening = async <T extends { close(): Promise<void> | void }>(part: Promise<T>): Promise<T> => {
    const it = await part
    opened.defer(async () => it.close())
    return it
  }

  const hubDirectory = join(directory, 'iot-hub')
  const certificate = await serverCertificate(join(directory, 'certificates'))
  const authorities = await Promise.all(
    settings.iotHub.certificateAuthorities.map(async (file) => new X509Certificate(await readFile(file))),
  )
  const registry = await opening(Registry.open(hubDirectory, nowMs))
  const eventHubs = await openEventHubs(directory, settings, saved, opening)
  const feedback = await opening(ServiceQueue.open(join(hubDirectory, 'feedback.ndjson'), nowMs))
  const fileNotifications = await opening(ServiceQueue.open(join(hubDirectory, 'file-notifications.ndjson'), nowMs))
  const cloudToDevice = await opening(
    CloudToDevice.open(hubDirectory, {
      nowMs,
      onFeedback: ({ deviceId, generationId, system }, statusCode) => {
        const originalMessageId = system.find(([name]) => name === 'mid')?.[1] ?? ''
        const record = {
          originalMessageId,
          deviceId,
          deviceGenerationId: generationId,
          statusCode,
          description: statusCode,
          enqueuedTimeUtc: new Date(nowMs()).toISOString(),
        }
        feedback.push(record).catch((error: unknown) => report('feedback-lost', { deviceId, error: String(error) }))
      },
    }),
  )
  const sessions = await opening(SessionStore.open(hubDirectory))
  const throttles = new Throttles(settings.iotHub.throttling ? settings.iotHub : undefined, nowMs)
  const recent = new RecentMessages()

  const policies = Object.entries(rights).map(([name, of]) => ({ name, key: saved.keys[name as keyof CloudState['keys']], rights: of }))
  // Routes need storage, which is still on its way; no connection is taken before they stand.
  let router: MessageRouter | undefined
  const logRefusal = (reason: string, detail: string) => report('refused', { reason, detail })
  const hub = new IotHub({
    name: 'localhost',
    registry,
    sessions,
    cloudToDevice,
    sink: (message) => {
      recent.add(message, nowMs())
      return router!.send(message)
    },
    isNotified: () => router?.isNotified ?? false,
    policyKey: (name) => policies.find((policy) => policy.name === name && policy.rights.includes('device'))?.key,
    authorities,
    throttles,
    faults,
    nowMs,
    logRefusal,
  })
  const refused = (reason: string, detail: string) => hub.refused(reason, detail)
  let hubHost = ''
  let amqpPort = 0

  const nodes = new EventHubNodes({ hubs: eventHubs, faults, refused })
  const serviceNodes = new ServiceNodes({
    hub,
    cloudToDevice,
    feedback,
    fileNotifications,
    builtIn: () => ({ host: 'localhost', port: Number(hubHost.split(':')[1] ?? 5671), name: builtInEventHub }),
    nowMs,
  })
  const amqpPolicies = new Map<string, AmqpPolicy>([
    ...policies.map((policy) => [policy.name, policy] as const),
    ['RootManageSharedAccessKey', { key: saved.keys.RootManageSharedAccessKey, rights: ['listen', 'send', 'manage'] }],
  ])
  const amqp = new AmqpServer({
    directory: {
      find: (address, claims) => serviceNodes.find(address, claims) ?? nodes.find(address, claims) ?? failure.notFound(address),
      manage: (address, request, claims) => nodes.manage(address, request, claims),
    },
    policy: (name) => amqpPolicies.get(name),
    nowMs,
    refused,
  })
  opened.defer(async () => amqp.close())
  const mqtt = new MqttServer(hub)
  opened.defer(async () => mqtt.close())
  const provisioning = await opening(
    ProvisioningService.open(join(directory, 'dps'), { idScope: saved.idScope, hub, hubHost: () => hubHost, nowMs, refused }),
  )
  await ensureEnrollmentGroup(provisioning, saved.keys.dpsGroup, settings, nowMs())
  const webPubSub = new WebPubSub({ key: saved.keys.webPubSub, nowMs, refused })
  opened.defer(async () => webPubSub.close())

  const twins = new Twins(hub, cloudToDevice, () => configurations.changed())
  const identities = new Identities({ hub, cloudToDevice, onChanged: () => configurations.changed() })
  const configurations = await opening(ConfigurationService.open(hubDirectory, { hub, twins, log: report }))
  const jobs = await opening(JobService.open(hubDirectory, { hub, twins, identities, nowMs, log: report }))
  const inspector = new Inspector({
    hub,
    eventHubs,
    nodes,
    router: () => router!,
    webPubSub,
    faults,
    recent,
    connections: () => ({ mqtt: mqtt.connectionCount, amqp: amqp.connectionCount }),
    token: saved.keys.inspector,
  })

  const storage = await starting
  router = await opening(
    MessageRouter.open({
      directory: join(hubDirectory, 'routing'),
      hubName: 'localhost',
      settings: settings.iotHub,
      builtIn: eventHubs.get(builtInEventHub)!.log,
      eventHubs,
      storage: storage.connectionString,
      nowMs,
      report,
    }),
  )

  const acceptMqtt = (stream: Duplex, tlsSocket: unknown) =>
    peekUsername(stream, (username) => {
      const shown = () => peerCertificateOf(tlsSocket)
      if (isProvisioningUser(username)) acceptProvisioning(stream, provisioning, shown)
      else mqtt.accept(stream, shown)
    })
  const upgrades = new SocketUpgrades({
    mqtt: (stream, { socket }) => acceptMqtt(stream, socket),
    amqp: (stream) => amqp.accept(stream),
    refused,
  })
  opened.defer(async () => upgrades.close())
  const upgrade = (request: http.IncomingMessage, socket: Duplex, head: Buffer) => {
    const address = `http://localhost${request.url ?? '/'}`
    const url = URL.canParse(address) ? new URL(address) : undefined
    if (url && webPubSub.owns(url.pathname)) webPubSub.upgrade(request, socket, head, url)
    else if (url && upgrades.owns(url.pathname)) upgrades.upgrade(request, socket, head)
    else refuseUpgrade(socket)
  }
  const pubSubService: HttpService = {
    owns: (_, url) => webPubSub.owns(url.pathname),
    handle: ({ method, url, headers, body }) => webPubSub.handle({ method, url, headers, body }),
  }
  const blobs = new http.Agent({ keepAlive: true, maxSockets: 64 })
  opened.defer(async () => blobs.destroy())

  const plain = new FrontDoor(
    {
      mqtt: (socket) => void socket.destroy(),
      amqp: (socket) => amqp.accept(socket),
      http: httpEntry({ services: [pubSubService, inspector], report }),
      upgrade,
      refused,
    },
    undefined,
  )
  opened.defer(() => plain.close())
  amqpPort = await listenAt(plain, options.amqpPort, saved.ports.amqp)

  let restApi: HubRestApi | undefined
  const hubService: HttpService = { owns: () => true, handle: (request) => restApi!.handle(request) }
  const secure = new FrontDoor(
    {
      mqtt: (socket) => acceptMqtt(socket, socket),
      amqp: (socket) => amqp.accept(socket),
      http: httpEntry({
        services: [pubSubService, new ProvisioningRestApi(provisioning, saved.keys.provisioningserviceowner, nowMs), inspector, hubService],
        passThrough(request, response, url) {
          // Devices upload files over HTTPS, which Azurite does not speak.
          if (!url.pathname.startsWith(`/${storageAccount.name}/`)) return false
          passOn(request, response, blobs, storage.ports.blob)
          return true
        },
        report,
      }),
      upgrade,
      refused,
    },
    certificate,
  )
  opened.defer(() => secure.close())
  const tlsPort = await listenAt(secure, options.port, saved.ports.tls)
  hubHost = options.azurePorts ? 'localhost' : `localhost:${tlsPort}`
  const uploads = new FileUploads({
    storage: storage.connectionString,
    container: settings.iotHub.fileUploadContainer,
    blobHost: `${hubHost}/${storageAccount.name}`,
    notifications: fileNotifications,
    nowMs,
  })
  const authorisation = new Authorisation(hub, policies, nowMs)
  const devices = new DeviceSide({ hub, authorisation, cloudToDevice, uploads })
  restApi = new HubRestApi({
    hub,
    authorisation,
    identities,
    twins,
    configurations,
    jobs,
    devices,
    cloudToDevice,
    feedback,
    throttles,
    faults,
    nowMs,
  })
  if (options.azurePorts) for (const port of azurePorts) await secure.listen(port)

  const cleaning = setInterval(() => cloudToDevice.expire(), cleanEveryMs)
  opened.defer(async () => clearInterval(cleaning))

  await writeCloudState(directory, { ...saved, ports: { tls: tlsPort, amqp: amqpPort, ...storage.ports } })
  const namespace = (policy: string, key: string) =>
    `Endpoint=sb://localhost:${amqpPort};SharedAccessKeyName=${policy};SharedAccessKey=${key};UseDevelopmentEmulator=true`
  const { keys } = saved
  const connection: Connection = {
    iotHub: `HostName=${hubHost};SharedAccessKeyName=iothubowner;SharedAccessKey=${keys.iothubowner}`,
    eventHub: `${namespace('iothubowner', keys.iothubowner)};EntityPath=${builtInEventHub}`,
    eventHubNamespace: namespace('RootManageSharedAccessKey', keys.RootManageSharedAccessKey),
    storage: storage.connectionString,
    dps: { endpoint: hubHost, idScope: saved.idScope, groupKey: keys.dpsGroup },
    dpsService: `HostName=${hubHost};SharedAccessKeyName=provisioningserviceowner;SharedAccessKey=${keys.provisioningserviceowner}`,
    webPubSub: `Endpoint=http://localhost:${amqpPort};AccessKey=${keys.webPubSub};Version=1.0;`,
    inspector: { url: `http://localhost:${amqpPort}/`, token: keys.inspector },
    ca: certificate.caFile,
  }
  const connectionFile = join(directory, 'connection.json')
  await writeAtomically(connectionFile, `${JSON.stringify(connection, null, 2)}\n`)
  const failed = new Promise<string>((resolveFailed) =>
    storage.process.once('exit', (code, signal) => resolveFailed(`storage (Azurite) ended with ${signal ?? `code ${code}`}`)),
  )
  return { connection, connectionFile, failed, stop: () => opened.close() }
}

/** The built-in endpoint of the hub, and the event hubs that the settings name. */
async function openEventHubs(
  directory: string,
  { iotHub, eventHubs }: CloudSettings,
  { createdMs }: CloudState,
  opening: (log: Promise<CommitLog>) => Promise<CommitLog>,
): Promise<Map<string, EventHub>> {
  const builtIn = { name: builtInEventHub, ...iotHub, consumerGroups: [...Object.values(consumerGroups), ...iotHub.consumerGroups] }
  const hubs = new Map<string, EventHub>()
  for (const { name, partitions, consumerGroups: groups, retention } of [builtIn, ...eventHubs]) {
    const folder = name === builtInEventHub ? join(directory, 'iot-hub', 'log') : join(directory, 'event-hubs', name.toLowerCase())
    const kept = { bytes: retention.megabytes * 1024 * 1024, ageMs: retention.hours * 3_600_000 }
    const log = await opening(CommitLog.open({ directory: folder, partitions, retention: kept, nowMs: Date.now }))
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

/** A port asked for must be had; one merely remembered gives way to a free one. */
async function listenAt(door: FrontDoor, wanted: number, remembered: number): Promise<number> {
  if (wanted !== 0 || remembered === 0) return door.listen(wanted)
  return door.listen(remembered).catch(() => door.listen(0))
}
