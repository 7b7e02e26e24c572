/** Where the log ends, by partition: how far behind the app is. One client a worker, kept while it works. */
import { RetryMode } from '@azure/event-hubs'
import type { EventHubConsumerClient } from '@azure/event-hubs'
import { openConsumer } from './log-consumer.ts'
import type { LogOptions } from './log-consumer.ts'

export type LogEnd = { readonly partitionId: string; readonly lastSequence: number; readonly lastEnqueuedMs: number | null }
/** The last message of a partition that has been applied. */
export type AppliedUpTo = { readonly sequence: number; /** When the hub took it. */ readonly arrivedMs: number }
export type LogEnds = { read(): Promise<LogEnd[]> }

const retryOptions = { mode: RetryMode.Exponential, retryDelayInMs: 250, maxRetryDelayInMs: 2_000, maxRetries: 1, timeoutInMs: 5_000 }

export function eventHubLogEnds(options: LogOptions): LogEnds {
  let client: EventHubConsumerClient | undefined
  return {
    async read() {
      client ??= openConsumer(options, retryOptions)
      const open = client
      try {
        const partitionIds = await open.getPartitionIds()
        return await Promise.all(
          partitionIds.map(async (partitionId) => {
            const { isEmpty, lastEnqueuedSequenceNumber, lastEnqueuedOnUtc } = await open.getPartitionProperties(partitionId)
            return {
              partitionId,
              lastSequence: isEmpty ? -1 : lastEnqueuedSequenceNumber,
              lastEnqueuedMs: isEmpty ? null : lastEnqueuedOnUtc.getTime(),
            }
          }),
        )
      } catch (error) {
        client = undefined
        await open.close().catch(() => {})
        throw error
      }
    },
  }
}

/**
 * Up to when messages have been applied, hub time: a partition that has nothing left does not count, one that has applied
 * nothing of what it has holds back everything.
 */
export function appliedUpToMs(ends: readonly LogEnd[], applied: ReadonlyMap<string, AppliedUpTo>): number {
  const upTo = ends.map(({ partitionId, lastSequence }) => {
    const { sequence, arrivedMs } = applied.get(partitionId) ?? { sequence: -1, arrivedMs: 0 }
    if (lastSequence <= sequence) return Number.POSITIVE_INFINITY
    return arrivedMs > 0 ? arrivedMs : Number.NEGATIVE_INFINITY
  })
  return Math.min(...upTo)
}
