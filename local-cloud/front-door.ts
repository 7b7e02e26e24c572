/**
 * One TLS port for everything: the first bytes tell MQTT, AMQP and HTTP apart, as on Azure's separate ports 8883, 5671
 * and 443. A second, plain port speaks AMQP alone, for `UseDevelopmentEmulator=true`.
 */
import http from 'node:http'
import net from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import tls from 'node:tls'
import type { ServerCertificate } from './security/certificates.ts'

export type FrontDoorRoutes = {
  readonly mqtt: (socket: Socket) => void
  readonly amqp: (socket: Socket) => void
  readonly http: http.RequestListener
}

/** A connection that has not shown its protocol by then is closed. */
const sniffMs = 10_000

export class FrontDoor {
  readonly #server: net.Server
  readonly #http: http.Server
  readonly #sockets = new Set<Socket>()

  constructor(routes: FrontDoorRoutes, certificate: ServerCertificate | undefined) {
    this.#http = http.createServer(routes.http)
    const onConnection = (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
      socket.setNoDelay(true)
      socket.on('error', () => socket.destroy())
      this.#sniff(socket, routes)
    }
    this.#server = certificate
      ? tls.createServer({ key: certificate.key, cert: certificate.cert, minVersion: 'TLSv1.2' }, onConnection)
      : net.createServer(onConnection)
    // A handshake that fails is the client's matter; it must not end the process.
    this.#server.on('tlsClientError', () => {})
  }

  #sniff(socket: Socket, routes: FrontDoorRoutes): void {
    socket.setTimeout(sniffMs, () => socket.destroy())
    socket.once('data', (first: Buffer) => {
      socket.setTimeout(0)
      socket.removeAllListeners('timeout')
      socket.pause()
      socket.unshift(first)
      // 0x10 is an MQTT CONNECT; AMQP greets with its name.
      if (first[0] === 0x10) routes.mqtt(socket)
      else if (first.subarray(0, 4).toString('latin1') === 'AMQP') routes.amqp(socket)
      else this.#http.emit('connection', socket)
      socket.resume()
    })
  }

  /** Listens on loopback. @returns the port @throws when the port is taken */
  listen(port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, '127.0.0.1', () => {
        this.#server.off('error', reject)
        resolve((this.#server.address() as AddressInfo).port)
      })
    })
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }
}
