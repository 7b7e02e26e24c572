import { dirname, join } from 'node:path'
import { z } from 'zod'
import { parseConnectionString } from '../../contract/connection.ts'
import { startFunctionsHost } from '../../local-cloud/functions-host/functions-host.ts'
import type { FunctionsHost } from '../../local-cloud/functions-host/functions-host.ts'
import { startStaticSite } from '../../local-cloud/static-site/static-site.ts'
import { builtInEventHub, consumerGroups } from '../../local-cloud/local-cloud.ts'
import { noPositionals, parseOptions, Port, printJson, UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { dataDirectory, readConnectionFile } from '../connection-file.ts'
import { distFile } from '../dist-file.ts'
import { laptopSwitches } from '../laptop-switches.ts'
import { announceReady } from '../supervisor/messages.ts'

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
  SMTP_URL: z.string().optional(),
  MAIL_FROM: z.string().optional(),
  MAIL_TO: z.string().optional(),
  TEAMS_WEBHOOK_URL: z.string().optional(),
  PAGERDUTY_ROUTING_KEY: z.string().optional(),
  PAGERDUTY_URL: z.string().optional(),
  NOTIFICATION_POLICY: z.string().optional(),
  OPERATORS: z.string().optional(),
  // Azurite holds its tables in memory, and writes them as one file.
  READINGS_KEPT_DAYS: z.string().default('3'),
  // On one computer everything is inside our own network.
  ALLOW_INTERNAL_TARGETS: z.string().default('true'),
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
    const switches =
      connection.inspector &&
      laptopSwitches({
        inspector: connection.inspector,
        truthFile: join(options.target === undefined ? dataDirectory() : dirname(options.target), 'truth.ndjson'),
        identity: { operatorToken: environment.data.OPERATOR_TOKEN, isBehindPlatformSignIn: false },
      })
    // The app wants to know its own address, and the page cannot be served without the app.
    let host: FunctionsHost | undefined
    const site = await startStaticSite({
      directory: distFile('dashboards'),
      port: options.port,
      connectTo: connection.webPubSub === undefined ? [] : [webSocketOrigin(connection.webPubSub)],
      handleApi: (request, response) => switches?.(request, response) === true || host?.handleHttp(request, response) === true,
    })
    host = await startFunctionsHost({
      appFile: distFile('functions/main.cjs'),
      workerFile: distFile('local-cloud/functions-worker.cjs'),
      settings: {
        ...Object.fromEntries(Object.entries(environment.data).filter(([, value]) => value !== undefined)),
        PUBLIC_URL: site.url,
        IOT_HUB_CONNECTION: connection.iotHub,
        ...(connection.webPubSub === undefined ? {} : { WEB_PUBSUB_CONNECTION: connection.webPubSub }),
        AzureWebJobsStorage: connection.storage,
        EventHubConnection: connection.eventHub,
        EVENT_HUB_NAME: builtInEventHub,
        EVENT_HUB_CONSUMER_GROUP: consumerGroups.trigger,
        REPLAY_CONSUMER_GROUP: consumerGroups.replay,
      },
      log,
    })
    process.stdout.write(`ready: ${site.url}\n`)
    announceReady({ url: site.url })
    await new Promise<void>((done) => (signal.aborted ? done() : signal.addEventListener('abort', () => done(), { once: true })))
    await site.stop()
    await host.stop()
    return 0
  },
}

/** Where a page opens its WebSocket: the endpoint of a Web PubSub connection string. */
function webSocketOrigin(connectionString: string): string {
  const endpoint = parseConnectionString(connectionString, ['Endpoint']).get('endpoint')!
  return new URL(endpoint).origin.replace(/^http/, 'ws')
}
