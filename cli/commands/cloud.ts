import { z } from 'zod'
import { startLocalCloud } from '../../local-cloud/local-cloud.ts'
import { noPositionals, parseOptions, Port, printJson } from '../command.ts'
import type { Command } from '../command.ts'
import { announceReady } from '../supervisor/ready.ts'

const Options = z.object({
  data: z.string().min(1).default('.millwright'),
  port: Port.default(0),
  'amqp-port': Port.default(0),
  'azure-ports': z.boolean().default(false),
  json: z.boolean().default(false),
  positionals: noPositionals,
})

export const cloud: Command = {
  summary: 'the stand-in for Azure alone: IoT Hub, Event Hubs, storage',
  help: `usage: millwright cloud [--data DIR] [--port N] [--amqp-port N] [--azure-ports] [--json]

Runs a local IoT Hub with its Event Hubs endpoint and Azure storage (Azurite) on
loopback, keeps everything in DIR (default .millwright), and writes
DIR/connection.json with connection strings that Azure SDKs take as they are.

  --data DIR       folder for everything that must survive a restart
  --port N         TLS port for MQTT, AMQP and HTTPS; default: the one used before
  --amqp-port N    plain AMQP port, for UseDevelopmentEmulator=true
  --azure-ports    the TLS port is 8883, as device code expects it
  --json           one machine-readable object a line
`,
  async run(args, signal) {
    const options = parseOptions(
      args,
      {
        data: { type: 'string' },
        port: { type: 'string' },
        'amqp-port': { type: 'string' },
        'azure-ports': { type: 'boolean' },
        json: { type: 'boolean' },
      },
      Options,
    )
    const log = (event: string, fields: Record<string, unknown>) =>
      printJson({ time: new Date().toISOString(), part: 'cloud', event, ...fields })
    const running = await startLocalCloud({
      dataDirectory: options.data,
      port: options['azure-ports'] ? 8883 : options.port,
      amqpPort: options['amqp-port'],
      log,
    })
    if (options.json) printJson({ event: 'ready', connectionFile: running.connectionFile })
    else process.stdout.write(`ready: ${running.connectionFile}\n`)
    announceReady({ connectionFile: running.connectionFile })
    const reason = await Promise.race([
      running.failed,
      new Promise<undefined>((resolve) => signal.addEventListener('abort', () => resolve(undefined))),
    ])
    await running.stop()
    if (reason === undefined) return 0
    log('failed', { reason })
    return 1
  },
}
