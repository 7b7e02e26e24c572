/** Every ten seconds: alerts whose hint got lost are projected, messages that are due are sent again. */
import { app } from '@azure/functions'
import { deliverDue } from '../alerting/deliver.ts'
import { projectAlert } from '../alerting/project-alert.ts'
import { appSettings, appTables } from '../services.ts'
import { recentlyTouchedAlerts } from '../store/alert-store.ts'

/** A hint that has not been acted on within this time is lost. Wider than any pause between two sweeps. */
const lookBackMs = 15 * 60_000

app.timer('sweep-alerts', {
  schedule: '*/10 * * * * *',
  handler: async () => {
    const tables = await appTables()
    const { SERVICE_DEPARTMENT_URL: url, SERVICE_DEPARTMENT_SECRET: secret } = appSettings()
    for (const alertId of await recentlyTouchedAlerts(tables, Date.now() - lookBackMs)) await projectAlert(tables, alertId, Date.now())
    await deliverDue(tables, { url, secret }, Date.now())
  },
})
