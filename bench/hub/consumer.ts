/** Reads a number of events with the official Event Hubs client from the beginning, when told how many. */
import { earliestEventPosition, EventHubConsumerClient } from '@azure/event-hubs'
import { argumentsOf, heard, say } from '../process.ts'

const { connectionString } = await argumentsOf<{ connectionString: string }>()
say({ ready: true })
for await (const told of heard()) {
  const { events } = told as { events: number }
  const client = new EventHubConsumerClient('$Default', connectionString)
  const startedMs = performance.now()
  const startedCpu = process.cpuUsage()
  let seen = 0
  await new Promise<void>((resolve, reject) => {
    client.subscribe(
      {
        async processEvents(batch) {
          seen += batch.length
          if (seen >= events) resolve()
        },
        async processError(error) {
          reject(error)
        },
      },
      { startPosition: earliestEventPosition, maxBatchSize: 1000, prefetchCount: 3000, skipParsingBodyAsJson: true },
    )
  })
  const { user, system } = process.cpuUsage(startedCpu)
  say({ seen, seconds: (performance.now() - startedMs) / 1000, cpuSeconds: (user + system) / 1e6 })
}
