import { readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { z } from 'zod'
import { fileNameOf } from '../../contract/file-name.ts'
import { HubRegistry } from '../../device-sim/hub-registry.ts'
import { FolderLock } from '../../journal/folder-lock.ts'
import { startEdgeRuntime } from '../../local-cloud/edge-runtime/edge-runtime.ts'
import { serverCertificate } from '../../local-cloud/security/certificates.ts'
import { noPositionals, parseOptions, Port, printJson, UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { dataDirectory, readConnectionFile } from '../connection-file.ts'
import { distFile } from '../dist-file.ts'
import { announceReady, announceRestart } from '../supervisor/messages.ts'

const Options = z.object({
  device: z.string().min(1).max(128).default('gateway-1'),
  target: z.string().optional(),
  data: z.string().optional(),
  port: Port.default(0),
  manifest: z.string().optional(),
  json: z.boolean().default(false),
  positionals: noPositionals,
})

export const edge: Command = {
  summary: 'an IoT Edge gateway on this computer, with the modules its deployment names',
  help: `usage: millwright edge [--device ID] [--target CONNECTION.json] [--data DIR] [--port N] [--manifest FILE] [--json]

Runs the edge runtime's stand-in: edgeHub with store and forward, the workload API,
and the modules of the deployment, which is applied first. Needs NODE_EXTRA_CA_CERTS
to name the ca of connection.json.

  --device ID      edge device (gateway-1); registered if the hub does not know it
  --target FILE    connection.json of a cloud (default: that of \`npm start\`)
  --data DIR       folder for what the gateway stores (edge/ID beside the connection file)
  --port N         port for the devices behind it; default: a free one
  --manifest FILE  deployment manifest (default: the one of the edge module)
  --json           one JSON object a line
`,
  async run(args, signal) {
    const spec = {
      device: { type: 'string' },
      target: { type: 'string' },
      data: { type: 'string' },
      port: { type: 'string' },
      manifest: { type: 'string' },
      json: { type: 'boolean' },
    } as const
    const options = parseOptions(args, spec, Options)
    const targetFile = resolve(options.target ?? join(dataDirectory(), 'connection.json'))
    const { connection, ca } = await readConnectionFile(targetFile)
    if (connection.ca !== undefined && process.env.NODE_EXTRA_CA_CERTS === undefined)
      throw new UsageError(
        `set NODE_EXTRA_CA_CERTS=${connection.ca} first: the modules' SDK takes the certificate authority from there alone`,
      )
    const directory = options.data ?? join(dirname(targetFile), 'edge', fileNameOf(options.device))
    const lock = FolderLock.take(join(directory, 'edge.lock'), 'end it first, or name another gateway by --device')
    const registry = new HubRegistry(connection.iotHub, ca)
    const device = await registry.ensureEdgeDevice(options.device)
    await registry.deploy(options.device, JSON.parse(await readFile(options.manifest ?? distFile('infra/deployment.json'), 'utf8')))
    const log = (event: string, fields: Record<string, unknown>) =>
      printJson({ time: new Date().toISOString(), part: 'edge-runtime', event, ...fields })
    const runtime = await startEdgeRuntime({
      connectionString: `HostName=${registry.hubHost};DeviceId=${device.deviceId};SharedAccessKey=${device.key}`,
      dataDirectory: directory,
      port: options.port,
      // On one computer the gateway may show the cloud's own certificate: both answer to localhost.
      certificate: await serverCertificate(join(dirname(targetFile), 'certificates')),
      scriptOf: (image) => (/(^|\/)millwright\/edge-module(:|$)/.test(image) ? distFile('edge/edge-module.cjs') : undefined),
      nodeOptions: ['--import', pathToFileURL(distFile('../bin/host-ports.mjs')).href],
      log,
      onModuleRestart: (name, why) => !signal.aborted && announceRestart(name, why),
    })
    if (!options.json) process.stdout.write(`ready: gateway ${options.device} at ${runtime.gatewayHost}\n`)
    announceReady({ gatewayHost: runtime.gatewayHost })
    await new Promise<void>((done) => (signal.aborted ? done() : signal.addEventListener('abort', () => done(), { once: true })))
    await runtime.stop()
    lock.release()
    return 0
  },
}
