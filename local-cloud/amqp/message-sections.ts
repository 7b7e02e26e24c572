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

/** A device-to-cloud message with its system properties under their IoT Hub names. */
export type DeviceMessage = {
  readonly deviceId: string
  readonly moduleId: string | undefined
  readonly authMethod: string
  readonly generationId: string
  readonly source: string
  readonly dataSchema: string | undefined
  readonly subject: string | undefined
  readonly messageId: string | undefined
  readonly correlationId: string | undefined
  readonly userId: string | undefined
  readonly contentType: string | undefined
  readonly contentEncoding: string | undefined
  readonly properties: readonly (readonly [string, string])[]
  readonly body: Uint8Array
}

export function encodeDeviceMessage(message: DeviceMessage, position: LogPosition): Buffer {
  const writer = new AmqpWriter()
  const annotations: (readonly [string, string | undefined])[] = [
    ['iothub-connection-device-id', message.deviceId],
    ['iothub-connection-module-id', message.moduleId],
    ['iothub-connection-auth-method', message.authMethod],
    ['iothub-connection-auth-generation-id', message.generationId],
    ['iothub-message-source', message.source],
    ['dt-dataschema', message.dataSchema],
    ['dt-subject', message.subject],
    ['x-opt-partition-key', message.deviceId],
  ]
  const present = annotations.filter((entry): entry is readonly [string, string] => entry[1] !== undefined)
  writer.descriptor(section.messageAnnotations).map(2 * (present.length + 4), () => {
    for (const [name, value] of present) writer.symbol(name).string(value)
    writer.symbol('iothub-enqueuedtime').timestamp(position.enqueuedMs)
    writePosition(writer, position)
  })
  writeProperties(writer, message)
  if (message.properties.length > 0) {
    writer.descriptor(section.applicationProperties).map(2 * message.properties.length, () => {
      for (const [name, value] of message.properties) writer.string(name).string(value)
    })
  }
  return writer.descriptor(section.data).binary(message.body).finish()
}

function writePosition(writer: AmqpWriter, { sequenceNumber, offset, enqueuedMs }: LogPosition): void {
  writer.symbol('x-opt-sequence-number').long(sequenceNumber)
  writer.symbol('x-opt-offset').string(String(offset))
  writer.symbol('x-opt-enqueued-time').timestamp(enqueuedMs)
}

function writeProperties(writer: AmqpWriter, { messageId, userId, correlationId, contentType, contentEncoding }: DeviceMessage): void {
  if ([messageId, userId, correlationId, contentType, contentEncoding].every((value) => value === undefined)) return
  const text = (value: string | undefined) => (value === undefined ? writer.null() : writer.string(value))
  const symbol = (value: string | undefined) => (value === undefined ? writer.null() : writer.symbol(value))
  writer.descriptor(section.properties).list(8, () => {
    text(messageId)
    if (userId === undefined) writer.null()
    else writer.binary(Buffer.from(userId))
    // to, subject, reply-to
    writer.null().null().null()
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
