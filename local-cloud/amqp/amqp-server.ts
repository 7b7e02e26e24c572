/**
 * AMQP 1.0 for the services behind it: connections that a listener hands over, `$cbs`, `$management`, and links to nodes.
 * The protocol is rhea's; what an address means is the directory's.
 */
import type { Duplex } from 'node:stream'
import rhea from 'rhea'
import type { Connection, Container, Delivery, EventContext, Message, Receiver, Sender } from 'rhea'
import RheaConnection from 'rhea/lib/connection.js'
import type { PeerCertificate } from '../security/peer-certificate.ts'
import { failure, isFailure } from './amqp-node.ts'
import type { AmqpDirectory, AmqpFailure, AmqpNode } from './amqp-node.ts'
import { AmqpPeer } from './amqp-peer.ts'
import { Claims } from './claims.ts'
import type { ClaimRules } from './claims.ts'
import { localAttach } from './link-attach.ts'
import { whenLinkEnds } from './link-end.ts'
import { sameId } from './message-values.ts'
import { acceptanceWritten } from './outgoing-link.ts'
import { PlainLogin, saslMechanisms } from './sasl.ts'
import { writeWholeLists } from './whole-lists.ts'

const limits = {
  /** Messages of a link that are not settled yet; one more may come when one of them is. */
  producerCredit: 250,
  frameBytes: 65_536,
  /** A frame that says it is longer is not one of a client that kept to `frameBytes`. */
  frameBytesMax: 4 * 1024 * 1024,
  /** Twice the largest message that any node takes: it says so itself when one is a little too large. */
  messageBytesMax: 2 * 1024 * 1024,
  idleMs: 240_000,
  /** Links of one connection, which may speak for a thousand devices. */
  linksMax: 8_000,
  /** The highest handle of a link in a session: as many as the protocol has. */
  handleMax: 0xffff_ffff,
  watchEveryMs: 1_000,
} as const

export type AmqpServerOptions = {
  readonly directory: AmqpDirectory
  readonly claims: ClaimRules
  readonly refused: (reason: string, detail: string) => void
}

/** A link for answers of a service. Requests name it by its target's address, or by its own name. */
type Responder = { readonly sender: Sender; readonly service: string; readonly address: string }
type Served = {
  readonly peer: AmqpPeer
  readonly responders: Set<Responder>
  /** Links to nodes, with their addresses. */
  readonly links: Map<Sender | Receiver, string>
  /** Of all kinds. */
  linkCount: number
}

export class AmqpServer {
  readonly #options: AmqpServerOptions
  readonly #container: Container
  readonly #served = new Map<Connection, Served>()
  readonly #watch: NodeJS.Timeout

  constructor(options: AmqpServerOptions) {
    this.#options = options
    this.#container = rhea.create_container({ id: 'millwright-local-cloud', autoaccept: false, credit_window: 0 })
    this.#container.sasl_server_mechanisms = saslMechanisms(
      () => new Claims(options.claims),
      (detail) => options.refused('amqp:unauthorized-access', detail),
    )
    const on = (event: string, handler: (context: EventContext) => void) => {
      this.#container.on(event, (context: EventContext) => {
        // rhea turns an exception in a handler into an error of the connection, without a word.
        try {
          handler(context)
        } catch (error) {
          this.#options.refused('amqp-error', String(error))
          context.connection.close({ condition: 'amqp:internal-error', description: String(error) })
        }
      })
    }
    on('connection_open', ({ connection }) => this.#opened(connection))
    // Some clients count the links they may open against this, and do not know its default.
    on('session_open', ({ session }) => {
      // As many listeners as it has links.
      session?.setMaxListeners(0)
      ;(session as unknown as { local: { begin: { handle_max: number } } }).local.begin.handle_max = limits.handleMax
    })
    on('sender_open', (context) => this.#openToPeer(context.sender!))
    on('receiver_open', (context) => this.#openFromPeer(context.receiver!))
    on('message', (context) => this.#receive(context))
    for (const event of ['connection_error', 'session_error', 'sender_error', 'receiver_error', 'disconnected', 'connection_close'])
      on(event, () => {})
    for (const event of ['protocol_error', 'error'])
      this.#container.on(event, (error: unknown) => this.#options.refused('malformed-amqp', error instanceof Error ? error.message : event))
    this.#watch = setInterval(() => this.#endExpired(), limits.watchEveryMs)
  }

  /** @param certificate what the client showed in the TLS handshake, when it is asked for */
  accept(socket: Duplex, certificate: () => PeerCertificate | undefined = () => undefined): void {
    // rhea listens by itself, or takes a socket by this internal class; a front door that serves several protocols on
    // one port needs the second.
    const connection = new RheaConnection({ max_frame_size: limits.frameBytes, idle_time_out: limits.idleMs }, this.#container)
    const input = connection.input.bind(connection)
    // rhea would collect a frame of any length that its header claims.
    connection.input = (bytes) => {
      input(bytes)
      if ((connection.frame_size ?? 0) <= limits.frameBytesMax) return
      this.#options.refused('malformed-amqp', `a frame that says it has ${connection.frame_size} bytes`)
      socket.destroy()
    }
    // The official clients still speak of a session they have just ended; the service does not mind.
    for (const name of ['on_flow', 'on_disposition', 'on_detach'] as const) {
      const handle = connection[name].bind(connection)
      connection[name] = (frame) => {
        if (connection.remote_channel_map[frame.channel]) handle(frame)
      }
    }
    const accepted = connection as unknown as Connection
    const peer = new AmqpPeer(accepted, socket, certificate, new Claims(this.#options.claims))
    this.#boundMessages(connection, peer)
    writeWholeLists(connection)
    accepted.setMaxListeners(0)
    this.#served.set(accepted, { peer, responders: new Set(), links: new Map(), linkCount: 0 })
    peer.onClosed(() => this.#served.delete(accepted))
    connection.accept(socket)
  }

  /** rhea would collect the frames of a message for as long as more of them come. */
  #boundMessages(connection: RheaConnection, peer: AmqpPeer): void {
    const take = connection.on_transfer.bind(connection)
    const collected = new Map<string, number>()
    let isOver = false
    connection.on_transfer = (frame) => {
      const { handle, more } = frame.performative
      const link = `${frame.channel}/${handle}`
      const bytes = (collected.get(link) ?? 0) + (frame.payload?.length ?? 0)
      if (bytes <= limits.messageBytesMax && !isOver) {
        if (more) collected.set(link, bytes)
        else collected.delete(link)
        return take(frame)
      }
      if (isOver) return
      isOver = true
      const tooLarge = failure.tooLarge(bytes, limits.messageBytesMax)
      this.#options.refused('malformed-amqp', tooLarge.description)
      peer.close(tooLarge)
    }
  }

  get connectionCount(): number {
    return this.#served.size
  }

  /** Who logged in by SASL has earned something already. */
  #opened(connection: Connection): void {
    const mechanism = (connection as unknown as InstanceType<typeof RheaConnection>).sasl_transport?.selected?.mechanism
    if (mechanism instanceof PlainLogin) this.#servedOn(connection).peer.claims = mechanism.claims
  }

  /** @throws Error for a connection that is gone: rhea may still have a frame of it */
  #servedOn(connection: Connection): Served {
    const served = this.#served.get(connection)
    if (!served) throw new Error('the connection is closed')
    return served
  }

  #refuse(link: Sender | Receiver, { condition, description, info }: AmqpFailure): void {
    this.#options.refused(condition, description)
    link.close({ condition, description, ...(info ? { info: rhea.types.wrap_symbolic_map({ ...info }) } : {}) })
  }

  #find(link: Sender | Receiver, address: string): AmqpNode | undefined {
    const found = this.#options.directory.find(address, this.#servedOn(link.connection).peer)
    if (!isFailure(found)) return found
    this.#refuse(link, found)
    return undefined
  }

  /** A link on which we send: answers of a service, or what a node has to say. */
  #openToPeer(link: Sender): void {
    const address = String(link.source?.address ?? '')
    const served = this.#admit(link)
    if (!served) return
    if (isService(address)) {
      const responder = { sender: link, service: address, address: String(link.target?.address || link.name) }
      served.responders.add(responder)
      whenLinkEnds(link, () => served.responders.delete(responder))
      return
    }
    const node = this.#find(link, address)
    if (!node) return
    const refusal = node.openToPeer(link)
    if (refusal) return this.#refuse(link, refusal)
    follow(served, link, address)
  }

  /** A link on which the peer sends: requests to a service, or messages to a node. */
  #openFromPeer(link: Receiver): void {
    const address = String(link.target?.address ?? '')
    const served = this.#admit(link)
    if (!served) return
    if (!isService(address)) {
      const node = this.#find(link, address)
      if (!node) return
      const opened = node.openFromPeer(link)
      if (isFailure(opened)) return this.#refuse(link, opened)
      // Producers size their batches by this.
      localAttach(link).max_message_size = opened.messageBytesMax
      follow(served, link, address)
    }
    link.add_credit(limits.producerCredit)
  }

  /** Answers the attach of a link; refuses one too many. */
  #admit(link: Sender | Receiver): Served | undefined {
    const served = this.#servedOn(link.connection)
    link.set_source(link.source)
    link.set_target(link.target)
    // There is nothing more to say of it: some clients wait for that.
    localAttach(link).properties = {}
    if (served.linkCount >= limits.linksMax) {
      this.#refuse(link, failure.tooManyLinks(limits.linksMax))
      return undefined
    }
    served.linkCount++
    whenLinkEnds(link, () => served.linkCount--)
    return served
  }

  #receive({ receiver, message, delivery }: EventContext): void {
    const link = receiver!
    const address = String(link.target?.address ?? '')
    returnCredit(link, delivery!)
    if (isService(address)) {
      delivery!.accept()
      const answered = address === '$cbs' ? this.#putToken(link, message!) : this.#manage(link, address, message!)
      answered.catch((error: unknown) => this.#options.refused('amqp-error', String(error)))
      return
    }
    this.#find(link, address)?.receive(link, message!, delivery!)
  }

  async #putToken(link: Receiver, message: Message): Promise<void> {
    const properties = message.application_properties ?? {}
    const { claims } = this.#servedOn(link.connection).peer
    const verdict = await claims.put(String(properties.type ?? ''), String(message.body ?? ''))
    // The clients try a refused token again without a word: without this line a wrong key looks like a hang.
    if (verdict.statusCode === 401) this.#options.refused('amqp:unauthorized-access', `${String(properties.name)}: ${verdict.description}`)
    await this.#answer(link, message, verdict)
  }

  async #manage(link: Receiver, address: string, message: Message): Promise<void> {
    const { peer } = this.#servedOn(link.connection)
    await this.#answer(link, message, this.#options.directory.manage(address, message.application_properties ?? {}, peer))
  }

  async #answer(link: Receiver, request: Message, answer: { statusCode: number; description: string; body?: unknown }): Promise<void> {
    await acceptanceWritten()
    const served = this.#served.get(link.connection)
    if (!served) return
    const ofService = [...served.responders].filter(({ sender, service }) => sender.is_open() && service === link.target.address)
    const responder = ofService.find(({ address }) => address === request.reply_to) ?? ofService.at(-1)
    const { statusCode, description, body } = answer
    responder?.sender.send({
      ...(request.message_id === undefined ? {} : { correlation_id: sameId(request.message_id)! }),
      application_properties: {
        'status-code': rhea.types.wrap_int(statusCode),
        'status-description': description,
        // Older clients of the service read these names.
        statusCode: rhea.types.wrap_int(statusCode),
        statusDescription: description,
        ...(statusCode === 401 ? { 'error-condition': rhea.types.wrap_symbol('amqp:unauthorized-access') } : {}),
      },
      body,
    })
  }

  /** A token that ran out ends the links that live by it. */
  #endExpired(): void {
    for (const { peer, links } of this.#served.values()) {
      for (const [link, address] of links) {
        const found = this.#options.directory.find(address, peer)
        if (!isFailure(found) || !link.is_open()) continue
        links.delete(link)
        this.#refuse(link, failure.unauthorized(`ExpiredToken: The token is expired. ${found.description}`))
      }
    }
  }

  close(): void {
    clearInterval(this.#watch)
  }
}

function isService(address: string): boolean {
  return address === '$cbs' || address.endsWith('$management')
}

/** Lets one more message come when this one is settled. */
function returnCredit(link: Receiver, delivery: Delivery): void {
  const update = delivery.update.bind(delivery)
  delivery.update = (settled, state) => {
    update(settled, state)
    if (link.is_open()) link.add_credit(1)
  }
}

/** A link to a node lives by the token that it was opened with. */
function follow({ links }: Served, link: Sender | Receiver, address: string): void {
  links.set(link, address)
  whenLinkEnds(link, () => links.delete(link))
}
