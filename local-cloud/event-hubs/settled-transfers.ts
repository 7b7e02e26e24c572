/**
 * Sends messages that need no answer, many in one write. rhea makes an object, a tag and a frame of generic types for each
 * delivery and one write for each frame, which is most of the cost of a reader; here transfers are bytes from the start
 * (OASIS AMQP 1.0 part 2, §2.3 and §2.7.5), and rhea's counters are moved on as if it had sent them.
 */
import type { Sender } from 'rhea'

/** What rhea keeps of a session and does not show in its typings. */
type OutgoingWindow = {
  next_delivery_id: number
  next_pending_delivery: number
  next_transfer_id: number
  window: number
  readonly deliveries: { readonly size: number }
  transfer_window(): number
  on_flow(fields: unknown): void
}
type Inner = {
  credit: number
  delivery_count: number
  readonly local: { readonly handle: number }
  readonly session: { readonly outgoing: OutgoingWindow; readonly local: { readonly channel: number } }
  readonly connection: { readonly max_frame_size: number | undefined; readonly socket: { write(bytes: Buffer): boolean } }
}

/** How many deliveries credit and the peer's window allow now. */
export function sendableCount(link: Sender): number {
  const { credit, session } = link as unknown as Inner
  return Math.max(0, Math.min(credit, session.outgoing.transfer_window()))
}

/** Calls back whenever the peer has opened its window, which rhea tells nobody. @returns what ends that */
export function onWindow(link: Sender, listener: () => void): () => void {
  const { outgoing } = (link as unknown as Inner).session
  let listeners = windowListeners.get(outgoing)
  if (!listeners) {
    const told = (listeners = new Set())
    windowListeners.set(outgoing, told)
    const onFlow = outgoing.on_flow.bind(outgoing)
    outgoing.on_flow = (fields) => {
      onFlow(fields)
      for (const one of told) one()
    }
  }
  listeners.add(listener)
  return () => listeners.delete(listener)
}
const windowListeners = new WeakMap<OutgoingWindow, Set<() => void>>()

/** Frame header, performative with a tag of up to ten digits: never more. */
const overheadBytes = 54
const frameBytesDefault = 4_294_967_295

/**
 * Sends as many of the payloads as credit, the peer's window and its largest frame allow.
 * @returns how many were sent; 0 means that `link.send` must be used for the next one, or that the peer must speak first
 */
export function sendSettled(link: Sender, prefix: Buffer | undefined, payloads: readonly Buffer[]): number {
  const inner = link as unknown as Inner
  const { outgoing, local } = inner.session
  // Deliveries of which rhea waits for the outcome are found by their distance from one another.
  if (outgoing.deliveries.size > 0) return 0
  const count = Math.min(payloads.length, sendableCount(link))
  const frameBytesMax = inner.connection.max_frame_size ?? frameBytesDefault
  const prefixBytes = prefix?.length ?? 0
  let bytes = 0
  let sendable = 0
  while (sendable < count && overheadBytes + prefixBytes + payloads[sendable]!.length <= frameBytesMax)
    bytes += overheadBytes + prefixBytes + payloads[sendable++]!.length
  if (sendable === 0) return 0

  const buffer = Buffer.allocUnsafe(bytes)
  let at = 0
  for (let index = 0; index < sendable; index++) {
    const frameAt = at
    const id = outgoing.next_delivery_id++ >>> 0
    // size, data offset 2, type AMQP, channel
    at = buffer.writeUInt16BE(0x0200, at + 4)
    at = buffer.writeUInt16BE(local.channel, at)
    // transfer: described list of handle, delivery id, delivery tag, message format, settled, and nothing more
    buffer[at++] = 0x00
    buffer[at++] = 0x53
    buffer[at++] = 0x14
    buffer[at++] = 0xc0
    const sizeAt = at++
    buffer[at++] = 11
    at = writeUint(buffer, at, inner.local.handle)
    at = writeUint(buffer, at, id)
    const tag = String(id)
    buffer[at++] = 0xa0
    buffer[at++] = tag.length
    for (let digit = 0; digit < tag.length; digit++) buffer[at++] = tag.charCodeAt(digit)
    buffer[at++] = 0x43
    buffer[at++] = 0x41
    at = buffer.fill(0x40, at, at + 6) && at + 6
    buffer[sizeAt] = at - sizeAt - 1
    if (prefix) {
      buffer.set(prefix, at)
      at += prefixBytes
    }
    const payload = payloads[index]!
    buffer.set(payload, at)
    at += payload.length
    buffer.writeUInt32BE(at - frameAt, frameAt)
  }
  outgoing.next_pending_delivery = outgoing.next_delivery_id
  outgoing.next_transfer_id += sendable
  outgoing.window -= sendable
  inner.credit -= sendable
  inner.delivery_count += sendable
  inner.connection.socket.write(buffer.subarray(0, at))
  return sendable
}

/** A uint: 0x43 is zero, 0x52 one byte, 0x70 four. */
function writeUint(buffer: Buffer, at: number, value: number): number {
  if (value === 0) {
    buffer[at] = 0x43
    return at + 1
  }
  if (value < 256) {
    buffer[at] = 0x52
    buffer[at + 1] = value
    return at + 2
  }
  buffer[at] = 0x70
  return buffer.writeUInt32BE(value, at + 1)
}
