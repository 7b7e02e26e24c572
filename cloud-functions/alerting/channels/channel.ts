/** What a channel is told, and what it may answer. */
import type { Alert } from '../../../contract/alert.ts'
import type { ChannelName } from '../notification-policy.ts'
import type { Transition } from '../plan-messages.ts'

export type Notice = {
  /** The same on every retry: what the receiver knows it by. */
  readonly id: string
  readonly transition: Transition
  /** What belongs together at the receiver: the alert's id, or the flood's. */
  readonly thread: string
  /** Of a digest: the gravest one. */
  readonly alert: Alert
  readonly subject: string
  readonly text: string
  /** The alert's page; with a link that acknowledges, where the channel is for people. */
  readonly pageUrl: string
  readonly acknowledgeUrl: string | undefined
  readonly mailTo?: readonly string[] | undefined
  readonly nowMs: number
}

export type Receipt = { readonly workOrder?: string }

/** @throws PermanentDeliveryError when trying again cannot help, anything else when it can */
export type Channel = { readonly name: ChannelName; deliver(notice: Notice): Promise<Receipt>; close?(): void }

export class PermanentDeliveryError extends Error {
  override readonly name = 'PermanentDeliveryError'
}

/** @throws Error saying what the receiver answered; permanent for what will be answered again */
export function requireSuccess(receiver: string, status: number, text: string): void {
  if (status >= 200 && status < 300) return
  const message = `${receiver} answered ${status}${text === '' ? '' : `: ${text.slice(0, 200)}`}`
  // 408 and 429 ask to come back; other 4xx say the message itself, or its address, is not wanted.
  if (status >= 400 && status < 500 && status !== 408 && status !== 429) throw new PermanentDeliveryError(message)
  throw new Error(message)
}
