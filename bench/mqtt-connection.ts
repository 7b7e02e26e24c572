/** A bare MQTT connection for loads: over TLS when there is an authority, over TCP otherwise. Cheaper than a client library. */
import net from 'node:net'
import type { Socket } from 'node:net'
import tls from 'node:tls'
import mqtt from 'mqtt-packet'

export type MqttConnectionOptions = {
  readonly port: number
  readonly ca?: string | undefined
  readonly clientId: string
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** Called for every PUBACK. */
  readonly acknowledged?: () => void
}

/** Longer than any load. */
const keepaliveS = 1_100

/** Over TLS when there is an authority. @returns the socket, and the name of the event that says it is open */
export function openSocket(port: number, ca: string | undefined): { socket: Socket; opened: string } {
  const to = { port, host: '127.0.0.1' }
  return ca === undefined
    ? { socket: net.connect(to), opened: 'connect' }
    : { socket: tls.connect({ ...to, servername: 'localhost', ca }), opened: 'secureConnect' }
}

export class MqttConnection {
  readonly #socket: Socket
  #nextId = 1
  /** Rejects when it is refused, or closed before. */
  readonly connected: Promise<void>

  constructor({ port, ca, clientId, username, password, acknowledged }: MqttConnectionOptions) {
    const { socket, opened } = openSocket(port, ca)
    this.#socket = socket
    socket.setNoDelay(true)
    const parser = mqtt.parser({ protocolVersion: 4 })
    this.connected = new Promise((resolve, reject) => {
      socket.on('error', reject)
      socket.on('close', () => reject(new Error('closed')))
      parser.on('packet', (packet) => {
        if (packet.cmd === 'connack') return packet.returnCode === 0 ? resolve() : reject(new Error(`connack ${packet.returnCode}`))
        if (packet.cmd === 'puback') acknowledged?.()
      })
    })
    socket.on('data', (chunk: Buffer) => parser.parse(chunk))
    const credentials = username === undefined ? {} : { username, password: Buffer.from(password ?? '') }
    const common = { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, keepalive: keepaliveS } as const
    socket.once(opened, () => socket.write(mqtt.generate({ ...common, clientId, ...credentials })))
  }

  /** Messages at QoS 1, in one write. */
  publish(topic: string, ...payloads: readonly (string | Buffer)[]): void {
    const packets = payloads.map((payload) => {
      const messageId = this.#nextId
      this.#nextId = messageId === 65_535 ? 1 : messageId + 1
      return mqtt.generate({ cmd: 'publish', topic, payload, qos: 1, messageId, retain: false, dup: false })
    })
    this.#socket.write(packets.length === 1 ? packets[0]! : Buffer.concat(packets))
  }
}
