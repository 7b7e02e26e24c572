import { EventHubConsumerClient } from '@azure/event-hubs'
import type { RetryOptions } from '@azure/event-hubs'
import { errorText } from '../../contract/error-text.ts'
import type { EventHubsConnection } from '../azure-connections.ts'

export type LogOptions = { readonly connection: EventHubsConnection; readonly eventHubName: string; readonly consumerGroup: string }

/**
 * Why the log cannot be read as the app reads it; undefined when it can. A consumer group that is not there is the usual reason.
 * @param withinMs a group that is there answers within this time
 */
export async function whyNotReadable(options: LogOptions, withinMs: number): Promise<string | undefined> {
  const client = openConsumer(options, { maxRetries: 0, timeoutInMs: withinMs })
  try {
    const [partitionId = '0'] = await client.getPartitionIds()
    return await new Promise<string | undefined>((done) => {
      const timer = setTimeout(() => done(undefined), withinMs)
      const subscription = client.subscribe(
        partitionId,
        {
          // Asked, even where there is nothing to read: an answer is an answer.
          processEvents: async () => finish(undefined),
          processError: async (error) => finish(isRefusal(error) ? error.message : undefined),
        },
        { maxWaitTimeInSeconds: 1 },
      )
      const finish = (why: string | undefined) => {
        clearTimeout(timer)
        subscription.close().then(
          () => done(why),
          () => done(why),
        )
      }
    })
  } catch (error) {
    return errorText(error)
  } finally {
    await client.close().catch(() => {})
  }
}

/** That somebody else reads at the moment is no refusal: the group is there. */
function isRefusal(error: Error): boolean {
  return /NotFound|Unauthorized/.test(`${error.name} ${'code' in error ? String(error.code) : ''}`)
}

export function openConsumer({ connection, eventHubName, consumerGroup }: LogOptions, retryOptions: RetryOptions): EventHubConsumerClient {
  if (typeof connection === 'string') return new EventHubConsumerClient(consumerGroup, connection, eventHubName, { retryOptions })
  const { namespace, credential } = connection
  return new EventHubConsumerClient(consumerGroup, namespace, eventHubName, credential, { retryOptions })
}
