/** Processes under measurement: started, watched from outside by /proc, ended. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

/** CPU seconds, user and system, that a process has used; a clock tick is 10 ms on Linux. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/** Resident bytes of a process now. */
export function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  await ended
}

export const said = (child: ChildProcess, text: string) =>
  new Promise<void>((resolve, reject) => {
    let output = ''
    child.once('exit', (code) => reject(new Error(`ended with code ${code}: ${output.slice(-500)}`)))
    child.stdout!.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      if (output.includes(text)) resolve()
    })
  })

/** Child processes of one, from /proc. */
export function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => {
      if (!/^\d+$/.test(name)) return false
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid
      } catch {
        return false
      }
    })
    .map(Number)
}

/** A script of this folder in a process of its own, talking in lines of JSON. */
export class Helper {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterableIterator<string>

  constructor(script: string, args: unknown, environment: NodeJS.ProcessEnv = {}) {
    this.#child = spawn(process.execPath, ['--expose-gc', '--import', 'tsx', new URL(script, import.meta.url).pathname], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...environment },
    })
    // Not as an argument: credentials of ten thousand devices are too long for one.
    this.tell(args)
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]()
  }

  get pid(): number {
    return this.#child.pid!
  }

  /** The next thing it says. @throws when it has ended */
  async next<T>(): Promise<T> {
    const { value, done } = await this.#lines.next()
    if (done) throw new Error(`a helper ended with code ${this.#child.exitCode}`)
    return JSON.parse(value) as T
  }

  tell(message: unknown): void {
    this.#child.stdin!.write(`${JSON.stringify(message)}\n`)
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGKILL')
    await ended
  }
}

/** What a helper says, and hears. */
export const say = (message: unknown) => process.stdout.write(`${JSON.stringify(message)}\n`)
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
export async function* heard(): AsyncGenerator {
  for await (const line of lines) yield JSON.parse(line) as unknown
}

/** The first thing a helper hears. */
export async function argumentsOf<T>(): Promise<T> {
  const { value } = (await lines.next()) as { value: string }
  return JSON.parse(value) as T
}
