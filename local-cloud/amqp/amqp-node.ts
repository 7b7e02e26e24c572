/** What stands behind an AMQP address, and how it says no. */
import type { Delivery, Message, Receiver, Sender } from 'rhea'
import type { AmqpPeer } from './amqp-peer.ts'

/** An error as the services word it on a link or a disposition. */
export type AmqpFailure = { readonly condition: string; readonly description: string; readonly info?: Readonly<Record<string, unknown>> }

export type AmqpNode = {
  /** The peer wants to receive. @returns why it cannot be had */
  openToPeer(link: Sender): AmqpFailure | undefined
  /** The peer wants to send; `messageBytesMax` is told to it. */
  openFromPeer(link: Receiver): AmqpFailure | { readonly messageBytesMax: number }
  /** A message of the peer; bytes when its format is not that of a plain message. */
  receive(link: Receiver, message: Message | Buffer, delivery: Delivery): void
}

/** Finds nodes by address, and knows what `$management` answers. */
export type AmqpDirectory = {
  /** @returns the node, or why this peer may not have it */
  find(address: string, peer: AmqpPeer): AmqpNode | AmqpFailure
  manage(address: string, request: Readonly<Record<string, unknown>>, peer: AmqpPeer): ManagementAnswer
}

export type ManagementAnswer = { readonly statusCode: number; readonly description: string; readonly body?: unknown }

export function isFailure(found: object): found is AmqpFailure {
  return 'condition' in found
}

export const failure = {
  unauthorized: (description: string): AmqpFailure => ({ condition: 'amqp:unauthorized-access', description }),
  notFound: (entity: string): AmqpFailure => ({
    condition: 'amqp:not-found',
    description: `The messaging entity '${entity}' could not be found.`,
  }),
  notAllowed: (description: string): AmqpFailure => ({ condition: 'amqp:not-allowed', description }),
  badPartition: (partition: string, count: number): AmqpFailure => ({
    condition: 'com.microsoft:argument-out-of-range',
    description: `The specified partition is invalid for an EventHub partition sender or receiver. It should be between 0 and ${count - 1}. Parameter name: PartitionId, was '${partition}'`,
  }),
  stolen: (description: string): AmqpFailure => ({ condition: 'amqp:link:stolen', description }),
  tooManyLinks: (max: number): AmqpFailure => ({
    condition: 'amqp:resource-limit-exceeded',
    description: `a connection has at most ${max} links`,
  }),
  tooLarge: (bytes: number, max: number): AmqpFailure => ({
    condition: 'amqp:link:message-size-exceeded',
    description: `The received message (size:${bytes} bytes) exceeds the limit (${max} bytes) currently allowed on the link.`,
  }),
} as const

/** An address without scheme and host. */
export function pathOf(address: string): string {
  return address.replace(/^(sb|amqps?|wss?|https?):\/\/[^/]*/i, '').replace(/^\/+|\/+$/g, '')
}
