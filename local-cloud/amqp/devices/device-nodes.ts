/** Devices and modules over AMQP: telemetry, messages from the cloud, methods and twins, each on links of its own. */
import { nameOf } from '../../device-backend.ts'
import type { DeviceBackend, Identity } from '../../device-backend.ts'
import { failure } from '../amqp-node.ts'
import type { AmqpFailure, AmqpNode } from '../amqp-node.ts'
import type { AmqpPeer } from '../amqp-peer.ts'
import { parseDeviceAddress } from './device-address.ts'
import { DeviceSession, messageBytesMax } from './device-session.ts'

type Link = Parameters<AmqpNode['openToPeer']>[0] | Parameters<AmqpNode['openFromPeer']>[0]

export class DeviceNodes {
  readonly #backend: DeviceBackend
  readonly #nowMs: () => number
  readonly #sessions = new WeakMap<AmqpPeer, Map<string, DeviceSession>>()

  constructor(backend: DeviceBackend, nowMs: () => number) {
    this.#backend = backend
    this.#nowMs = nowMs
  }

  /** @returns undefined when the address is no device's */
  find(address: string, peer: AmqpPeer): AmqpNode | AmqpFailure | undefined {
    const target = parseDeviceAddress(address)
    if (!target) return undefined
    const { identity, endpoint } = target
    const known = this.#sessionsOf(peer).get(nameOf(identity))
    if (known && known.expiresMs <= this.#nowMs()) return failure.unauthorized(`the token of '${nameOf(identity)}' has expired`)
    const session = (first: Link) => this.#sessionsOf(peer).get(nameOf(identity)) ?? this.#open(peer, identity, first)
    return {
      openToPeer: (link) => {
        if (endpoint === 'messages' && identity.moduleId === undefined) return failure.notAllowed('messages/events is for sending')
        session(link).openToPeer(endpoint, link)
        return undefined
      },
      openFromPeer: (link) => {
        if (endpoint === 'device-bound') return failure.notAllowed('messages/devicebound is for receiving')
        session(link).openFromPeer(link)
        return { messageBytesMax }
      },
      receive: (link, message, delivery) => known?.receive(endpoint, link, message, delivery),
    }
  }

  #sessionsOf(peer: AmqpPeer): Map<string, DeviceSession> {
    const known = this.#sessions.get(peer)
    if (known) return known
    const sessions = new Map<string, DeviceSession>()
    this.#sessions.set(peer, sessions)
    peer.onClosed(() => {
      for (const session of [...sessions.values()]) session.disconnected()
    })
    return sessions
  }

  #open(peer: AmqpPeer, identity: Identity, first: Link): DeviceSession {
    const sessions = this.#sessionsOf(peer)
    const name = nameOf(identity)
    const session = new DeviceSession(
      { backend: this.#backend, peer, identity, isAlone: () => sessions.size <= 1, onEnded: () => sessions.delete(name) },
      first,
    )
    sessions.set(name, session)
    return session
  }
}
