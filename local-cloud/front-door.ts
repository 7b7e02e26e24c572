/**
 * One TLS port for everything: the first bytes tell MQTT, AMQP and HTTP apart, as on Azure's separate ports 8883, 5671
 * and 443, all of which it can listen on. A second, plain port speaks AMQP, for `UseDevelopmentEmulator=true`, and HTTP.
 */
import http from 'node:http'
import net from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import { refuseUpgrade } from './http/http-entry.ts'
import type { ServerCertificate } from './security/certificates.ts'

export type FrontDoorRoutes = {
  readonly mqtt: (socket: Socket) => void
  readonly amqp: (socket: Socket) => void
  readonly http: http.RequestListener
  /** WebSocket handshakes; refused when absent. */
  readonly upgrade?: (request: http.IncomingMessage, socket: Duplex, head: Buffer) => void
  /** Told of connections that never became one of these. */
  readonly refused?: (reason: string, detail: string) => void
}

const limits = {
  /** A connection that has not shown its protocol by then is closed. */
  sniffMs: 10_000,
  /** And one that has not sent its request whole. */
  requestMs: 60_000,
} as const

export class FrontDoor {
  readonly #routes: FrontDoorRoutes
  readonly #certificate: ServerCertificate | undefined
  readonly #servers: net.Server[] = []
  readonly #http: http.Server
  readonly #sockets = new Set<Socket>()

  constructor(routes: FrontDoorRoutes, certificate: ServerCertificate | undefined) {
    this.#routes = routes
    this.#certificate = certificate
    this.#http = http.createServer({ requestTimeout: limits.requestMs, headersTimeout: limits.sniffMs }, routes.http)
    this.#http.on('upgrade', (request: http.IncomingMessage, socket: Duplex, head: Buffer) => {
      if (routes.upgrade) routes.upgrade(request, socket, head)
      else refuseUpgrade(socket)
    })
    this.#http.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      // A client that merely goes away has done nothing wrong.
      if (error.code !== 'ECONNRESET') routes.refused?.('malformed-http', error.message)
      socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
    })
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.setNoDelay(true)
    socket.on('error', () => socket.destroy())
    socket.setTimeout(limits.sniffMs, () => {
      this.#routes.refused?.('silent-connection', `nothing was said within ${limits.sniffMs / 1000} s`)
      socket.destroy()
    })
    socket.once('data', (first: Buffer) => {
      socket.setTimeout(0)
      socket.removeAllListeners('timeout')
      socket.pause()
      socket.unshift(first)
      // 0x10 is an MQTT CONNECT; AMQP greets with its name.
      if (first[0] === 0x10) this.#routes.mqtt(socket)
      else if (first.subarray(0, 4).toString('latin1') === 'AMQP') this.#routes.amqp(socket)
      else this.#http.emit('connection', socket)
      socket.resume()
    })
  }

  #newServer(): net.Server {
    if (!this.#certificate) return net.createServer((socket) => this.#accept(socket))
    const { key, cert } = this.#certificate
    // Certificates of clients are asked for; what they are worth, whoever needs one decides.
    const server = tls.createServer({ key, cert, minVersion: 'TLSv1.2', requestCert: true, rejectUnauthorized: false }, (socket) =>
      this.#accept(socket),
    )
    // A handshake that fails is the client's matter; it must not end the process.
    server.on('tlsClientError', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET') this.#routes.refused?.('tls-handshake', error.message)
    })
    return server
  }

  /** Listens on loopback, on one more port. @returns the port @throws when the port is taken */
  listen(port: number): Promise<number> {
    const server = this.#newServer()
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', () => {
        server.off('error', reject)
        this.#servers.push(server)
        resolve((server.address() as AddressInfo).port)
      })
    })
  }

  async close(): Promise<void> {
    const closed = this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())))
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(closed)
  }
}
