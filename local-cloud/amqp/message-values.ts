/** What a decoded AMQP message holds, whatever types its sender chose. */
import rhea from 'rhea'
import type { Message } from 'rhea'

/** Ids and properties as text: a UUID, bytes, a number or a time are written out. */
export function textOf(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined
  if (Buffer.isBuffer(value)) return value.length === 16 ? rhea.uuid_to_string(value) : value.toString()
  if (value instanceof Date) return value.toISOString()
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

/** An id as its sender wrote it: rhea reads a UUID as bytes, and would send them back as bytes. */
export function sameId(id: Message['correlation_id']): Message['correlation_id'] {
  return Buffer.isBuffer(id) && id.length === 16 ? (rhea.types.wrap_uuid(id) as never) : id
}

/** The body's bytes: data sections as they are, other values as text. */
export function bodyOf({ body }: Message): Buffer {
  const content: unknown = typeof body === 'object' && body !== null && 'content' in body ? body.content : body
  if (content === undefined || content === null) return Buffer.alloc(0)
  if (Buffer.isBuffer(content)) return content
  if (Array.isArray(content)) return Buffer.concat(content.filter((part) => Buffer.isBuffer(part)))
  return Buffer.from(typeof content === 'string' ? content : JSON.stringify(content))
}

/** A message as rhea hands it over: bytes, when its format is not that of a plain message. */
export function decoded(message: Message | Buffer): Message {
  return Buffer.isBuffer(message) ? (rhea.message.decode(message) as unknown as Message) : message
}
