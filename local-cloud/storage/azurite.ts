/** Azurite as a child process: blobs, queues and tables with the account and API of Azure Storage. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { isRunning, markOf, ProcessMark, readLock } from '../../journal/folder-lock.ts'
import { endProcess } from '../end-process.ts'

export const storageAccount = {
  name: 'devstoreaccount1',
  /** Azurite's well-known key: it guards nothing but loopback. */
  key: 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==',
} as const

export type AzuritePorts = { readonly blob: number; readonly queue: number; readonly table: number }

export function storageConnectionString({ blob, queue, table }: AzuritePorts): string {
  const { name, key } = storageAccount
  const endpoint = (service: string, port: number) => `${service}Endpoint=http://127.0.0.1:${port}/${name};`
  return `DefaultEndpointsProtocol=http;AccountName=${name};AccountKey=${key};${endpoint('Blob', blob)}${endpoint('Queue', queue)}${endpoint('Table', table)}`
}

export type Azurite = {
  readonly ports: AzuritePorts
  readonly process: ChildProcess
  /** Resolves when all that its tables have taken before is on the disk; one call at a time. */
  saveTables(): Promise<void>
  /** Resolves to true when it ended by itself, and so has saved everything. */
  stop(): Promise<boolean>
}

/**
 * Loaded into Azurite's process. It would outlive a parent that was killed, and keep its ports: the channel tells it, and
 * it saves and ends. The channel in turn must not keep alive a process that is ending.
 */
export const endWithParent = `
  let isEnding = false
  // Azurite ends by itself, once it has started; told before, it would go on for ever.
  const end = () => { isEnding = true; if (process.connected) process.disconnect(); setTimeout(() => process.exit(1), 6000).unref() }
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, end)
  process.on('disconnect', () => { if (!isEnding) process.emit('SIGTERM') })
`

const tablesFile = '__azurite_db_table__.json'

/** Loaded into it, too: its tables are written when it is told so, and when it ends. @param script where Azurite's own packages are found from */
const savesWhenTold = (script: string) => `
  import { createRequire } from 'node:module'
  const Loki = createRequire(${JSON.stringify(script)})('lokijs')
  const { autosaveEnable } = Loki.prototype
  let tables
  Loki.prototype.autosaveEnable = function (...given) {
    if (!this.filename.endsWith('${tablesFile}')) return autosaveEnable.apply(this, given)
    // What is closed saves what is left only where saving is on.
    this.autosave = true
    tables = this
  }
  process.on('message', () => {
    const answer = (error) => process.connected && process.send({ problem: error ? String(error) : '' })
    try { tables.saveDatabase(answer) } catch (error) { answer(error) }
  })
`
const Saved = z.object({ problem: z.string() })

const startMsMax = 30_000
const stopMsMax = 4_000

/** Starts Azurite on the ports, or on free ones where a port is 0. Resolves when all three services listen. */
export async function startAzurite(directory: string, wanted: AzuritePorts): Promise<Azurite> {
  await predecessorGone(directory)
  const script = createRequire(import.meta.url).resolve('azurite/dist/src/azurite.js')
  // Loose: what Azurite does not know it passes over, as the header by which the device SDK asks for encryption at rest.
  const options = ['--loose', '--silent', '--disableTelemetry', '--skipApiVersionCheck', '--location', directory]
  for (const [service, port] of Object.entries(wanted)) options.push(`--${service}Host`, '127.0.0.1', `--${service}Port`, String(port))
  const imports = [endWithParent, savesWhenTold(script)].flatMap((code) => ['--import', `data:text/javascript,${encodeURIComponent(code)}`])
  const child = spawn(process.execPath, [...imports, script, ...options], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  if (child.pid !== undefined) writeFileSync(markFile(directory), JSON.stringify(markOf(child.pid)))
  const ports = await new Promise<AzuritePorts>((resolve, reject) => {
    let output = ''
    const timer = setTimeout(
      () => reject(new Error(`Azurite was not ready within ${startMsMax / 1000} s: ${output.slice(-500)}`)),
      startMsMax,
    )
    const heard = (chunk: Buffer) => {
      output += chunk.toString()
      const [blob, queue, table] = (['Blob', 'Queue', 'Table'] as const).map((service) => portHeard(output, service))
      if (blob === undefined || queue === undefined || table === undefined) return
      clearTimeout(timer)
      child.stdout!.off('data', heard)
      child.stdout!.resume()
      resolve({ blob, queue, table })
    }
    child.stdout!.on('data', heard)
    child.stderr!.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`Azurite ended with code ${code}: ${output.slice(-500)}`)))
  })
  child.removeAllListeners('exit')
  return {
    ports,
    process: child,
    saveTables: () => saveTables(child, directory),
    stop: async () => (await endProcess(child, stopMsMax)) === 0,
  }
}

async function saveTables(child: ChildProcess, directory: string): Promise<void> {
  const { problem } = await new Promise<z.infer<typeof Saved>>((resolve, reject) => {
    const onEnd = () => reject(new Error('Azurite has ended'))
    child.once('exit', onEnd)
    child.once('message', (message) => {
      child.off('exit', onEnd)
      resolve(Saved.parse(message))
    })
    child.send({ kind: 'save-tables' }, (error) => error && reject(error))
  })
  if (problem !== '') throw new Error(`Azurite cannot write its tables: ${problem}`)
  // It has written, and does not wait for the disk.
  const handle = await open(join(directory, tablesFile), 'r+')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

const markFile = (directory: string) => join(directory, 'azurite.lock')
const predecessorMsMax = 5_000

/** An Azurite whose parent was killed is saving its last: two on one folder would write over each other. */
async function predecessorGone(directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true })
  const predecessor = readLock(markFile(directory), ProcessMark)
  const deadline = Date.now() + predecessorMsMax
  while (predecessor && isRunning(predecessor) && Date.now() < deadline) await delay(50)
}

/** The port a service says it listens on, once its line is whole. The kernel chose it where 0 was asked for: no one else can have it. */
function portHeard(output: string, service: string): number | undefined {
  const port = new RegExp(`${service} service is successfully listening at http://[^\\s]+:(\\d+)\\s`).exec(output)?.[1]
  return port === undefined ? undefined : Number(port)
}
