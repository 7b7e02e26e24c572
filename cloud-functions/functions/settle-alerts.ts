/** Queue → alert rows, incidents, messages, open pages. */
import { app } from '@azure/functions'
import { settleAlert } from '../alerting/settle-alert.ts'
import { appDesk } from '../services.ts'
import { alertQueue, AlertHint } from './queues.ts'

app.storageQueue('settle-alerts', {
  queueName: alertQueue,
  connection: 'AzureWebJobsStorage',
  handler: async (message) => {
    await settleAlert(await appDesk(), AlertHint.parse(message).alertId, Date.now())
  },
})
