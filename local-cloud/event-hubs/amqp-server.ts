/**
 * Event Hubs over AMQP 1.0: `$cbs`, `$management`, producers and consumers, on connections that a listener hands over.
 * The protocol is rhea's; what the entities mean is here.
 */
import type { Duplex } from 'node:stream'
import rhea from 'rhea'
import type { Container, EventContext, Message, Receiver, Sender } from 'rhea'
import RheaConnection from 'rhea/lib/connection.js'
import { batchedMessages, encodeProducedMessage, partitionKeyOf } from '../amqp/message-sections.ts'
import { partitionOf } from '../iot-hub/iot-hub.ts'
import { Claims } from './claims.ts'
import { ConsumerLinks, partitionProperties } from './consumer-links.ts'
import { failure, parseEntityPath } from './event-hub.ts'
import type { AmqpFailure, EventHub } from './event-hub.ts'

/** Message format of a batch: each data section is a message. */
const batchFormat = 0x80013700
const messageBytesMax = 1_048_576
const producerCredit = 1_000

export type AmqpServerOptions = {
  readonly hubs: ReadonlyMap<string, EventHub>
  readonly keyOf: (policy: string) => string | undefined
  readonly nowMs: () => number
  readonly logRefusal: (reason: string, detail: string) => void
}

/** A link for answers of a service. Requests name it by its target's address, or by its own name. */
type Responder = { readonly sender: Sender; readonly service: string; readonly address: string }

export class AmqpServer {
  readonly #options: AmqpServerOptions
  readonly #container: Container
  readonly #consumers = new ConsumerLinks()
  readonly #claims = new WeakMap<object, Claims>()
  readonly #responders = new WeakMap<object, Responder[]>()
  #roundRobin = 0

  constructor(options: AmqpServerOptions) {
    this.#options = options
    this.#container = rhea.create_container({ id: 'millwright-local-cloud', autoaccept: false, credit_window: 0 })
    // Who a client is follows from the tokens it puts to $cbs, not from SASL.
    this.#container.sasl_server_mechanisms.enable_anonymous()
    const on = (event: string, handler: (context: EventContext) => void) => {
      this.#container.on(event, (context: EventContext) => {
        // rhea turns an exception in a handler into an error of the connection, without a word.
        try {
          handler(context)
        } catch (error) {
          this.#options.logRefusal('amqp-error', String(error))
          context.connection.close({ condition: 'amqp:internal-error', description: String(error) })
        }
      })
    }
    on('connection_open', ({ connection }) => this.#claims.set(connection, new Claims(options.keyOf, options.nowMs)))
    on('sender_open', (context) => this.#openToPeer(context.sender!))
    on('receiver_open', (context) => this.#openFromPeer(context.receiver!))
    on('message', (context) => this.#receive(context))
    for (const event of [
      'connection_error',
      'session_error',
      'sender_error',
      'receiver_error',
      'protocol_error',
      'error',
      'disconnected',
      'connection_close',
    ])
      on(event, () => {})
  }

  accept(socket: Duplex): void {
    // rhea listens by itself, or takes a socket by this internal class; a front door that serves several protocols on
    // one port needs the second.
    new RheaConnection({ max_frame_size: 65_536, idle_time_out: 240_000 }, this.#container).accept(socket)
  }

  #claimsOf(link: Sender | Receiver): Claims {
    return this.#claims.get(link.connection)!
  }

  #refuse(link: Sender | Receiver, reason: AmqpFailure): void {
    this.#options.logRefusal(reason.condition, reason.description)
    link.close(reason)
  }

  /** A link on which we send: answers of a service, or events of a partition. */
  #openToPeer(link: Sender): void {
    const address = String(link.source?.address ?? '')
    link.set_source(link.source)
    link.set_target(link.target)
    if (address === '$cbs' || address.endsWith('$management')) {
      const responders = this.#responders.get(link.connection) ?? []
      responders.push({ sender: link, service: address, address: String(link.target?.address || link.name) })
      this.#responders.set(link.connection, responders)
      return
    }
    const hub = this.#hubOf(link, address)
    if (!hub) return
    const refusal = this.#consumers.attach(hub, link)
    if (refusal) this.#refuse(link, refusal)
  }

  /** A link on which the peer sends: requests to a service, or events. */
  #openFromPeer(link: Receiver): void {
    const address = String(link.target?.address ?? '')
    link.set_source(link.source)
    link.set_target(link.target)
    if (address === '$cbs' || address.endsWith('$management')) {
      link.add_credit(producerCredit)
      return
    }
    const hub = this.#hubOf(link, address)
    if (!hub) return
    const { partition } = parseEntityPath(address)
    if (partition !== undefined && !(Number(partition) < hub.log.partitionCount))
      return this.#refuse(link, failure.badPartition(partition, hub.log.partitionCount))
      // Producers size their batches by this.
    ;(link as Receiver & { local: { attach: { max_message_size: number } } }).local.attach.max_message_size = messageBytesMax
    link.add_credit(producerCredit)
  }

  #hubOf(link: Sender | Receiver, address: string): EventHub | undefined {
    const { hub: name } = parseEntityPath(address)
    if (!this.#claimsOf(link).cover(address)) {
      this.#refuse(link, failure.unauthorized(`Unauthorized access. Claims for '${name}' are required.`))
      return undefined
    }
    const hub = this.#options.hubs.get(name)
    if (!hub) this.#refuse(link, failure.notFound(name))
    return hub
  }

  #receive({ receiver, message, delivery }: EventContext): void {
    const link = receiver!
    const address = String(link.target?.address ?? '')
    link.add_credit(1)
    if (address === '$cbs') {
      delivery!.accept()
      return this.#putToken(link, message!)
    }
    if (address.endsWith('$management')) {
      delivery!.accept()
      return this.#manage(link, address, message!)
    }
    const hub = this.#hubOf(link, address)
    if (!hub) return
    this.#produce(hub, parseEntityPath(address).partition, delivery!, message!)
  }

  #produce(hub: EventHub, partition: string | undefined, delivery: NonNullable<EventContext['delivery']>, message: Message | Buffer): void {
    const bytes = Buffer.isBuffer(message) ? message : Buffer.from(rhea.message.encode(message))
    if (bytes.length > messageBytesMax) {
      const tooLarge = failure.tooLarge(bytes.length, messageBytesMax)
      this.#options.logRefusal(tooLarge.condition, tooLarge.description)
      return delivery.reject(tooLarge)
    }
    const isBatch = (delivery as { format?: number }).format === batchFormat
    let appended: Promise<unknown>
    try {
      const messages = isBatch ? batchedMessages(bytes) : [bytes]
      const partitionKey = partitionKeyOf(bytes)
      const index =
        partition !== undefined
          ? Number(partition)
          : partitionKey !== undefined
            ? partitionOf(partitionKey, hub.log.partitionCount)
            : this.#roundRobin++ % hub.log.partitionCount
      appended = Promise.all(messages.map((one) => hub.log.append(index, (position) => encodeProducedMessage(one, position, partitionKey))))
    } catch (error) {
      return delivery.reject({ condition: 'amqp:decode-error', description: String(error) })
    }
    appended.then(
      () => delivery.accept(),
      (error: unknown) => delivery.reject({ condition: 'amqp:internal-error', description: String(error) }),
    )
  }

  #putToken(link: Receiver, message: Message): void {
    const properties = message.application_properties ?? {}
    const verdict = this.#claimsOf(link).put(String(properties.type ?? ''), String(message.body ?? ''))
    if (verdict.statusCode !== 202)
      this.#options.logRefusal('amqp:unauthorized-access', `${String(properties.name)}: ${verdict.description}`)
    this.#answer(link, message, verdict.statusCode, verdict.description, undefined)
  }

  #manage(link: Receiver, address: string, message: Message): void {
    const { operation, name, type, partition } = message.application_properties ?? {}
    const hubName = String(name ?? pathBefore(address))
    if (!this.#claimsOf(link).cover(hubName))
      return this.#answer(link, message, 401, `Unauthorized access. Claims for '${hubName}' are required.`, undefined)
    const hub = this.#options.hubs.get(hubName)
    if (!hub) return this.#answer(link, message, 404, `The messaging entity '${hubName}' could not be found.`, undefined)
    if (operation !== 'READ') return this.#answer(link, message, 400, `operation '${String(operation)}' is not known`, undefined)
    if (type === 'com.microsoft:eventhub') {
      return this.#answer(link, message, 200, 'OK', {
        name: hub.name,
        type: 'com.microsoft:eventhub',
        created_at: rhea.types.wrap_timestamp(hub.createdMs),
        partition_count: rhea.types.wrap_int(hub.log.partitionCount),
        partition_ids: rhea.types.wrap_array(
          Array.from({ length: hub.log.partitionCount }, (_, id) => String(id)),
          0xa1,
          undefined,
        ),
        georeplication_factor: rhea.types.wrap_int(1),
      })
    }
    const index = Number(partition)
    if (!/^\d+$/.test(String(partition)) || index >= hub.log.partitionCount)
      return this.#answer(link, message, 404, failure.badPartition(String(partition), hub.log.partitionCount).description, undefined)
    this.#answer(link, message, 200, 'OK', partitionProperties(hub, index))
  }

  #answer(link: Receiver, request: Message, statusCode: number, description: string, body: unknown): void {
    const responders = this.#responders.get(link.connection) ?? []
    const open = responders.filter(({ sender }) => sender.is_open())
    this.#responders.set(link.connection, open)
    const ofService = open.filter(({ service }) => service === link.target.address)
    const responder = ofService.find(({ address }) => address === request.reply_to) ?? ofService.at(-1)
    responder?.sender.send({
      ...(request.message_id === undefined ? {} : { correlation_id: request.message_id }),
      application_properties: {
        'status-code': rhea.types.wrap_int(statusCode),
        'status-description': description,
        // Older clients of the service read these names.
        statusCode: rhea.types.wrap_int(statusCode),
        statusDescription: description,
      },
      body,
    })
  }
}

function pathBefore(address: string): string {
  return address.replace(/\/?\$management$/, '')
}
