/** Timers of the store: raw readings go to the archive, what is too old goes away. */
import { app } from '@azure/functions'
import { appFiles, appLogEnds, appTables } from '../services.ts'
import { appliedUpToMs, archiveSettledHours } from '../store/archive.ts'
import { appliedMessages } from '../store/hot-path-store.ts'
import { deleteExpired } from '../store/retention.ts'

app.timer('archive-readings', {
  schedule: '0 25 * * * *',
  handler: async (_timer, context) => {
    const tables = await appTables()
    const [ends, applied] = await Promise.all([appLogEnds().read(), appliedMessages(tables)])
    const hours = await archiveSettledHours(tables, (await appFiles()).archive, Date.now(), appliedUpToMs(ends, applied))
    context.info(`archived ${hours} hours`)
  },
})

app.timer('delete-expired', {
  schedule: '0 40 2 * * *',
  handler: async (_timer, context) => {
    const rows = await deleteExpired(await appTables(), Date.now())
    context.info(`deleted ${rows} rows past their retention`)
  },
})
