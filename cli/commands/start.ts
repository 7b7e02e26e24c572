import { mkdir } from 'node:fs/promises'
import net from 'node:net'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import { fileNameOf } from '../../contract/file-name.ts'
import { signInCode } from '../../cloud-functions/api/identity.ts'
import { formatDeviceConnectionString } from '../../device-sim/device-credentials.ts'
import { HubRegistry } from '../../device-sim/hub-registry.ts'
import { mixedMachines } from '../../device-sim/plant.ts'
import { startServiceDepartment } from '../../local-cloud/service-department/service-department.ts'
import { noPositionals, NumberText, parseOptions, Port, printJson, UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { readConnectionFile } from '../connection-file.ts'
import { distFile } from '../dist-file.ts'
import { SupervisedProcess } from '../supervisor/child-process.ts'
import { newOperatorToken, newWebhookSecret, secretFile } from '../supervisor/secrets.ts'
import { StartLock } from '../supervisor/start-lock.ts'
import { thisComputerId } from './agent.ts'

const Options = z.object({
  port: Port.optional(),
  data: z.string().min(1).optional(),
  devices: NumberText.pipe(z.int().min(1).max(1_000)).default(24),
  seed: z.string().default('millwright'),
  'no-fault': z.boolean().default(false),
  json: z.boolean().default(false),
  positionals: noPositionals,
})

const Environment = z.object({
  PORT: Port.default(7300),
  MILLWRIGHT_DATA: z.string().min(1, 'expected a folder').default('.millwright'),
})

const gateway = 'gateway-1'
/** The simulated plant: three lines and the road. */
const plantPlaces = [
  { devices: ['pump-*', 'tank-*', 'compressor-*'], site: 'Turku works', line: 'Utilities', latitude: 60.45, longitude: 22.27 },
  { devices: ['oven-*', 'spindle-*', 'motor-*'], site: 'Turku works', line: 'Machining', latitude: 60.45, longitude: 22.27 },
  { devices: ['coldstore-*'], site: 'Naantali depot', line: 'Cold chain', latitude: 60.47, longitude: 22.03 },
  { devices: ['computer-*'], site: 'Turku works', line: 'Office', latitude: 60.45, longitude: 22.27 },
  { devices: ['vehicle-*'], site: 'Naantali depot', line: 'Deliveries', latitude: 60.47, longitude: 22.03 },
]
/** Parts that end together; each wave has a second and a half, all of them less than five. */
const stopWaves = [['machines', 'agent'], ['edge-runtime', 'functions'], ['cloud']]
/** The fault everybody sees within the first minute. */
const firstFault = 'bearing-wear:35s:12s:6m'

/** Whose fault it is: the second pump's, or the only one's. Every plant has a pump. */
function firstToFail(devices: number): string {
  const [first, second = first] = mixedMachines(devices).filter(({ kind }) => kind === 'pump')
  return second!.deviceId
}

export const start: Command = {
  summary: 'everything: machines, edge, hub, functions, tables, page',
  help: `usage: millwright start [--port N] [--data DIR] [--devices N] [--seed S] [--no-fault] [--json]

Starts the whole pipeline on this computer and prints the address of the page.
Ctrl-C ends all of it; the next start continues with the data that is there.

  --port N         port of the page (PORT, or 7300; 0 takes a free one)
  --data DIR       folder for all data (MILLWRIGHT_DATA, or .millwright)
  --devices N      simulated machines (24)
  --seed S         the same seed gives the same plant (millwright)
  --no-fault       no bearing begins to fail within the first minute
  --json           progress as one JSON object a line
`,
  async run(args, signal) {
    const spec = {
      port: { type: 'string' },
      data: { type: 'string' },
      devices: { type: 'string' },
      seed: { type: 'string' },
      'no-fault': { type: 'boolean' },
      json: { type: 'boolean' },
    } as const
    const { port, directory, ...options } = readSettings(args, spec)
    await mkdir(directory, { recursive: true })
    const say = (event: string, text: string, fields: Record<string, unknown> = {}) =>
      options.json ? printJson({ event, ...fields }) : process.stdout.write(`${text}\n`)
    await requireFreePort(port)
    const lock = await StartLock.take(directory)
    const children: SupervisedProcess[] = []
    const closers: (() => Promise<void>)[] = []
    const writeLock = () => lock.write(children.flatMap(({ processId }) => processId ?? []))
    const launch = async (
      name: string,
      script: string,
      childArgs: readonly string[],
      environment: NodeJS.ProcessEnv = {},
      portOf?: (details: Record<string, string>) => string,
    ) => {
      const child = new SupervisedProcess({
        name,
        script,
        args: childArgs,
        ...(portOf ? { argsOnceReady: (details: Record<string, string>) => [...childArgs, '--port', portOf(details)] } : {}),
        environment: { ...process.env, ...environment },
        signal,
        logFile: join(directory, 'logs', `${name}.log`),
        onRestart: (ended, why) => {
          say('restart', `${ended} ended with ${why}; it is started again`, { part: ended, why })
          setTimeout(writeLock, 1_000).unref()
        },
      })
      children.push(child)
      const started = Date.now()
      const ready = child.start()
      writeLock()
      const details = await ready
      say('started', `${name.padEnd(16)} ready in ${((Date.now() - started) / 1000).toFixed(1)} s`, { part: name })
      return details
    }
    const stopAll = async () => {
      // Sources first, so that what is under way finds its way through.
      for (const wave of stopWaves) await Promise.all(children.filter(({ name }) => wave.includes(name)).map((child) => child.stop()))
      for (const close of closers.toReversed()) await close()
      lock.release()
    }
    try {
      const command = distFile('cli/main.mjs')
      const { connectionFile = '' } = await launch('cloud', command, ['cloud', '--data', directory, '--json'])
      const { connection, ca } = await readConnectionFile(connectionFile)
      const trust = connection.ca === undefined ? {} : { NODE_EXTRA_CA_CERTS: connection.ca }
      const operatorToken = await secretFile(directory, 'operator-token', newOperatorToken)
      const webhookSecret = await secretFile(directory, 'webhook-secret', newWebhookSecret)
      const department = await startServiceDepartment({ directory: join(directory, 'service-department'), secret: webhookSecret, port: 0 })
      closers.push(() => department.stop())
      const registry = new HubRegistry(connection.iotHub, ca)
      const thisComputer = thisComputerId()
      const [computer] = await registry.ensureDevices([thisComputer])

      const appSettings = {
        SERVICE_DEPARTMENT_URL: `${department.url}/work-orders`,
        SERVICE_DEPARTMENT_SECRET: webhookSecret,
        OPERATOR_TOKEN: operatorToken,
      }
      const [{ url = '' }, { gatewayHost = '' }] = await Promise.all([
        launch(
          'functions',
          command,
          ['functions', '--target', connectionFile, '--port', String(port)],
          { ...trust, ...appSettings },
          (details) => new URL(details.url ?? '').port,
        ),
        launch(
          'edge-runtime',
          command,
          ['edge', '--device', gateway, '--target', connectionFile, '--json'],
          trust,
          ({ gatewayHost: host = '' }) => host.slice(host.indexOf(':') + 1),
        ),
      ])
      await placeMachines(url, operatorToken)
      const failing = firstToFail(options.devices)
      const agentSettings = {
        IOTHUB_DEVICE_CONNECTION_STRING: formatDeviceConnectionString({
          hubHost: registry.hubHost,
          deviceId: thisComputer,
          key: computer!.key,
        }),
        AGENT_DATA: join(directory, 'agent', fileNameOf(thisComputer)),
        ...(connection.ca === undefined ? {} : { IOTHUB_CA_FILE: connection.ca }),
      }
      await Promise.all([
        launch('machines', command, [
          'simulate',
          '--devices',
          String(options.devices),
          '--seed',
          options.seed,
          '--target',
          connectionFile,
          '--gateway',
          gatewayHost,
          '--edge-device',
          gateway,
          ...(options['no-fault'] ? [] : ['--fault', `${failing}:${firstFault}`]),
          '--truth',
          join(directory, 'truth.ndjson'),
          '--state',
          join(directory, 'plant.json'),
          '--json',
        ]),
        launch('agent', distFile('device/agent.cjs'), [], agentSettings),
      ])
      say('ready', `\nready: ${url}`, { url })
      say('service-department', `work orders arrive at ${department.url}`, { url: department.url })
      if (!options.json) {
        process.stdout.write(`sign in to act: ${url}/api/v1/sign-in?code=${signInCode(operatorToken, Date.now())}\n`)
        const advice = options['no-fault'] ? '' : `watch ${failing}: its bearing begins to fail within a minute. `
        process.stdout.write(`${advice}Ctrl-C ends everything.\n`)
      }
      await new Promise<void>((done) => (signal.aborted ? done() : signal.addEventListener('abort', () => done(), { once: true })))
      say('stopping', '\nstopping …')
      return 0
    } finally {
      await stopAll()
    }
  },
}

/** Where the plant's machines stand, unless somebody has said so already. */
async function placeMachines(url: string, operatorToken: string): Promise<void> {
  const address = `${url}/api/v1/topology`
  const { places } = Places.parse(await (await fetch(address)).json())
  if (places.length > 0) return
  const headers = { authorization: `Bearer ${operatorToken}`, 'content-type': 'application/json' }
  const written = await fetch(address, { method: 'PUT', headers, body: JSON.stringify({ places: plantPlaces }) })
  if (!written.ok) throw new Error(`the plan of the plant was refused: ${await written.text()}`)
}

const Places = z.object({ places: z.array(z.unknown()) })

/** Options and environment together: every mistake in one message. */
function readSettings(args: readonly string[], spec: Parameters<typeof parseOptions>[1]) {
  const mistakes: string[] = []
  const environment = Environment.safeParse({ PORT: process.env.PORT || undefined, MILLWRIGHT_DATA: process.env.MILLWRIGHT_DATA })
  if (!environment.success) mistakes.push(z.prettifyError(environment.error))
  let options: z.infer<typeof Options> | undefined
  try {
    options = parseOptions(args, spec, Options)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    mistakes.push(error.message)
  }
  if (!options || !environment.success) throw new UsageError(`the settings are wrong:\n${mistakes.join('\n')}`)
  return { ...options, port: options.port ?? environment.data.PORT, directory: resolve(options.data ?? environment.data.MILLWRIGHT_DATA) }
}

/** Found out before anything is started: nothing is more annoying than learning it at the end. */
async function requireFreePort(port: number): Promise<void> {
  if (port === 0) return
  await new Promise<void>((done, reject) => {
    const server = net.createServer()
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new Error(
          error.code === 'EADDRINUSE'
            ? `port ${port} is taken: is Millwright running already? Choose another with PORT=7301 npm start, or see \`npx millwright doctor\``
            : `port ${port} cannot be used: ${error.message}`,
        ),
      ),
    )
    server.listen(port, '127.0.0.1', () => server.close(() => done()))
  })
}
