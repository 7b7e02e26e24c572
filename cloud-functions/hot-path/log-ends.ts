/** Where the log ends, by partition, and how far it has been applied. One client a worker, kept while it works. */
import { RetryMode } from '@azure/event-hubs'
import type { EventHubConsumerClient } from '@azure/event-hubs'
import { openConsumer } from './log-consumer.ts'
import type { LogOptions } from './log-consumer.ts'

export type LogEnd = {
  readonly partitionId: string
  /** Of the oldest message that is kept. */
  readonly firstSequence: number
  readonly lastSequence: number
  readonly lastEnqueuedMs: number | null
}
/** The last message of a partition that has been applied. */
export type AppliedUpTo = {
  readonly sequence: number
  /** When the hub took it. */
  readonly arrivedMs: number
  /** When that was written down, by the clock of the store. */
  readonly writtenMs: number
}
/** Where the log is, by partition. */
export type LogPosition = { readonly ends: readonly LogEnd[]; readonly applied: ReadonlyMap<string, AppliedUpTo> }
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
            const { isEmpty, beginningSequenceNumber, lastEnqueuedSequenceNumber, lastEnqueuedOnUtc } =
              await open.getPartitionProperties(partitionId)
            return {
              partitionId,
              firstSequence: isEmpty ? 0 : beginningSequenceNumber,
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

const nothingApplied: AppliedUpTo = { sequence: -1, arrivedMs: 0, writtenMs: 0 }

/**
 * Up to when messages have been applied, hub time: a partition that has nothing left does not count, one that has applied
 * nothing of what it has holds back everything.
 */
export function appliedUpToMs({ ends, applied }: LogPosition): number {
  const upTo = ends.map(({ partitionId, lastSequence }) => {
    const { sequence, arrivedMs } = applied.get(partitionId) ?? nothingApplied
    if (lastSequence <= sequence) return Number.POSITIVE_INFINITY
    return arrivedMs > 0 ? arrivedMs : Number.NEGATIVE_INFINITY
  })
  return Math.min(...upTo)
}

/** Whoever works on a partition writes how far it is within this time, its retries included. */
const workedOnMsMax = 10_000
/** What waits for one partition must not wait for all of another's backlog. */
const stretchMessagesMax = 2_000

/** A partition, and up to where it may be applied now: before a sequence number. */
export type Stalled = { readonly partitionId: string; readonly beforeSequence: number }

/**
 * Partitions that hold what has not been applied, and that nobody works on: what was lost with an owner, or failed with
 * all its retries, and had no batch after it that would show the hole.
 */
export function stalledPartitions({ ends, applied }: LogPosition, nowMs: number): Stalled[] {
  return ends.flatMap(({ partitionId, firstSequence, lastSequence, lastEnqueuedMs }) => {
    const { sequence, writtenMs } = applied.get(partitionId) ?? nothingApplied
    if (lastSequence <= sequence || nowMs - Math.max(writtenMs, lastEnqueuedMs ?? 0) <= workedOnMsMax) return []
    const nextSequence = Math.max(sequence + 1, firstSequence)
    return [{ partitionId, beforeSequence: Math.min(nextSequence + stretchMessagesMax, lastSequence + 1) }]
  })
}
