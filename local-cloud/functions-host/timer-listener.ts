/** The timer trigger: NCRONTAB with seconds, one run at a time. */
import { Cron } from 'croner'
import type { InvocationRequest } from './core-api.ts'

export type TimerListenerOptions = {
  readonly schedule: string
  readonly bindingName: string
  readonly invoke: (request: InvocationRequest) => Promise<void>
  readonly warn: (text: string) => void
}

export function startTimerListener({ schedule, bindingName, invoke, warn }: TimerListenerOptions): { stop(): Promise<void> } {
  let last = new Date(0)
  let running: Promise<void> = Promise.resolve()
  // `protect` skips a tick while the run before it goes on, as the real singleton lock does.
  const cron = new Cron(schedule, { protect: true, timezone: 'Etc/UTC' }, async (self: Cron) => {
    const status = { Last: last.toISOString(), LastUpdated: last.toISOString(), Next: self.nextRun()?.toISOString() ?? '' }
    last = new Date()
    const timer = { Schedule: { AdjustForDST: true }, ScheduleStatus: status, IsPastDue: false }
    running = invoke({ inputData: [{ name: bindingName, data: { json: JSON.stringify(timer) } }], triggerMetadata: {} }).catch(
      (error: unknown) => warn(`timer ${schedule}: ${String(error)}`),
    )
    await running
  })
  return {
    async stop() {
      cron.stop()
      await running
    },
  }
}
