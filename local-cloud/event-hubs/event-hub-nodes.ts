/** Event Hubs behind AMQP addresses: producers, consumers, and what `$management` says of hubs and partitions. */
import rhea from 'rhea'
import type { Delivery, Message } from 'rhea'
import { failure } from '../amqp/amqp-node.ts'
import type { AmqpFailure, AmqpNode, ManagementAnswer } from '../amqp/amqp-node.ts'
import type { AmqpPeer } from '../amqp/amqp-peer.ts'
import { batchedMessages, encodeProducedMessage, partitionKeyOf } from '../amqp/message-sections.ts'
import type { Faults } from '../faults.ts'
import { partitionOf } from '../log/partition-of.ts'
import { ConsumerLinks, partitionProperties } from './consumer-links.ts'
import { parseEntityPath } from './event-hub.ts'
import type { EventHub } from './event-hub.ts'

/** Message format of a batch: each data section is a message. */
const batchFormat = 0x80013700
const messageBytesMax = 1_048_576
const partitionKeyMax = 128

export class EventHubNodes {
  readonly #hubs: ReadonlyMap<string, EventHub>
  readonly #consumers = new ConsumerLinks()
  readonly #refused: (reason: string, detail: string) => void
  #roundRobin = 0

  /** @param hubs by their names in lower case */
  constructor(options: { hubs: ReadonlyMap<string, EventHub>; faults: Faults; refused: (reason: string, detail: string) => void }) {
    this.#hubs = options.hubs
    this.#refused = options.refused
    options.faults.handle('steal-epoch', ({ target }) => this.#consumers.steal(target))
  }

  readers(): ReturnType<ConsumerLinks['list']> {
    return this.#consumers.list()
  }

  /** @returns undefined when no hub has this name */
  find(address: string, { claims }: AmqpPeer): AmqpNode | AmqpFailure | undefined {
    const { hub: name, consumerGroup, partition } = parseEntityPath(address)
    const rights = consumerGroup === undefined ? ['send', 'service'] : ['listen', 'service']
    if (!claims.cover('event-hubs', address, ...rights))
      return failure.unauthorized(
        `Unauthorized access. '${consumerGroup === undefined ? 'Send' : 'Listen'}' claim(s) are required to perform this operation on '${name}'.`,
      )
    const hub = this.#hubs.get(name.toLowerCase())
    if (!hub) return undefined
    return {
      openToPeer: (link) => this.#consumers.attach(hub, link),
      openFromPeer: () => {
        if (partition !== undefined && !isPartition(hub, partition)) return failure.badPartition(partition, hub.log.partitionCount)
        return { messageBytesMax }
      },
      receive: (_, message, delivery) => this.#produce(hub, partition, delivery, message),
    }
  }

  #produce(hub: EventHub, partition: string | undefined, delivery: Delivery, message: Message | Buffer): void {
    const bytes = Buffer.isBuffer(message) ? message : Buffer.from(rhea.message.encode(message))
    const reject = (reason: AmqpFailure) => {
      this.#refused(reason.condition, reason.description)
      delivery.reject(reason)
    }
    if (bytes.length > messageBytesMax) return reject(failure.tooLarge(bytes.length, messageBytesMax))
    const isBatch = (delivery as { format?: number }).format === batchFormat
    let appended: Promise<unknown>
    try {
      const messages = isBatch ? batchedMessages(bytes) : [bytes]
      const partitionKey = partitionKeyOf(bytes)
      if (partitionKey !== undefined && partitionKey.length > partitionKeyMax)
        return reject({
          condition: 'com.microsoft:argument-out-of-range',
          description: `a partition key has at most ${partitionKeyMax} characters`,
        })
      const index =
        partition !== undefined
          ? Number(partition)
          : partitionKey !== undefined
            ? partitionOf(partitionKey, hub.log.partitionCount)
            : this.#roundRobin++ % hub.log.partitionCount
      appended = Promise.all(messages.map((one) => hub.log.append(index, (position) => encodeProducedMessage(one, position, partitionKey))))
    } catch (error) {
      return reject({ condition: 'amqp:decode-error', description: String(error) })
    }
    appended.then(
      () => delivery.accept(),
      (error: unknown) => reject({ condition: 'amqp:internal-error', description: String(error) }),
    )
  }

  manage(address: string, request: Readonly<Record<string, unknown>>, { claims }: AmqpPeer): ManagementAnswer {
    const { operation, name, type, partition } = request
    const hubName = String(name ?? address.replace(/\/?\$management$/, ''))
    if (!claims.cover('event-hubs', hubName, 'listen', 'send', 'service'))
      return { statusCode: 401, description: `Unauthorized access. Claims for '${hubName}' are required.` }
    const hub = this.#hubs.get(hubName.toLowerCase())
    if (!hub) return { statusCode: 404, description: `The messaging entity '${hubName}' could not be found.` }
    if (operation !== 'READ') return { statusCode: 400, description: `operation '${String(operation)}' is not known` }
    if (type === 'com.microsoft:eventhub') {
      const ids = Array.from({ length: hub.log.partitionCount }, (_, id) => String(id))
      return {
        statusCode: 200,
        description: 'OK',
        body: {
          name: hub.name,
          type: 'com.microsoft:eventhub',
          created_at: rhea.types.wrap_timestamp(hub.createdMs),
          partition_count: rhea.types.wrap_int(hub.log.partitionCount),
          partition_ids: rhea.types.wrap_array(ids, 0xa1, undefined),
          georeplication_factor: rhea.types.wrap_int(1),
        },
      }
    }
    if (!isPartition(hub, String(partition)))
      return { statusCode: 404, description: failure.badPartition(String(partition), hub.log.partitionCount).description }
    return { statusCode: 200, description: 'OK', body: partitionProperties(hub, Number(partition)) }
  }
}

function isPartition({ log }: EventHub, id: string): boolean {
  return /^\d+$/.test(id) && Number(id) < log.partitionCount
}
