/** An event hub: a name, a log, consumer groups. The IoT Hub's built-in endpoint is one of them. */
import type { CommitLog } from '../log/commit-log.ts'

export type EventHub = {
  readonly name: string
  readonly log: CommitLog
  /** Lower case: the checkpoint store writes `$default`. */
  readonly consumerGroups: ReadonlySet<string>
  readonly createdMs: number
}

/** `hub`, `hub/Partitions/0`, `hub/ConsumerGroups/cg/Partitions/0`, with or without scheme and host. */
export function parseEntityPath(address: string): { hub: string; consumerGroup: string | undefined; partition: string | undefined } {
  const path = pathOf(address)
  const match = /^(.*?)(?:\/consumergroups\/([^/]+))?(?:\/partitions\/([^/]+))?$/i.exec(path)
  return { hub: match?.[1] ?? path, consumerGroup: match?.[2]?.toLowerCase(), partition: match?.[3] }
}

export function pathOf(address: string): string {
  return address.replace(/^(sb|amqps?|wss?|https?):\/\/[^/]*/i, '').replace(/^\/+|\/+$/g, '')
}

/** An error as Event Hubs words it on a link or a disposition. */
export type AmqpFailure = { readonly condition: string; readonly description: string }

export const failure = {
  unauthorized: (description: string): AmqpFailure => ({ condition: 'amqp:unauthorized-access', description }),
  notFound: (entity: string): AmqpFailure => ({
    condition: 'amqp:not-found',
    description: `The messaging entity '${entity}' could not be found.`,
  }),
  badPartition: (partition: string, count: number): AmqpFailure => ({
    condition: 'com.microsoft:argument-out-of-range',
    description: `The specified partition is invalid for an EventHub partition sender or receiver. It should be between 0 and ${count - 1}. Parameter name: PartitionId, was '${partition}'`,
  }),
  stolen: (description: string): AmqpFailure => ({ condition: 'amqp:link:stolen', description }),
  tooLarge: (bytes: number, max: number): AmqpFailure => ({
    condition: 'amqp:link:message-size-exceeded',
    description: `The received message (size:${bytes} bytes) exceeds the limit (${max} bytes) currently allowed on the link.`,
  }),
} as const
