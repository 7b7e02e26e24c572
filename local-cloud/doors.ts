/** The two ports of the cloud and what stands behind them: MQTT, AMQP and HTTPS on the one with TLS, AMQP and HTTP on the plain one. */
import http from 'node:http'
import type { Duplex } from 'node:stream'
import type { AmqpServer } from './amqp/amqp-server.ts'
import type { CloudState } from './cloud-state.ts'
import { acceptProvisioning, isProvisioningUser } from './dps/provisioning-mqtt.ts'
import type { ProvisioningService } from './dps/provisioning-service.ts'
import { FrontDoor } from './front-door.ts'
import { httpEntry, refuseUpgrade } from './http/http-entry.ts'
import type { HttpService } from './http/http-entry.ts'
import { SocketUpgrades } from './http/socket-upgrades.ts'
import type { MqttServer } from './mqtt/mqtt-server.ts'
import { peekUsername } from './mqtt/peek-connect.ts'
import type { ServerCertificate } from './security/certificates.ts'
import { peerCertificateOf } from './security/peer-certificate.ts'
import { storageAccount } from './storage/azurite.ts'
import { passOn } from './storage/storage-gate.ts'
import type { WebPubSub } from './web-pubsub/web-pubsub.ts'

export type DoorsOptions = {
  readonly mqtt: MqttServer
  readonly amqp: AmqpServer
  readonly provisioning: ProvisioningService
  readonly webPubSub: WebPubSub
  readonly inspector: HttpService
  /** Behind TLS; the first that owns a request answers it. */
  readonly services: readonly HttpService[]
  readonly certificate: ServerCertificate
  /** Where Azurite keeps blobs: devices upload files over HTTPS, which it does not speak. */
  readonly blobPort: number
  readonly refused: (reason: string, detail: string) => void
  readonly report: (event: string, fields: Record<string, unknown>) => void
}

type Ports = Pick<CloudState['ports'], 'tls' | 'amqp'>

const azurePorts = [443, 5671, 8883] as const

export class Doors {
  readonly #options: DoorsOptions
  readonly #plain: FrontDoor
  readonly #secure: FrontDoor
  readonly #upgrades: SocketUpgrades
  readonly #blobs = new http.Agent({ keepAlive: true, maxSockets: 64 })
  /** 0 until they are open. */
  ports: Ports = { tls: 0, amqp: 0 }

  constructor(options: DoorsOptions) {
    this.#options = options
    const { amqp, webPubSub, inspector, services, certificate, refused, report } = options
    this.#upgrades = new SocketUpgrades({
      mqtt: (stream, { socket }) => this.#acceptMqtt(stream, socket),
      amqp: (stream, { socket }) => amqp.accept(stream, () => peerCertificateOf(socket)),
      refused,
    })
    const pubSub: HttpService = {
      owns: (_, url) => webPubSub.owns(url.pathname),
      handle: ({ method, url, headers, body }) => webPubSub.handle({ method, url, headers, body }),
    }
    const upgrade = (request: http.IncomingMessage, socket: Duplex, head: Buffer) => this.#upgrade(request, socket, head)
    const passThrough = (request: http.IncomingMessage, response: http.ServerResponse, url: URL) =>
      this.#passToBlobs(request, response, url)
    this.#plain = new FrontDoor(
      {
        mqtt: (socket) => void socket.destroy(),
        amqp: (socket) => amqp.accept(socket),
        http: httpEntry({ services: [pubSub, inspector], report }),
        upgrade,
        refused,
      },
      undefined,
    )
    this.#secure = new FrontDoor(
      {
        mqtt: (socket) => this.#acceptMqtt(socket, socket),
        amqp: (socket) => amqp.accept(socket, () => peerCertificateOf(socket)),
        http: httpEntry({ services: [pubSub, ...services], passThrough, report }),
        upgrade,
        refused,
      },
      certificate,
    )
  }

  /** Opens both. 0 takes the port that is remembered, or a free one. */
  async open(wanted: Ports, remembered: Ports): Promise<void> {
    const amqp = await listenAt(this.#plain, wanted.amqp, remembered.amqp)
    this.ports = { tls: 0, amqp }
    this.ports = { tls: await listenAt(this.#secure, wanted.tls, remembered.tls), amqp }
  }

  /** Listens where Azure does, too. */
  async openAzurePorts(): Promise<void> {
    for (const port of azurePorts) await this.#secure.listen(port)
  }

  async close(): Promise<void> {
    await Promise.all([this.#plain.close(), this.#secure.close()])
    this.#upgrades.close()
    this.#blobs.destroy()
  }

  /** A connection that speaks MQTT: what it calls itself tells a device that wants to be provisioned. */
  #acceptMqtt(stream: Duplex, tlsSocket: unknown): void {
    const { mqtt, provisioning } = this.#options
    peekUsername(stream, (username) => {
      const shown = () => peerCertificateOf(tlsSocket)
      if (isProvisioningUser(username)) acceptProvisioning(stream, provisioning, shown)
      else mqtt.accept(stream, shown)
    })
  }

  #upgrade(request: http.IncomingMessage, socket: Duplex, head: Buffer): void {
    const { webPubSub } = this.#options
    const address = `http://localhost${request.url ?? '/'}`
    const url = URL.canParse(address) ? new URL(address) : undefined
    if (url && webPubSub.owns(url.pathname)) webPubSub.upgrade(request, socket, head, url)
    else if (url && this.#upgrades.owns(url.pathname)) this.#upgrades.upgrade(request, socket, head)
    else refuseUpgrade(socket)
  }

  #passToBlobs(request: http.IncomingMessage, response: http.ServerResponse, url: URL): boolean {
    if (!url.pathname.startsWith(`/${storageAccount.name}/`)) return false
    passOn(request, response, this.#blobs, this.#options.blobPort)
    return true
  }
}

/** A port asked for must be had; one merely remembered gives way to a free one. */
async function listenAt(door: FrontDoor, wanted: number, remembered: number): Promise<number> {
  if (wanted !== 0 || remembered === 0) return door.listen(wanted)
  return door.listen(remembered).catch(() => door.listen(0))
}
