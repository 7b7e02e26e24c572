import { join } from 'node:path'
import { z } from 'zod'
import { startFunctionsHost } from '../../local-cloud/functions-host/functions-host.ts'
import { startStaticSite } from '../../local-cloud/static-site/static-site.ts'
import { builtInEventHub, consumerGroups } from '../../local-cloud/local-cloud.ts'
import { noPositionals, parseOptions, Port, printJson, UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { dataDirectory, readConnectionFile } from '../connection-file.ts'
import { distFile } from '../dist-file.ts'
import { announceReady } from '../supervisor/ready.ts'

const Options = z.object({
  target: z.string().optional(),
  port: Port.default(7300),
  positionals: noPositionals,
})

/** Settings that are not part of a connection come from the environment, as app settings do. */
const AppEnvironment = z.object({
  SERVICE_DEPARTMENT_URL: z.string(),
  SERVICE_DEPARTMENT_SECRET: z.string(),
  OPERATOR_TOKEN: z.string(),
})

export const functions: Command = {
  summary: 'the functions app and the page, run by the local Functions host',
  help: `usage: millwright functions [--target CONNECTION.json] [--port N]

Runs the bundled functions app unmodified, and serves the page and the API on
http://127.0.0.1:N (7300). App settings SERVICE_DEPARTMENT_URL,
SERVICE_DEPARTMENT_SECRET and OPERATOR_TOKEN are taken from the environment.

  --target FILE    connection.json of a cloud (default: that of \`npm start\`)
  --port N         port of the page; 0 takes a free one
`,
  async run(args, signal) {
    const options = parseOptions(args, { target: { type: 'string' }, port: { type: 'string' } }, Options)
    const { connection } = await readConnectionFile(options.target ?? join(dataDirectory(), 'connection.json'))
    const environment = AppEnvironment.safeParse(process.env)
    if (!environment.success) throw new UsageError(`app settings are missing:\n${z.prettifyError(environment.error)}`)
    const log = (level: string, text: string) => printJson({ time: new Date().toISOString(), part: 'functions', level, text })
    const host = await startFunctionsHost({
      appFile: distFile('functions/main.cjs'),
      workerFile: distFile('local-cloud/functions-worker.cjs'),
      settings: {
        ...environment.data,
        AzureWebJobsStorage: connection.storage,
        EventHubConnection: connection.eventHub,
        EVENT_HUB_NAME: builtInEventHub,
        EVENT_HUB_CONSUMER_GROUP: consumerGroups.trigger,
        REPLAY_CONSUMER_GROUP: consumerGroups.replay,
      },
      log,
    })
    const site = await startStaticSite({
      directory: distFile('dashboards'),
      port: options.port,
      handleApi: (request, response) => host.handleHttp(request, response),
    })
    process.stdout.write(`ready: ${site.url}\n`)
    announceReady({ url: site.url })
    await new Promise<void>((done) => (signal.aborted ? done() : signal.addEventListener('abort', () => done(), { once: true })))
    await site.stop()
    await host.stop()
    return 0
  },
}
