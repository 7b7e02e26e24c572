/** The newest messages, for people who look: a ring of fixed size, bodies cut short. */
import type { HubMessage } from '../iot-hub/hub-message.ts'

const kept = 50
const bodyBytesShown = 400

type Shown = {
  readonly timeMs: number
  readonly deviceId: string
  readonly source: string
  readonly bytes: number
  readonly properties: Readonly<Record<string, string>>
  readonly body: string
}

export class RecentMessages {
  readonly #ring: { readonly timeMs: number; readonly message: HubMessage; readonly head: Buffer }[] = []
  #next = 0

  add(message: HubMessage, timeMs: number): void {
    // A copy: the body may be a part of a buffer that is used again.
    const entry = { timeMs, message, head: Buffer.from(message.body.subarray(0, bodyBytesShown)) }
    this.#ring[this.#next++ % kept] = entry
  }

  /** Newest first. */
  list(): Shown[] {
    const start = this.#next
    const entries = Array.from({ length: Math.min(start, kept) }, (_, back) => this.#ring[(start - 1 - back) % kept]!)
    return entries.map(({ timeMs, message, head }) => ({
      timeMs,
      deviceId: message.deviceId,
      source: message.source,
      bytes: message.body.length,
      properties: message.routable().application,
      body: isText(head) ? head.toString() : head.toString('hex'),
    }))
  }
}

function isText(bytes: Buffer): boolean {
  return bytes.every((byte) => byte >= 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09)
}
