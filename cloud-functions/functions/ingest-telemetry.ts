/** Event Hubs → hot path. One owner per partition; all state is theirs, so interleaved batches share nothing. */
import { app, output } from '@azure/functions'
import type { EventHubFunctionOptions, InvocationContext } from '@azure/functions'
import { messagesFromTrigger } from '../hot-path/logged-message.ts'
import type { PartitionOwner } from '../hot-path/partition-owner.ts'
import { openOwner } from './open-owner.ts'
import { alertQueue } from './queues.ts'

const owners = new Map<string, PartitionOwner>()
const touchedAlerts = output.storageQueue({ queueName: alertQueue, connection: 'AzureWebJobsStorage' })

async function ownerOf(partitionId: string, context: InvocationContext): Promise<PartitionOwner> {
  const known = owners.get(partitionId)
  if (known) return known
  const opened = await openOwner(partitionId, (text) => context.warn(text))
  // Two first batches cannot race for a partition, but the await above lets another partition in.
  const owner = owners.get(partitionId) ?? opened
  owners.set(partitionId, owner)
  return owner
}

const options: EventHubFunctionOptions<unknown[]> & { dataType: 'binary' } = {
  connection: 'EventHubConnection',
  eventHubName: '%EVENT_HUB_NAME%',
  consumerGroup: '%EVENT_HUB_CONSUMER_GROUP%',
  cardinality: 'many',
  // Packed batches are bytes; JSON is parsed by our own decoder, which can say what is wrong with it.
  dataType: 'binary',
  // A store that is down for moments; a longer outage is healed by reading the log again.
  retry: { strategy: 'exponentialBackoff', maxRetryCount: 5, minimumInterval: { milliseconds: 200 }, maximumInterval: { seconds: 10 } },
  extraOutputs: [touchedAlerts],
  handler: async (bodies, context) => {
    const { partitionId, messages } = messagesFromTrigger(bodies, context.triggerMetadata)
    const owner = await ownerOf(partitionId, context)
    const alertIds = await owner.process(messages)
    // Only a hint that there is work: the history in the table is the truth, and the sweep finds what a lost hint left.
    if (alertIds.length > 0)
      context.extraOutputs.set(
        touchedAlerts,
        alertIds.map((alertId) => ({ alertId })),
      )
  },
}

app.eventHub('ingest-telemetry', options)
// Whoever has the partitions next need not read again what this instance knows.
app.hook.appTerminate(async () => {
  await Promise.all([...owners.values()].map((owner) => owner.close()))
})
