/** Reads a stretch of a partition's log again, by the Event Hubs client: how state is rebuilt after a crash or a move. */
import { setTimeout as delay } from 'node:timers/promises'
import { RetryMode, earliestEventPosition } from '@azure/event-hubs'
import type { LoggedMessage } from './fold.ts'
import { openConsumer } from './log-consumer.ts'
import type { LogOptions } from './log-consumer.ts'
import { messageFromEvent } from './logged-message.ts'

/**
 * Hands over the messages after `afterSequence` and before `beforeSequence`, in order, in batches.
 * Ends early when the log no longer holds them.
 */
export type LogReader = (
  stretch: { partitionId: string; afterSequence: number; beforeSequence: number },
  onMessages: (messages: LoggedMessage[]) => Promise<void>,
) => Promise<void>

const idleMsMax = 15_000
const closeMsMax = 2_000
/** The client's own default waits 30 s before it tries a lost connection again. */
const retryOptions = { mode: RetryMode.Exponential, retryDelayInMs: 250, maxRetryDelayInMs: 5_000, maxRetries: 4 }

/** @param consumerGroup one of its own: the trigger's readers hold the others with an epoch */
export function eventHubLogReader(options: LogOptions): LogReader {
  return async ({ partitionId, afterSequence, beforeSequence }, onMessages) => {
    const client = openConsumer(options, retryOptions)
    try {
      await new Promise<void>((resolve, reject) => {
        let heardAt = Date.now()
        let isDone = false
        const subscription = client.subscribe(
          partitionId,
          {
            async processEvents(events) {
              // Closing takes a while, and what still comes then has no owner.
              if (isDone) return
              const wanted = events.filter(({ sequenceNumber }) => sequenceNumber > afterSequence && sequenceNumber < beforeSequence)
              if (wanted.length > 0) {
                heardAt = Date.now()
                await onMessages(wanted.map(messageFromEvent))
              }
              const last = events.at(-1)?.sequenceNumber
              if (last !== undefined && last >= beforeSequence - 1) finish()
              else if (Date.now() - heardAt > idleMsMax)
                finish(new Error(`the log of partition ${partitionId} fell silent before sequence number ${beforeSequence}`))
            },
            async processError(error) {
              finish(error)
            },
          },
          {
            startPosition: afterSequence < 0 ? earliestEventPosition : { sequenceNumber: afterSequence, isInclusive: false },
            maxBatchSize: 200,
            maxWaitTimeInSeconds: 1,
            skipParsingBodyAsJson: true,
          },
        )
        const finish = (error?: Error) => {
          isDone = true
          if (error) reject(error)
          else resolve()
          subscription.close().catch(() => {})
        }
      })
    } finally {
      // A connection that is already dead may keep its close waiting: the partition must not wait with it.
      await Promise.race([client.close().catch(() => {}), delay(closeMsMax, undefined, { ref: false })])
    }
  }
}
