/** All MQTT connections of one backend, and the one clock that watches them. */
import type { Duplex } from 'node:stream'
import type { DeviceBackend } from '../device-backend.ts'
import type { PeerCertificate } from '../security/peer-certificate.ts'
import { MqttServerConnection } from './mqtt-server-connection.ts'

const watchEveryMs = 1_000

export class MqttServer {
  readonly #backend: DeviceBackend
  readonly #connections = new Set<MqttServerConnection>()
  readonly #watch: NodeJS.Timeout

  constructor(backend: DeviceBackend) {
    this.#backend = backend
    this.#watch = setInterval(() => {
      const nowMs = Date.now()
      for (const connection of this.#connections) connection.checkAlive(nowMs)
    }, watchEveryMs)
  }

  /** @param certificate what the client showed in the TLS handshake, when it is asked for */
  accept(socket: Duplex, certificate: () => PeerCertificate | undefined): void {
    const connection = new MqttServerConnection(socket, this.#backend, {
      certificate,
      nowMs: Date.now(),
      onClosed: () => this.#connections.delete(connection),
    })
    this.#connections.add(connection)
  }

  get connectionCount(): number {
    return this.#connections.size
  }

  close(): void {
    clearInterval(this.#watch)
    for (const connection of this.#connections) connection.destroy()
  }
}
