/** An event hub: a name, a log, consumer groups. The IoT Hub's built-in endpoint is one of them. */
import { pathOf } from '../amqp/amqp-node.ts'
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
