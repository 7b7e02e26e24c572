/** Timers of the store: raw readings go to the archive, what is too old goes away. */
import { app } from '@azure/functions'
import { appliedUpToMs } from '../hot-path/log-ends.ts'
import { appFiles, appLogPosition, appSettings, appTables } from '../services.ts'
import { archiveSettledHours } from '../store/archive.ts'
import { deleteExpired } from '../store/retention.ts'

app.timer('archive-readings', {
  schedule: '0 25 * * * *',
  handler: async (_timer, context) => {
    const hours = await archiveSettledHours(
      await appTables(),
      (await appFiles()).archive,
      Date.now(),
      appliedUpToMs(await appLogPosition()),
    )
    context.info(`archived ${hours} hours`)
  },
})

app.timer('delete-expired', {
  schedule: '0 40 2 * * *',
  handler: async (_timer, context) => {
    const readingsMs = appSettings().READINGS_KEPT_DAYS * 86_400_000
    const rows = await deleteExpired(await appTables(), (await appFiles()).exports, { nowMs: Date.now(), readingsMs })
    context.info(`deleted ${rows} rows past their retention`)
  },
})
