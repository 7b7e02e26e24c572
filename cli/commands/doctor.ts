import { mkdir, rm, statfs, writeFile } from 'node:fs/promises'
import https from 'node:https'
import net from 'node:net'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import { errorText } from '../../contract/error-text.ts'
import { whyNotReadable } from '../../cloud-functions/hot-path/log-consumer.ts'
import { MalformedConnectionStringError, parseConnectionString } from '../../contract/connection.ts'
import { consumerGroups } from '../../local-cloud/local-cloud.ts'
import { noPositionals, parseOptions, Port, printJson, UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { dataDirectory, readConnectionFile } from '../connection-file.ts'
import type { Target } from '../connection-file.ts'
import { checkAzure } from '../doctor/azure-checks.ts'
import { readAzureEnvironment } from '../doctor/azure-environment.ts'
import type { Finding } from '../doctor/finding.ts'

const Options = z.object({
  target: z.string().optional(),
  port: Port.optional(),
  json: z.boolean().default(false),
  positionals: noPositionals,
})

const limits = { diskBytes: 500 * 1024 * 1024, clockMs: 300_000, connectMs: 5_000 } as const

export const doctor: Command = {
  summary: 'says in plain words what is wrong',
  help: `usage: millwright doctor [--target CONNECTION.json] [--port N] [--json]

Checks Node's version, the port of the page, the data folder, free disk space, the
connection strings, whether the hub can be reached, this computer's clock against the
hub's, and the consumer groups that the app reads by; of a deployment by \`azd up\`, the hub's
route and its endpoint too. Exit code 1 when something is wrong.

  --target FILE    connection.json to check (default: that of \`npm start\`, if there is one);
                   azure takes what azd deployed from this folder (or IOT_HUB_NAME,
                   AZURE_RESOURCE_GROUP and AZURE_SUBSCRIPTION_ID), as who \`az login\` signed in,
                   and the connection.json that MILLWRIGHT_AZURE_CONNECTION names
  --port N         port of the page (PORT, or 7300)
  --json           one JSON object a finding
`,
  async run(args) {
    const options = parseOptions(args, { target: { type: 'string' }, port: { type: 'string' }, json: { type: 'boolean' } }, Options)
    const environmentPort = Port.safeParse(process.env.PORT || '7300')
    if (options.port === undefined && !environmentPort.success)
      throw new UsageError(`PORT is '${process.env.PORT}', expected a number from 0 to 65535`)
    const port = options.port ?? environmentPort.data!
    const findings: Finding[] = [checkNode(), await checkPort(port), await checkFolder(), await checkDisk()]
    findings.push(...(await checkTarget(options.target)))
    for (const finding of findings) {
      if (options.json) printJson(finding)
      else process.stdout.write(`${finding.ok ? 'ok    ' : 'WRONG '} ${finding.check.padEnd(12)} ${finding.detail}\n`)
    }
    return findings.every(({ ok }) => ok) ? 0 : 1
  },
}

function checkNode(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const ok = major > 20 || (major === 20 && minor >= 19)
  return {
    check: 'node',
    ok,
    detail: ok ? process.versions.node : `${process.versions.node} is too old: Millwright needs 20.19 or later`,
  }
}

async function checkPort(port: number): Promise<Finding> {
  const check = 'port'
  if (await answersAsMillwright(port)) return { check, ok: true, detail: `${port} is served by Millwright` }
  return new Promise((done) => {
    const server = net.createServer()
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'another program listens there' : error.message
      done({ check, ok: false, detail: `${port} cannot be used: ${why}. End it, or choose another: PORT=7301 npm start` })
    })
    server.listen(port, '127.0.0.1', () => server.close(() => done({ check, ok: true, detail: `${port} is free` })))
  })
}

async function answersAsMillwright(port: number): Promise<boolean> {
  if (port === 0) return false
  try {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/health`, { signal: AbortSignal.timeout(1_500) })
    const body: unknown = await response.json()
    return typeof body === 'object' && body !== null && 'lastReading' in body
  } catch {
    return false
  }
}

async function checkFolder(): Promise<Finding> {
  const folder = resolve(dataDirectory())
  const probe = join(folder, '.doctor')
  try {
    await mkdir(folder, { recursive: true })
    await writeFile(probe, 'x')
    await rm(probe)
    return { check: 'data folder', ok: true, detail: folder }
  } catch (error) {
    return {
      check: 'data folder',
      ok: false,
      detail: `${folder} cannot be written: ${(error as Error).message}. Choose another: MILLWRIGHT_DATA=DIR npm start`,
    }
  }
}

async function checkDisk(): Promise<Finding> {
  try {
    const { bavail, bsize } = await statfs(resolve(dataDirectory()))
    const free = bavail * bsize
    const amount = `${(free / 1024 ** 3).toFixed(1)} GiB free`
    return {
      check: 'disk',
      ok: free >= limits.diskBytes,
      detail:
        free >= limits.diskBytes
          ? amount
          : `${amount}: the disk is nearly full, and nothing is acknowledged that cannot be stored. Free at least 0.5 GiB`,
    }
  } catch (error) {
    return { check: 'disk', ok: false, detail: (error as Error).message }
  }
}

/** What azd deployed, by the resource manager; and the connection strings that the contract suites use, where there are any. */
async function checkTarget(target: string | undefined): Promise<Finding[]> {
  if (target !== 'azure') return checkConnection(target)
  const file = process.env.MILLWRIGHT_AZURE_CONNECTION
  const deployed = await checkDeployment()
  if (!file && deployed.length === 0)
    throw new UsageError(
      '--target azure needs a folder that `azd up` was run in, or IOT_HUB_NAME, AZURE_RESOURCE_GROUP and AZURE_SUBSCRIPTION_ID, or MILLWRIGHT_AZURE_CONNECTION',
    )
  return [...deployed, ...(file ? await checkConnection(file) : [])]
}

async function checkDeployment(): Promise<Finding[]> {
  try {
    const environment = await readAzureEnvironment(process.env, process.cwd())
    if (!environment) return []
    // Loaded only when needed: signing in brings a large library.
    const { resourceManager } = await import('../doctor/resource-manager.ts')
    return await checkAzure(resourceManager(process.env.AZURE_RESOURCE_MANAGER_ENDPOINT), environment)
  } catch (error) {
    const detail = error instanceof z.ZodError ? z.prettifyError(error) : errorText(error)
    return [{ check: 'azure', ok: false, detail }]
  }
}

async function checkConnection(file: string | undefined): Promise<Finding[]> {
  let target: Target
  try {
    target = await readConnectionFile(file ?? join(dataDirectory(), 'connection.json'))
  } catch (error) {
    // Before the first start there is none, and nothing is wrong with that.
    if (file === undefined) return [{ check: 'connection', ok: true, detail: 'no cloud has been started here yet' }]
    return [{ check: 'connection', ok: false, detail: errorText(error) }]
  }
  const { iotHub, eventHub, storage } = target.connection
  const strings = [
    checkString('iotHub', iotHub, ['HostName', 'SharedAccessKeyName', 'SharedAccessKey'], 'sharedaccesskey'),
    checkString('eventHub', eventHub, ['Endpoint', 'SharedAccessKeyName', 'SharedAccessKey', 'EntityPath'], undefined),
    checkString('storage', storage, ['AccountName', 'AccountKey'], 'accountkey'),
  ]
  const hub = strings[0]!.ok ? await checkHub(iotHub, target.ca) : []
  const groups = strings[1]!.ok && hub.length > 0 && hub.every(({ ok }) => ok) ? await checkConsumerGroups(eventHub) : []
  return [...strings, ...hub, ...groups]
}

/** The trigger and the replay read the log each by a consumer group of its own. */
async function checkConsumerGroups(eventHub: string): Promise<Finding[]> {
  const eventHubName = parseConnectionString(eventHub, ['EntityPath']).get('entitypath')!
  return Promise.all(
    Object.values(consumerGroups).map(async (consumerGroup) => {
      const check = `group ${consumerGroup}`
      const why = await whyNotReadable({ connection: eventHub, eventHubName, consumerGroup }, limits.connectMs)
      const remedy = `az iot hub consumer-group create --hub-name HUB --name ${consumerGroup}; behind a route: az eventhubs eventhub consumer-group create`
      return { check, ok: why === undefined, detail: why === undefined ? 'can be read' : `cannot be read: ${why}. Make it: ${remedy}` }
    }),
  )
}

function checkString(name: string, text: string, required: readonly string[], base64Field: string | undefined): Finding {
  const check = name
  try {
    const fields = parseConnectionString(text, required)
    const key = base64Field === undefined ? undefined : fields.get(base64Field)
    if (key !== undefined && Buffer.from(key, 'base64').toString('base64') !== key)
      return { check, ok: false, detail: `the key in the connection string is not base64; was it cut when it was copied?` }
    return { check, ok: true, detail: 'the connection string is well formed' }
  } catch (error) {
    if (!(error instanceof MalformedConnectionStringError)) throw error
    return { check, ok: false, detail: error.message }
  }
}

/** Any answer of the hub will do: it carries the hub's time. */
function checkHub(connectionString: string, ca: string | undefined): Promise<Finding[]> {
  const host = parseConnectionString(connectionString, ['HostName']).get('hostname')!
  return new Promise((done) => {
    const request = https.get(
      `https://${host}/statistics/devices?api-version=2021-04-12`,
      { timeout: limits.connectMs, ...(ca === undefined ? {} : { ca }) },
      (response) => {
        response.resume()
        const offsetMs = Date.parse(response.headers.date ?? '') - Date.now()
        const isNear = Math.abs(offsetMs) <= limits.clockMs
        const clock = Number.isNaN(offsetMs)
          ? { check: 'clock', ok: true, detail: 'the hub did not say what time it is' }
          : {
              check: 'clock',
              ok: isNear,
              detail: isNear
                ? 'agrees with the hub'
                : `differs from the hub by ${Math.round(offsetMs / 1000)} s: access tokens will be refused. Set the clock`,
            }
        done([{ check: 'hub', ok: true, detail: `${host} answers` }, clock])
      },
    )
    request.on('timeout', () => request.destroy(new Error(`no answer within ${limits.connectMs / 1000} s`)))
    request.on('error', (error) =>
      done([{ check: 'hub', ok: false, detail: `${host} cannot be reached: ${error.message}. If it is the local cloud, is it running?` }]),
    )
  })
}
