/**
 * Messages on their way to the gateway, one lane an output, so that none waits for another output's. Within a lane the
 * order is kept: a message is sent when the one before it is acknowledged, again and again until it is.
 */
import { setTimeout as delay } from 'node:timers/promises'

export type OutgoingMessage = {
  readonly body: Uint8Array
  readonly contentType: string
  readonly properties?: Readonly<Record<string, string>>
}

export type OutboxOptions<Output extends string> = {
  /** Resolves when the gateway has acknowledged. */
  readonly send: (output: Output, message: OutgoingMessage) => Promise<void>
  readonly signal: AbortSignal
  readonly onFailure: (output: Output, error: unknown) => void
}

const retryMsMin = 250
const retryMsMax = 10_000

type Waiting = { readonly message: OutgoingMessage; readonly onSent: (() => void) | undefined }

export class Outbox<Output extends string> {
  readonly #options: OutboxOptions<Output>
  readonly #lanes = new Map<Output, Waiting[]>()
  readonly #idle: (() => void)[] = []
  readonly #waiting: (() => void)[] = []
  messages = 0
  bytes = 0

  constructor(options: OutboxOptions<Output>) {
    this.#options = options
  }

  put(output: Output, message: OutgoingMessage, onSent?: () => void): void {
    const lane = this.#lanes.get(output)
    if (lane) return void lane.push({ message, onSent })
    const started: Waiting[] = [{ message, onSent }]
    this.#lanes.set(output, started)
    void this.#drain(output, started)
  }

  waiting(output: Output): number {
    return this.#lanes.get(output)?.length ?? 0
  }

  async #drain(output: Output, lane: Waiting[]): Promise<void> {
    const { send, signal, onFailure } = this.#options
    let retryMs = retryMsMin
    while (lane.length > 0 && !signal.aborted) {
      const { message, onSent } = lane[0]!
      try {
        await send(output, message)
      } catch (error) {
        onFailure(output, error)
        await delay(retryMs, undefined, { signal }).catch(() => {})
        retryMs = Math.min(retryMsMax, retryMs * 2)
        continue
      }
      retryMs = retryMsMin
      lane.shift()
      this.messages++
      this.bytes += message.body.length
      onSent?.()
      for (const resolve of this.#waiting.splice(0)) resolve()
    }
    this.#lanes.delete(output)
    if (signal.aborted) for (const resolve of this.#waiting.splice(0)) resolve()
    if (this.#lanes.size === 0 || signal.aborted) for (const resolve of this.#idle.splice(0)) resolve()
  }

  /** Resolves when a message has been sent, or the outbox is stopped. */
  progress(): Promise<void> {
    if (this.#options.signal.aborted) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** Resolves when every lane is empty, or the outbox is stopped. */
  drained(): Promise<void> {
    if (this.#lanes.size === 0 || this.#options.signal.aborted) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }
}
