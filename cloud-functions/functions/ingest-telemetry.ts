/** Event Hubs → hot path. One owner per partition; all state is theirs, so interleaved batches share nothing. */
import { app, output } from '@azure/functions'
import type { EventHubFunctionOptions, InvocationContext } from '@azure/functions'
import type { LiveDevice } from '../../contract/api.ts'
import { signalCondition } from '../../detection/watch-state.ts'
import { eventHubsConnection } from '../azure-connections.ts'
import { zlibCompression } from '../hot-path/compression.ts'
import type { DeviceState } from '../hot-path/device-state.ts'
import { eventHubLogReader } from '../hot-path/log-reader.ts'
import { messagesFromTrigger } from '../hot-path/logged-message.ts'
import { PartitionOwner } from '../hot-path/partition-owner.ts'
import { appLive, appSettings, appTables } from '../services.ts'
import { alertQueue } from './queues.ts'

const owners = new Map<string, PartitionOwner>()
const touchedAlerts = output.storageQueue({ queueName: alertQueue, connection: 'AzureWebJobsStorage' })

async function ownerOf(partitionId: string, context: InvocationContext): Promise<PartitionOwner> {
  const known = owners.get(partitionId)
  if (known) return known
  const tables = await appTables()
  const { EVENT_HUB_NAME, REPLAY_CONSUMER_GROUP } = appSettings()
  const readLog = eventHubLogReader({
    connection: eventHubsConnection(appSettings()),
    eventHubName: EVENT_HUB_NAME,
    consumerGroup: REPLAY_CONSUMER_GROUP,
  })
  const owner = new PartitionOwner({
    partitionId,
    tables,
    readLog,
    compression: zlibCompression,
    nowMs: Date.now,
    warn: (text) => context.warn(text),
    shown: tellOpenPages,
  })
  // Two first batches cannot race for a partition, but the awaits above let another partition in.
  const winner = owners.get(partitionId) ?? owner
  owners.set(partitionId, winner)
  return winner
}

/** A message that a page takes within a moment; the devices that do not fit are told with their next reading. */
const devicesTold = 200

/** Newest values, live, while somebody looks. */
function tellOpenPages(devices: readonly DeviceState[]): void {
  const live = appLive()
  if (!live) return
  // Taken now: the states go on changing.
  const told = devices.slice(0, devicesTold).map(({ deviceId, lastSeenMs, latest, watch }) => ({
    deviceId,
    lastSeenMs,
    signals: [...latest].map(([signal, { timeMs, value }]): LiveDevice['signals'][number] => {
      const watched = watch.signals.get(signal)
      return [signal, timeMs, value, watched ? signalCondition(watched) : 'learning']
    }),
  }))
  void live.hasListeners(Date.now()).then((isListening) => {
    if (isListening) live.tellDevices(told)
  })
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
