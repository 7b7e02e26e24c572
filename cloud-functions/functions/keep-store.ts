/** Timers of the store: raw readings go to the archive, what is too old goes away. */
import { app } from '@azure/functions'
import { appliedUpToMs } from '../hot-path/log-ends.ts'
import { appFiles, appLogPosition, appSettings, appTables } from '../services.ts'
import { archivedUpTo, archiveSettledHours } from '../store/archive.ts'
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
    const nowMs = Date.now()
    const { archive, exports } = await appFiles()
    const readingsMs = appSettings().READINGS_KEPT_DAYS * 86_400_000
    // After a pause both timers are made up for at once, in whatever order.
    const archivedMs = (await archivedUpTo(archive, nowMs)) ?? 0
    const rows = await deleteExpired(await appTables(), exports, { nowMs, readingsMs, archivedMs })
    context.info(`deleted ${rows} rows past their retention`)
  },
})
