/** One AMQP connection as the services behind it see it: what it may do, what it showed, and how it is ended. */
import type { Duplex } from 'node:stream'
import type { Connection } from 'rhea'
import type { PeerCertificate } from '../security/peer-certificate.ts'
import type { AmqpFailure } from './amqp-node.ts'
import type { Claims } from './claims.ts'

/** A peer that does not close its side is closed for it. */
const closeWithinMs = 1_000

export class AmqpPeer {
  readonly #connection: Connection
  readonly #socket: Duplex
  /** What the client showed in the TLS handshake. */
  readonly certificate: () => PeerCertificate | undefined
  claims: Claims
  #stall: NodeJS.Timeout | undefined

  constructor(connection: Connection, socket: Duplex, certificate: () => PeerCertificate | undefined, claims: Claims) {
    this.#connection = connection
    this.#socket = socket
    this.certificate = certificate
    this.claims = claims
  }

  onClosed(listener: () => void): void {
    this.#socket.once('close', () => {
      clearTimeout(this.#stall)
      listener()
    })
  }

  close({ condition, description }: AmqpFailure): void {
    if (this.#stall) this.#socket.uncork()
    this.#connection.close({ condition, description })
    setTimeout(() => this.#socket.destroy(), closeWithinMs).unref()
  }

  /** Neither reads nor writes for a time. */
  stall(ms: number): void {
    clearTimeout(this.#stall)
    this.#socket.pause()
    this.#socket.cork()
    this.#stall = setTimeout(() => {
      this.#stall = undefined
      this.#socket.uncork()
      this.#socket.resume()
    }, ms)
  }
}
