import { join } from 'node:path'
import { z } from 'zod'
import { FolderLock } from '../../journal/folder-lock.ts'
import { startLocalCloud } from '../../local-cloud/local-cloud.ts'
import { CloudSettingsError, readCloudSettings } from '../../local-cloud/cloud-settings.ts'
import type { CloudSettings } from '../../local-cloud/cloud-settings.ts'
import { noPositionals, parseOptions, Port, printJson, UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { dataDirectory } from '../connection-file.ts'
import { announceReady } from '../supervisor/messages.ts'

const Options = z.object({
  data: z.string().min(1).optional(),
  port: Port.default(0),
  'amqp-port': Port.default(0),
  'azure-ports': z.boolean().default(false),
  settings: z.string().min(1).optional(),
  json: z.boolean().default(false),
  positionals: noPositionals,
})

export const cloud: Command = {
  summary: 'the stand-in for Azure alone: IoT Hub, Event Hubs, storage',
  help: `usage: millwright cloud [--data DIR] [--port N] [--amqp-port N] [--azure-ports]
                        [--settings FILE] [--json]

Runs a local IoT Hub with its Event Hubs endpoint, provisioning (DPS), Web PubSub
and Azure storage (Azurite) on loopback, keeps everything in DIR, and writes
DIR/connection.json with connection strings that Azure SDKs take as they are. Its page
is at the address of 'inspector' there.

  --data DIR       folder for everything that must survive a restart (MILLWRIGHT_DATA, or
                   .millwright)
  --port N         TLS port for MQTT, AMQP and HTTPS; default: the one used before
  --amqp-port N    plain AMQP and HTTP port, for UseDevelopmentEmulator=true
  --azure-ports    listen on 443, 5671 and 8883 too, so that HostName=localhost
                   is enough; needs the right to bind them
  --settings FILE  tier, event hubs, message routes, authorities (JSON)
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
        settings: { type: 'string' },
        json: { type: 'boolean' },
      },
      Options,
    )
    const log = (event: string, fields: Record<string, unknown>) =>
      printJson({ time: new Date().toISOString(), part: 'cloud', event, ...fields })
    const settings = options.settings === undefined ? undefined : await readSettings(options.settings)
    const directory = options.data ?? dataDirectory()
    const lock = FolderLock.take(join(directory, 'cloud.lock'), 'end it first, or give --data another folder')
    const running = await startLocalCloud({
      dataDirectory: directory,
      port: options.port,
      amqpPort: options['amqp-port'],
      azurePorts: options['azure-ports'],
      ...(settings ? { settings } : {}),
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
    lock.release()
    if (reason === undefined) return 0
    log('failed', { reason })
    return 1
  },
}

async function readSettings(path: string): Promise<CloudSettings> {
  try {
    return await readCloudSettings(path)
  } catch (error) {
    if (error instanceof CloudSettingsError) throw new UsageError(error.message)
    throw error
  }
}
