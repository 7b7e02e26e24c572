/** Where the log ends, by partition: how far behind the app is. One client a worker, kept while it works. */
import { RetryMode } from '@azure/event-hubs'
import type { EventHubConsumerClient } from '@azure/event-hubs'
import { openConsumer } from './log-consumer.ts'
import type { LogOptions } from './log-consumer.ts'

export type LogEnd = { readonly partitionId: string; readonly lastSequence: number; readonly lastEnqueuedMs: number | null }
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
