/** A link on which we send: what has no credit yet waits, and every message comes to an end. */
import type { Delivery, EventContext, Message, Sender } from 'rhea'
import type { Settlement } from '../device-backend.ts'
import { localAttach, remoteAttach } from './link-attach.ts'
import { whenLinkEnds } from './link-end.ts'

type Waiting = { readonly resolve: (settlement: Settlement) => void; readonly reject: (error: Error) => void }
type Unsent = Waiting & { readonly message: Message; readonly tag: Buffer | undefined }

const settlements = { accepted: 'complete', rejected: 'reject', released: 'abandon', modified: 'abandon' } as const
/** SND-SETTLE-MODE (part 2, §2.8.2): whether the peer wants a say in every message, in none, or leaves it to us. */
export const settleMode = { unsettled: 0, settled: 1, mixed: 2 } as const

export function settleModeOf(link: Sender): number {
  return remoteAttach(link).snd_settle_mode ?? settleMode.mixed
}

export class OutgoingLink {
  readonly #link: Sender
  readonly #isSettled: boolean
  readonly #unsent: Unsent[] = []
  readonly #underWay = new Map<Delivery, Waiting>()
  #isClosed = false

  /** @param closed when the link has ended, whoever ended it */
  constructor(link: Sender, closed: () => void = () => {}) {
    this.#link = link
    this.#isSettled = settleModeOf(link) === settleMode.settled
    if (this.#isSettled) localAttach(link).snd_settle_mode = settleMode.settled
    for (const [outcome, settlement] of Object.entries(settlements))
      link.on(outcome, ({ delivery }: EventContext) => {
        this.#underWay.get(delivery!)?.resolve(settlement)
        this.#underWay.delete(delivery!)
      })
    link.on('sendable', () => this.#sendWaiting())
    whenLinkEnds(link, () => {
      this.#isClosed = true
      // rhea tells of the end before it tells of what was settled just before it.
      setImmediate(() => {
        for (const { reject } of [...this.#unsent.splice(0), ...this.#underWay.values()]) reject(new Error('the link was closed'))
        this.#underWay.clear()
      })
      closed()
    })
  }

  /** Whether a message would leave at once. */
  get canSend(): boolean {
    return !this.#isClosed && this.#unsent.length === 0 && this.#link.is_open() && this.#link.sendable()
  }

  /** Resolves with what the peer made of it. Rejects when the link ends first. */
  send(message: Message, tag?: Buffer): Promise<Settlement> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) return reject(new Error('the link is closed'))
      this.#unsent.push({ message, tag, resolve, reject })
      this.#sendWaiting()
    })
  }

  /** Answers a request, once the peer has been told that it was accepted: uamqp wants to hear of that first. */
  async answer(message: Message): Promise<Settlement> {
    await acceptanceWritten()
    return this.send(message)
  }

  #sendWaiting(): void {
    while (this.#unsent.length > 0 && this.#link.is_open() && this.#link.sendable()) {
      const { message, tag, ...waiting } = this.#unsent.shift()!
      const delivery = this.#link.send(message, tag)
      if (this.#isSettled) waiting.resolve('complete')
      else this.#underWay.set(delivery, waiting)
    }
  }
}

/** rhea writes what was accepted in one turn behind what was sent in it. */
export function acceptanceWritten(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
