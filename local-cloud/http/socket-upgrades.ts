/** MQTT and AMQP over WebSocket, on the addresses where Azure has them; behind the handshake they are what they were. */
import type http from 'node:http'
import type { Duplex } from 'node:stream'
import { createWebSocketStream, WebSocketServer } from 'ws'

export type SocketRoutes = {
  readonly mqtt: (stream: Duplex, handshake: http.IncomingMessage) => void
  readonly amqp: (stream: Duplex, handshake: http.IncomingMessage) => void
  readonly refused: (reason: string, detail: string) => void
}

/** A frame holds at most one packet of the largest kind, and some. */
const frameBytesMax = 2 * 1024 * 1024

export class SocketUpgrades {
  readonly #routes: SocketRoutes
  readonly #server = new WebSocketServer({
    noServer: true,
    maxPayload: frameBytesMax,
    handleProtocols: (offered) => ['mqtt', 'AMQPWSB10', 'amqp'].find((known) => offered.has(known)) ?? false,
  })

  constructor(routes: SocketRoutes) {
    this.#routes = routes
  }

  owns(path: string): boolean {
    return /^\/\$(iothub|servicebus)\/websocket\/?$/i.test(path)
  }

  upgrade(request: http.IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#server.handleUpgrade(request, socket, head, (opened) => {
      const stream = createWebSocketStream(opened)
      stream.on('error', (error: NodeJS.ErrnoException) => {
        // A client that merely goes away while something is on its way to it has done nothing wrong.
        if (error.code?.startsWith('WS_ERR')) this.#routes.refused('malformed-websocket', error.message)
        opened.terminate()
      })
      // [MQTT-6.0.0-3] a client that offers no known protocol is not one of these.
      if (opened.protocol === 'mqtt') this.#routes.mqtt(stream, request)
      else if (opened.protocol !== '') this.#routes.amqp(stream, request)
      else {
        this.#routes.refused('malformed-websocket', 'it offers no sub-protocol that is known')
        opened.close(1002, 'the sub-protocol is mqtt or AMQPWSB10')
      }
    })
  }

  close(): void {
    for (const client of this.#server.clients) client.terminate()
    this.#server.close()
  }
}
