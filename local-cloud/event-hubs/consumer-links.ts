/**
 * Readers of partitions. Each has its own position and credit; readers with an owner level (epoch) are alone in their
 * consumer group, the highest and newest of them wins.
 */
import type { Duplex } from 'node:stream'
import rhea from 'rhea'
import type { Sender } from 'rhea'
import { AmqpWriter } from '../amqp/amqp-writer.ts'
import { section } from '../amqp/message-sections.ts'
import { failure } from '../amqp/amqp-node.ts'
import type { LogRecord } from '../log/commit-log.ts'
import type { AmqpFailure } from '../amqp/amqp-node.ts'
import { parseEntityPath } from './event-hub.ts'
import type { EventHub } from './event-hub.ts'
import { whenLinkEnds } from '../amqp/link-end.ts'
import { settleMode, settleModeOf } from '../amqp/outgoing-link.ts'
import { onWindow, sendableCount, sendSettled } from './settled-transfers.ts'

const limits = { readersWithoutEpoch: 5, readCount: 500, readBytes: 1024 * 1024, unreadBytes: 8 * 1024 * 1024 } as const

type Reader = { readonly link: Sender; readonly epoch: number | undefined; close(failure?: AmqpFailure): void }

export class ConsumerLinks {
  readonly #readers = new Map<string, Reader[]>()

  /** Takes an attached link over. @returns why it cannot be had */
  attach(hub: EventHub, link: Sender): AmqpFailure | undefined {
    const { consumerGroup = '$default', partition = '' } = parseEntityPath(link.source.address)
    if (!hub.consumerGroups.has(consumerGroup)) return failure.notFound(`${hub.name}/ConsumerGroups/${consumerGroup}`)
    const partitionIndex = Number(partition)
    if (!/^\d+$/.test(partition) || partitionIndex >= hub.log.partitionCount) return failure.badPartition(partition, hub.log.partitionCount)
    const start = startSequence(hub, partitionIndex, selectorOf(link))
    if (start === undefined)
      return { condition: 'amqp:invalid-field', description: `The selector '${selectorOf(link)}' is not understood.` }

    const name = `${hub.name}/${consumerGroup}/${partition}`
    const present = this.#readers.get(name) ?? []
    const epoch = epochOf(link)
    const highest = present.reduce<number | undefined>(
      (max, reader) => (reader.epoch === undefined ? max : Math.max(max ?? reader.epoch, reader.epoch)),
      undefined,
    )
    if (epoch === undefined && highest !== undefined)
      return failure.stolen(`Receiver without epoch cannot attach: a receiver with epoch '${highest}' exists.`)
    if (epoch !== undefined && highest !== undefined && highest > epoch) {
      return failure.stolen(
        `At least one receiver for the endpoint is created with epoch of '${highest}', and so a receiver with epoch '${epoch}' is not allowed to connect.`,
      )
    }
    if (epoch === undefined && present.length >= limits.readersWithoutEpoch) {
      return {
        condition: 'amqp:resource-limit-exceeded',
        description: `Exceeded the maximum number of allowed receivers per partition in a consumer group, which is ${limits.readersWithoutEpoch}.`,
      }
    }
    if (epoch !== undefined) {
      for (const reader of present)
        reader.close(
          failure.stolen(`New receiver with higher epoch '${epoch}' is created, hence the current receiver is getting disconnected.`),
        )
    }
    const reader = this.#read(hub, partitionIndex, link, start, epoch, () => this.#remove(name, reader))
    this.#readers.set(name, [...(epoch === undefined ? present : []), reader])
    return undefined
  }

  /** Ends readers as a newer one would; all of them, or those of `hub/consumergroup/partition`. @returns how many */
  steal(target: string | undefined): number {
    let count = 0
    for (const [name, readers] of [...this.#readers]) {
      if (target !== undefined && name.toLowerCase() !== target.toLowerCase()) continue
      for (const reader of readers) {
        reader.close(failure.stolen('fault injection: steal-epoch'))
        count++
      }
    }
    return count
  }

  list(): { name: string; epoch: number | undefined; credit: number }[] {
    return [...this.#readers].flatMap(([name, readers]) => readers.map(({ link, epoch }) => ({ name, epoch, credit: link.credit })))
  }

  #remove(name: string, reader: Reader): void {
    const rest = (this.#readers.get(name) ?? []).filter((other) => other !== reader)
    if (rest.length > 0) this.#readers.set(name, rest)
    else this.#readers.delete(name)
  }

  #read(hub: EventHub, partition: number, link: Sender, start: number, epoch: number | undefined, onClosed: () => void): Reader {
    const wantsMetrics = capabilitiesOf(link).includes('com.microsoft:enable-receiver-runtime-metric')
    let next = start
    let isPumping = false
    let isClosed = false
    const pump = async () => {
      if (isPumping || isClosed) return
      isPumping = true
      try {
        // What rhea has to say first, such as the answer to the attach, goes out in this turn.
        await nextTurn()
        while (!isClosed && link.is_open() && sendableCount(link) > 0) {
          const count = Math.min(sendableCount(link), limits.readCount)
          const records = await hub.log.read(partition, next, { count, bytes: limits.readBytes })
          if (records.length === 0 || isClosed) break
          const prefix = wantsMetrics ? runtimeMetrics(hub, partition) : undefined
          const sent = send(link, prefix, records)
          if (sent === 0) break
          next = records[sent - 1]!.sequenceNumber + 1
          // One turn for others; and for rhea, which takes credit off when it writes.
          await nextTurn()
        }
      } finally {
        isPumping = false
      }
    }
    const onPumpError = (error: unknown) => reader.close({ condition: 'amqp:internal-error', description: String(error) })
    const safePump = () => void pump().catch(onPumpError)
    const unsubscribe = hub.log.subscribe(partition, safePump)
    const { socket } = link.connection as unknown as { socket: Duplex }
    socket.on('drain', safePump)
    const closeWindow = onWindow(link, safePump)
    const release = () => {
      isClosed = true
      unsubscribe()
      socket.off('drain', safePump)
      closeWindow()
      onClosed()
    }
    const reader: Reader = {
      link,
      epoch,
      close(reason) {
        release()
        link.close(reason)
      },
    }
    link.on('sendable', safePump)
    whenLinkEnds(link, release)
    safePump()
    return reader
  }
}

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve))

/**
 * All of them settled by the sender, unless the reader insists: it keeps its position itself, a disposition each would only cost.
 * @returns how many were sent; the peer's next flow brings the others
 */
function send(link: Sender, prefix: Buffer | undefined, records: readonly LogRecord[]): number {
  if (isBackedUp(link)) return 0
  const isSettled = settleModeOf(link) !== settleMode.unsettled
  const payloads = records.map(({ payload }) => payload)
  const count = isSettled ? sendSettled(link, prefix, payloads) : 0
  if (count > 0 || !link.sendable()) return count
  // Too large for one frame, or among deliveries that wait for an answer: rhea knows how.
  const { payload } = records[0]!
  const delivery = link.send(prefix ? Buffer.concat([prefix, payload]) : payload, undefined, 0)
  if (isSettled) (delivery as { settled: boolean }).settled = true
  return 1
}

/** True while a reader has credit but does not read what is on its way. */
function isBackedUp(link: Sender): boolean {
  const { socket } = link.connection as unknown as { socket: Duplex }
  return socket.writableLength > limits.unreadBytes
}

type WithCredit = { readonly credit: number }
declare module 'rhea' {
  // The typings leave out the credit that rhea keeps on every link.
  interface Sender extends WithCredit {}
}

function capabilitiesOf(link: Sender): readonly string[] {
  const capabilities = link.desired_capabilities
  return capabilities === undefined ? [] : Array.isArray(capabilities) ? capabilities.map(String) : [String(capabilities)]
}

function epochOf(link: Sender): number | undefined {
  const epoch: unknown = link.properties?.['com.microsoft:epoch']
  return epoch === undefined || epoch === null ? undefined : Number(epoch)
}

function selectorOf(link: Sender): string {
  const filter: unknown = link.source.filter?.['apache.org:selector-filter:string']
  const value = typeof filter === 'object' && filter !== null && 'value' in filter ? filter.value : filter
  return value === undefined || value === null ? '' : String(value)
}

/** First sequence number a selector lets through; undefined when it is not one of the documented forms. */
function startSequence({ log }: EventHub, partition: number, selector: string): number | undefined {
  if (selector === '') return log.info(partition).beginSequence
  const match = /^amqp\.annotation\.x-opt-(offset|sequence-number|enqueued-time) (>=?) '?([^']*)'?$/.exec(selector.trim())
  if (!match) return undefined
  const [, kind, operator, value = ''] = match
  const inclusive = operator === '>='
  const { beginSequence, endSequence } = log.info(partition)
  if (kind === 'offset') {
    if (value === '-1') return beginSequence
    if (value === '@latest') return endSequence
    return log.sequenceAtOffset(partition, Number(value), { inclusive })
  }
  if (kind === 'sequence-number') return Number(value) + (inclusive ? 0 : 1)
  return log.sequenceAfterTime(partition, inclusive ? Number(value) - 1 : Number(value))
}

/** Delivery annotations that tell a reader how far behind it is. rhea would add a body of its own, so by hand. */
function runtimeMetrics({ log }: EventHub, partition: number): Buffer {
  const { endSequence, last } = log.info(partition)
  const writer = new AmqpWriter()
  writer.descriptor(section.deliveryAnnotations).map(8, () => {
    writer.symbol('last_enqueued_sequence_number').long(endSequence - 1)
    writer.symbol('last_enqueued_offset').string(String(last?.offset ?? -1))
    writer.symbol('last_enqueued_time_utc').timestamp(last?.enqueuedMs ?? 0)
    writer.symbol('runtime_info_retrieval_time_utc').timestamp(Date.now())
  })
  return writer.finish()
}

/** For `$management` answers. */
export function partitionProperties({ name, log }: EventHub, partition: number) {
  const { beginSequence, endSequence, last } = log.info(partition)
  return {
    name,
    type: 'com.microsoft:partition',
    partition: String(partition),
    begin_sequence_number: rhea.types.wrap_long(beginSequence),
    last_enqueued_sequence_number: rhea.types.wrap_long(endSequence - 1),
    last_enqueued_offset: String(last?.offset ?? -1),
    last_enqueued_time_utc: rhea.types.wrap_timestamp(last?.enqueuedMs ?? 0),
    is_partition_empty: last === undefined,
  }
}
