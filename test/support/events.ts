/** Reads the built-in endpoint of a hub for tests. */
import { EventHubConsumerClient, earliestEventPosition } from '@azure/event-hubs'
import type { ReceivedEventData } from '@azure/event-hubs'
import type { CloudForTests } from './cloud.ts'
import { eventually } from './eventually.ts'

/** Events of one device, once there are as many as wanted. */
export async function eventsOf(cloud: CloudForTests, deviceId: string, count: number): Promise<ReceivedEventData[]> {
  return eventsWhere(
    cloud.connection.eventHub,
    ({ systemProperties }) => systemProperties?.['iothub-connection-device-id'] === deviceId,
    count,
    deviceId,
  )
}

export async function eventsWhere(
  connectionString: string,
  isWanted: (event: ReceivedEventData) => boolean,
  count: number,
  what: string,
): Promise<ReceivedEventData[]> {
  const consumer = new EventHubConsumerClient('$Default', connectionString)
  const events: ReceivedEventData[] = []
  const subscription = consumer.subscribe(
    {
      async processEvents(batch) {
        events.push(...batch.filter(isWanted))
      },
      async processError() {},
    },
    { startPosition: earliestEventPosition, maxWaitTimeInSeconds: 1, maxBatchSize: 100 },
  )
  try {
    return await eventually(() => (events.length >= count ? events : undefined), { what: `${count} events of ${what}` })
  } finally {
    await subscription.close()
    await consumer.close()
  }
}
