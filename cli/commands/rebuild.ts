import { join } from 'node:path'
import { z } from 'zod'
import { projectAlert } from '../../cloud-functions/alerting/project-alert.ts'
import { forgetAlerts } from '../../cloud-functions/store/alert-store.ts'
import { openTables } from '../../cloud-functions/store/tables.ts'
import { noPositionals, parseOptions, printJson } from '../command.ts'
import type { Command } from '../command.ts'
import { dataDirectory, readConnectionFile } from '../connection-file.ts'

const Options = z.object({ target: z.string().optional(), json: z.boolean().default(false), positionals: noPositionals })

export const rebuild: Command = {
  summary: 'build the alerts again from their histories',
  help: `usage: millwright rebuild [--target CONNECTION.json] [--json]

Forgets every alert row and makes it again from \`alertEvents\`, the truth. Nobody
is told of anything again: messages that were sent stay in the outbox.

  --target FILE    connection.json of a cloud (default: that of \`npm start\`)
  --json           the result as one JSON object
`,
  async run(args) {
    const options = parseOptions(args, { target: { type: 'string' }, json: { type: 'boolean' } }, Options)
    const { connection } = await readConnectionFile(options.target ?? join(dataDirectory(), 'connection.json'))
    const tables = await openTables(connection.storage)
    const alertIds = await forgetAlerts(tables)
    let alerts = 0
    // In the order they began in, which their ids do not tell: what joined an alert finds it there.
    for (const alertId of alertIds) if (await projectAlert(tables, alertId, Date.now())) alerts++
    if (options.json) printJson({ histories: alertIds.size, alerts })
    else process.stdout.write(`${alerts} alerts from ${alertIds.size} histories\n`)
    return 0
  },
}
