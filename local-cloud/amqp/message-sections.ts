/**
 * Messages in the log are AMQP messages as they will be delivered: encoded once when they arrive, sent as they are to
 * every reader. This file makes them from device telemetry, and from messages that AMQP producers send.
 */
import rhea from 'rhea'
import { AmqpWriter } from './amqp-writer.ts'

export const section = {
  deliveryAnnotations: 0x71,
  messageAnnotations: 0x72,
  properties: 0x73,
  applicationProperties: 0x74,
  data: 0x75,
} as const

/** Where a message stands in its partition, as the annotations say it. */
export type LogPosition = { readonly sequenceNumber: number; readonly offset: number; readonly enqueuedMs: number }

/** A device-to-cloud message without its body, its system properties under their IoT Hub names. */
export type DeviceMessage = {
  readonly deviceId: string
  readonly moduleId: string | undefined
  readonly authMethod: string
  readonly generationId: string
  readonly source: string
  readonly dataSchema: string | undefined
  readonly subject: string | undefined
  readonly interfaceId: string | undefined
  readonly creationTimeUtc: string | undefined
  readonly messageId: string | undefined
  readonly correlationId: string | undefined
  readonly userId: string | undefined
  readonly to: string | undefined
  readonly contentType: string | undefined
  readonly contentEncoding: string | undefined
  readonly properties: readonly (readonly [string, string])[]
}

/**
 * Everything of a message but its body, encoded once: a device sends thousands with the same properties. What differs from
 * message to message is written into its place.
 */
export class DeviceMessageTemplate {
  readonly fields: DeviceMessage
  readonly #annotations: Buffer
  readonly #entryCount: number
  readonly #properties: Buffer
  #layout: ReturnType<typeof layoutOf>

  constructor(fields: DeviceMessage) {
    this.fields = fields
    const named: (readonly [string, string | undefined])[] = [
      ['iothub-connection-device-id', fields.deviceId],
      ['iothub-connection-module-id', fields.moduleId],
      ['iothub-connection-auth-method', fields.authMethod],
      ['iothub-connection-auth-generation-id', fields.generationId],
      ['iothub-message-source', fields.source],
      ['iothub-interface-id', fields.interfaceId],
      ['iothub-creation-time-utc', fields.creationTimeUtc],
      ['dt-dataschema', fields.dataSchema],
      ['dt-subject', fields.subject],
      ['x-opt-partition-key', fields.deviceId],
    ]
    const present = named.filter((entry): entry is readonly [string, string] => entry[1] !== undefined)
    const annotations = new AmqpWriter()
    for (const [name, value] of present) annotations.symbol(name).string(value)
    this.#annotations = annotations.finish()
    this.#entryCount = 2 * (present.length + 4)
    const sections = new AmqpWriter()
    writeProperties(sections, fields)
    if (fields.properties.length > 0) {
      sections.descriptor(section.applicationProperties).map(2 * fields.properties.length, () => {
        for (const [name, value] of fields.properties) sections.string(name).string(value)
      })
    }
    this.#properties = sections.finish()
    this.#layout = layoutOf(this.#annotations, this.#entryCount, this.#properties, 1)
  }

  byteLength(body: Uint8Array, { offset }: LogPosition): number {
    const digits = String(offset).length
    if (digits !== this.#layout.offsetDigits) this.#layout = layoutOf(this.#annotations, this.#entryCount, this.#properties, digits)
    return this.#layout.head.length + (body.length < 256 ? 2 : 5) + body.length
  }

  /** Writes a message of `byteLength` bytes, asked for just before. */
  write(body: Uint8Array, position: LogPosition, target: Buffer, start: number): void {
    const { head, hubTimeAt, sequenceAt, offsetAt, timeAt, offsetDigits } = this.#layout
    target.set(head, start)
    writeInt64(target, position.enqueuedMs, start + hubTimeAt)
    writeInt64(target, position.sequenceNumber, start + sequenceAt)
    let { offset } = position
    for (let digit = offsetDigits - 1; digit >= 0; digit--) {
      target[start + offsetAt + digit] = 0x30 + (offset % 10)
      offset = Math.floor(offset / 10)
    }
    writeInt64(target, position.enqueuedMs, start + timeAt)
    let at = start + head.length
    const isShortBody = body.length < 256
    target[at++] = isShortBody ? 0xa0 : 0xb0
    if (isShortBody) target[at++] = body.length
    else at = target.writeUInt32BE(body.length, at)
    target.set(body, at)
  }
}

/** Everything before the body, with the places of what differs from message to message. */
function layoutOf(annotations: Buffer, entryCount: number, properties: Buffer, offsetDigits: number) {
  const { hubTime, sequence, offset, time } = positionNames
  const [eight, digits] = [Buffer.alloc(8), Buffer.alloc(offsetDigits)]
  const mapBytes = 4 + annotations.length + hubTime.length + sequence.length + offset.length + time.length + 3 * 9 + 2 + offsetDigits
  const start = Buffer.from([0x00, 0x53, section.messageAnnotations, 0xd1, 0, 0, 0, 0, 0, 0, 0, 0])
  start.writeUInt32BE(mapBytes, 4)
  start.writeUInt32BE(entryCount, 8)
  const places: number[] = []
  const parts: Buffer[] = [start, annotations]
  const place = (name: Buffer, constructor: readonly number[], value: Buffer) => {
    parts.push(name, Buffer.from(constructor))
    places.push(parts.reduce((sum, { length }) => sum + length, 0))
    parts.push(value)
  }
  // 0x83 is a timestamp, 0x81 a long, 0xa1 a string of up to 255 bytes.
  place(hubTime, [0x83], eight)
  place(sequence, [0x81], eight)
  place(offset, [0xa1, offsetDigits], digits)
  place(time, [0x83], eight)
  parts.push(properties, Buffer.from([0x00, 0x53, section.data]))
  const [hubTimeAt, sequenceAt, offsetAt, timeAt] = places as [number, number, number, number]
  return { head: Buffer.concat(parts), hubTimeAt, sequenceAt, offsetAt, timeAt, offsetDigits }
}

const positionNames = (() => {
  const [hubTime, sequence, offset, time] = ['iothub-enqueuedtime', 'x-opt-sequence-number', 'x-opt-offset', 'x-opt-enqueued-time'].map(
    (name) => new AmqpWriter().symbol(name).finish(),
  ) as [Buffer, Buffer, Buffer, Buffer]
  return { hubTime, sequence, offset, time }
})()

/** Eight bytes of a whole number from 0 to 2^53; quicker than by way of BigInt. */
function writeInt64(target: Buffer, value: number, at: number): void {
  const whole = Math.round(value)
  target.writeUInt32BE(Math.floor(whole / 2 ** 32), at)
  target.writeUInt32BE(whole % 2 ** 32, at + 4)
}

function writePosition(writer: AmqpWriter, { sequenceNumber, offset, enqueuedMs }: LogPosition): void {
  writer.symbol('x-opt-sequence-number').long(sequenceNumber)
  writer.symbol('x-opt-offset').string(String(offset))
  writer.symbol('x-opt-enqueued-time').timestamp(enqueuedMs)
}

function writeProperties(writer: AmqpWriter, { messageId, userId, to, correlationId, contentType, contentEncoding }: DeviceMessage): void {
  if ([messageId, userId, to, correlationId, contentType, contentEncoding].every((value) => value === undefined)) return
  const text = (value: string | undefined) => (value === undefined ? writer.null() : writer.string(value))
  const symbol = (value: string | undefined) => (value === undefined ? writer.null() : writer.symbol(value))
  writer.descriptor(section.properties).list(8, () => {
    text(messageId)
    if (userId === undefined) writer.null()
    else writer.binary(Buffer.from(userId))
    text(to)
    // subject, reply-to
    writer.null().null()
    text(correlationId)
    symbol(contentType)
    symbol(contentEncoding)
  })
}

/**
 * A producer's message, kept as it is but for its annotations: the hub's position replaces what the sender put there.
 * @throws RangeError when the bytes are no AMQP message
 */
export function encodeProducedMessage(message: Uint8Array, position: LogPosition, partitionKey: string | undefined): Buffer {
  const writer = new AmqpWriter()
  writer.descriptor(section.messageAnnotations).map(2 * (partitionKey === undefined ? 3 : 4), () => {
    writePosition(writer, position)
    if (partitionKey !== undefined) writer.symbol('x-opt-partition-key').string(partitionKey)
  })
  for (const { code, bytes } of splitSections(message)) {
    // Header, delivery annotations and message annotations stay at the hub.
    if (code >= section.properties) writer.raw(bytes)
  }
  return writer.finish()
}

/** The partition key a producer set, undefined without one. */
export function partitionKeyOf(message: Uint8Array): string | undefined {
  const annotations = splitSections(message).find(({ code }) => code === section.messageAnnotations)
  if (!annotations) return undefined
  const decoded: unknown = rhea.message.decode(Buffer.from(annotations.bytes)).message_annotations?.['x-opt-partition-key']
  return typeof decoded === 'string' ? decoded : undefined
}

/** The data sections of a batch (message format 0x80013700): each a message of its own. */
export function batchedMessages(batch: Uint8Array): Uint8Array[] {
  return splitSections(batch)
    .filter(({ code }) => code === section.data)
    .map(({ bytes }) => bytes.subarray(3 + binaryHeaderLength(bytes)))
}

function binaryHeaderLength(bytes: Uint8Array): number {
  if (bytes[3] === 0xa0) return 2
  if (bytes[3] === 0xb0) return 5
  throw new RangeError('a data section does not hold binary')
}

/** Cuts an encoded message into its sections without decoding their values. @throws RangeError */
export function splitSections(message: Uint8Array): { code: number; bytes: Uint8Array }[] {
  const sections: { code: number; bytes: Uint8Array }[] = []
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength)
  let position = 0
  while (position < message.length) {
    const start = position
    if (message[position] !== 0x00) throw new RangeError('a section must begin with a descriptor')
    const code = message[position + 1] === 0x53 ? message[position + 2] : message[position + 1] === 0x80 ? message[position + 9] : undefined
    if (code === undefined) throw new RangeError('a section has an unknown descriptor')
    position += message[position + 1] === 0x53 ? 3 : 10
    position += valueLength(view, position)
    if (position > message.length) throw new RangeError('the message ends in the middle of a section')
    sections.push({ code, bytes: message.subarray(start, position) })
  }
  return sections
}

/** Length of a primitive value with its constructor: the high nibble tells how it is stored (part 1, §1.2). */
function valueLength(view: DataView, position: number): number {
  const constructor = view.getUint8(position)
  switch (constructor >> 4) {
    case 0x4:
      return 1
    case 0x5:
      return 2
    case 0x6:
      return 3
    case 0x7:
      return 5
    case 0x8:
      return 9
    case 0x9:
      return 17
    case 0xa:
    case 0xc:
    case 0xe:
      return 2 + view.getUint8(position + 1)
    case 0xb:
    case 0xd:
    case 0xf:
      return 5 + view.getUint32(position + 1)
    default:
      throw new RangeError(`0x${constructor.toString(16)} is no AMQP constructor`)
  }
}
