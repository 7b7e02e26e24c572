/**
 * The timer trigger: NCRONTAB with seconds, one run at a time. When a run was missed because no host was there, it is made
 * up for at the start, marked as past due; how things stood is kept in a blob, as the real host does.
 */
import { BlobServiceClient } from '@azure/storage-blob'
import type { BlockBlobClient } from '@azure/storage-blob'
import { Cron } from 'croner'
import { z } from 'zod'
import type { InvocationRequest } from '../core-api.ts'
import { storageRetries } from '../storage-retries.ts'

export type TimerListenerOptions = {
  readonly functionName: string
  readonly schedule: string
  readonly bindingName: string
  readonly runOnStartup: boolean
  readonly useMonitor: boolean
  readonly storage: string
  readonly invoke: (request: InvocationRequest) => Promise<void>
  readonly warn: (text: string) => void
}

const Status = z.object({ Last: z.string(), Next: z.string(), LastUpdated: z.string() })
type Status = z.infer<typeof Status>

/** Shorter intervals are not worth a note: a missed run is made up for by the next one. */
const monitoredMsMin = 60_000

export async function startTimerListener(options: TimerListenerOptions): Promise<{ stop(): Promise<void> }> {
  const { functionName, schedule, bindingName, invoke, warn } = options
  const monitor =
    options.useMonitor && intervalMs(schedule) >= monitoredMsMin ? await Monitor.open(options.storage, functionName) : undefined
  let status = await monitor?.read().catch((error: unknown) => warn(`timer ${schedule}: its status cannot be read: ${String(error)}`))
  let running: Promise<void> = Promise.resolve()
  const run = (isPastDue: boolean, next: Date | null) => {
    const shown = status ?? { Last: new Date(0).toISOString(), Next: next?.toISOString() ?? '', LastUpdated: new Date(0).toISOString() }
    const timer = { Schedule: { AdjustForDST: true }, ScheduleStatus: { ...shown, Next: next?.toISOString() ?? '' }, IsPastDue: isPastDue }
    running = invoke({ inputData: [{ name: bindingName, data: { json: JSON.stringify(timer) } }], triggerMetadata: {} })
      .catch((error: unknown) => warn(`timer ${schedule}: ${String(error)}`))
      .then(async () => {
        const time = new Date().toISOString()
        status = { Last: time, Next: next?.toISOString() ?? '', LastUpdated: time }
        await monitor?.write(status)
      })
      .catch((error: unknown) => warn(`timer ${schedule}: its status cannot be kept: ${String(error)}`))
    return running
  }
  // `protect` skips a tick while the run before it goes on, as the real singleton lock does.
  const cron = new Cron(schedule, { protect: true, timezone: 'Etc/UTC' }, (self: Cron) => run(false, self.nextRun()))
  const isPastDue = status !== undefined && status.Next !== '' && Date.parse(status.Next) < Date.now()
  if (options.runOnStartup || isPastDue) void run(isPastDue, cron.nextRun())
  return {
    async stop() {
      cron.stop()
      await running
    },
  }
}

function intervalMs(schedule: string): number {
  const [first, second] = new Cron(schedule, { paused: true, timezone: 'Etc/UTC' }).nextRuns(2)
  return first && second ? second.getTime() - first.getTime() : Infinity
}

class Monitor {
  readonly #blob: BlockBlobClient

  private constructor(blob: BlockBlobClient) {
    this.#blob = blob
  }

  static async open(storage: string, functionName: string): Promise<Monitor> {
    const container = BlobServiceClient.fromConnectionString(storage, storageRetries).getContainerClient('azure-webjobs-hosts')
    await container.createIfNotExists()
    return new Monitor(container.getBlockBlobClient(`timers/millwright/Host.Functions.${functionName}/status`))
  }

  async read(): Promise<Status | undefined> {
    if (!(await this.#blob.exists())) return undefined
    const parsed = Status.safeParse(JSON.parse((await this.#blob.downloadToBuffer()).toString()))
    return parsed.success ? parsed.data : undefined
  }

  async write(status: Status): Promise<void> {
    const text = JSON.stringify(status)
    await this.#blob.upload(text, Buffer.byteLength(text))
  }
}
