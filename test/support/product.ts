/** The product as a person starts it: `millwright start` in a process of its own, on a free port, in a folder of its own. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { Connection } from '../../contract/connection.ts'
import { eventually } from './eventually.ts'

export const root = resolve(import.meta.dirname, '..', '..')
const command = join(root, 'bin', 'millwright.mjs')

export type Product = {
  readonly url: string
  readonly folder: string
  readonly readyMs: number
  readonly process: ChildProcess
  /** What `start --json` said. */
  readonly events: Record<string, unknown>[]
  connection(): { connection: Connection; ca: string }
  get<T>(path: string, parse: (value: unknown) => T): Promise<T>
  operatorToken(): string
  /** Ends it as Ctrl-C does; the time that took. */
  stop(): Promise<number>
}

export function newFolder(): string {
  return mkdtempSync(join(tmpdir(), 'mill wright-'))
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
}

/** A company's network: a proxy that does not reach this computer, and nobody has said what is not to be asked of it. */
const nowhere = 'http://127.0.0.1:9'
const behindProxy = { ...process.env, HTTP_PROXY: nowhere, HTTPS_PROXY: nowhere, NO_PROXY: '', no_proxy: '' }

export async function startProduct(folder: string, options: readonly string[] = []): Promise<Product> {
  const startedMs = Date.now()
  const child = spawn(process.execPath, [command, 'start', '--json', '--port', '0', '--data', folder, ...options], {
    cwd: root,
    env: behindProxy,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const events: Record<string, unknown>[] = []
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  createInterface(child.stdout).on('line', (line) => line.startsWith('{') && events.push(JSON.parse(line) as Record<string, unknown>))
  const ready = await eventually(
    () => {
      if (child.exitCode !== null) return new Error(`start ended with code ${child.exitCode}: ${errors}`)
      return events.find(({ event }) => event === 'ready')
    },
    { withinMs: 90_000, what: 'ready' },
  )
  if (ready instanceof Error) throw ready
  const url = String(ready.url)
  return {
    url,
    folder,
    readyMs: Date.now() - startedMs,
    process: child,
    events,
    connection() {
      const connection = Connection.parse(JSON.parse(readFileSync(join(folder, 'connection.json'), 'utf8')))
      return { connection, ca: readFileSync(connection.ca!, 'utf8') }
    },
    async get(path, parse) {
      const response = await fetch(`${url}/api/v1/${path}`)
      if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
      return parse(await response.json())
    },
    operatorToken: () => readFileSync(join(folder, 'operator-token'), 'utf8').trim(),
    stop: () => stop(child),
  }
}

async function stop(child: ChildProcess): Promise<number> {
  const startedMs = Date.now()
  if (child.exitCode === null && child.signalCode === null) {
    const ended = new Promise((done) => child.once('exit', done))
    child.kill('SIGINT')
    await ended
  }
  return Date.now() - startedMs
}

/** Runs a sub-command to its end. */
export function runCommand(
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((done, reject) => {
    const child = spawn(process.execPath, [command, ...args], {
      cwd: root,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    child.once('error', reject)
    child.once('close', (code) => done({ code, stdout, stderr }))
  })
}

export type RunningProcess = { readonly pid: number; readonly parent: number; readonly commandLine: string }

/** A process and all below it, from /proc. Linux only. */
export function processTree(root: number): RunningProcess[] {
  const all = readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return []
    try {
      const status = readFileSync(`/proc/${name}/stat`, 'utf8')
      const parent = Number(status.slice(status.lastIndexOf(')') + 2).split(' ')[1])
      return [{ pid: Number(name), parent, commandLine: readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ') }]
    } catch {
      return []
    }
  })
  const tree = all.filter(({ pid }) => pid === root)
  for (let index = 0; index < tree.length; index++) tree.push(...all.filter(({ parent }) => parent === tree[index]!.pid))
  return tree
}

/** Addresses that a process listens on, `127.0.0.1:7300`. Linux only. */
export function listeningAddresses(pid: number): string[] {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((descriptor) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${descriptor}`))?.[1] ?? []
      } catch {
        return []
      }
    }),
  )
  return ['tcp', 'tcp6', 'udp', 'udp6'].flatMap((kind) =>
    readFileSync(`/proc/${pid}/net/${kind}`, 'utf8')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      // 0A is LISTEN; a UDP socket is bound when its state is 07.
      .filter((fields) => inodes.has(fields[9] ?? '') && (fields[3] === '0A' || (kind.startsWith('udp') && fields[3] === '07')))
      .map((fields) => hexAddress(fields[1]!)),
  )
}

function hexAddress(text: string): string {
  const [host = '', port = ''] = text.split(':')
  const bytes =
    host.length === 8
      ? host
          .match(/../g)!
          .toReversed()
          .map((byte) => Number.parseInt(byte, 16))
          .join('.')
      : host
  return `${bytes}:${Number.parseInt(port, 16)}`
}
