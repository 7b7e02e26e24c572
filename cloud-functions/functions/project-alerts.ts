/** Queue → alert rows and the service department. */
import { app } from '@azure/functions'
import { deliverDue } from '../alerting/deliver.ts'
import { projectAlert } from '../alerting/project-alert.ts'
import { appSettings, appTables } from '../services.ts'
import { alertQueue, AlertHint } from './queues.ts'

app.storageQueue('project-alerts', {
  queueName: alertQueue,
  connection: 'AzureWebJobsStorage',
  handler: async (message) => {
    const { alertId } = AlertHint.parse(message)
    const tables = await appTables()
    const { SERVICE_DEPARTMENT_URL: url, SERVICE_DEPARTMENT_SECRET: secret } = appSettings()
    await projectAlert(tables, alertId, Date.now())
    await deliverDue(tables, { url, secret }, Date.now(), { alertId })
  },
})
