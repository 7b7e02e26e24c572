/** A part of the product in a process of its own: started, waited for, started again when it ends, stopped in time. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { endProcess } from '../../local-cloud/end-process.ts'
import { LogFile } from './log-file.ts'
import { SupervisorMessage } from './messages.ts'

export type ChildOptions = {
  readonly name: string
  readonly script: string
  readonly args: readonly string[]
  /** Arguments to start it with again: where the first start was given a free port, others rely on it now. */
  readonly argsOnceReady?: (details: Record<string, string>) => readonly string[]
  readonly environment: NodeJS.ProcessEnv
  readonly logFile: string
  /** Once it is set, nothing is started again. */
  readonly signal: AbortSignal
  readonly onRestart: (name: string, why: string) => void
}

const limits = {
  readyMs: 60_000,
  stopMs: 1_500,
  restartMsMin: 300,
  restartMsMax: 15_000,
  stableMs: 30_000,
  logBytes: 8 * 1024 * 1024,
} as const

export class SupervisedProcess {
  readonly #options: ChildOptions
  readonly #log: LogFile
  #args: readonly string[]
  #child: ChildProcess | undefined
  #isStopping = false
  /** Why it may have ended. */
  #lastError = 'without a word'
  #pauseMs: number = limits.restartMsMin
  #restart: NodeJS.Timeout | undefined

  constructor(options: ChildOptions) {
    this.#options = options
    this.#args = options.args
    this.#log = new LogFile(options.logFile, limits.logBytes)
    // What a child says behind its end is not kept.
    this.#log.on('error', () => {})
  }

  get name(): string {
    return this.#options.name
  }

  get processId(): number | undefined {
    return this.#child?.pid
  }

  /** Starts the process and resolves with what it announces. @throws when it ends first, or takes too long */
  start(): Promise<Record<string, string>> {
    const { name, logFile } = this.#options
    return new Promise((resolve, reject) => {
      let isReady = false
      const timer = setTimeout(
        () => reject(new Error(`${name} was not ready within ${limits.readyMs / 1000} s; its log is ${logFile}`)),
        limits.readyMs,
      )
      const onReady = (details: Record<string, string>) => {
        if (isReady) return
        isReady = true
        clearTimeout(timer)
        this.#args = this.#options.argsOnceReady?.(details) ?? this.#args
        resolve(details)
      }
      const onEnd = (why: string) => {
        clearTimeout(timer)
        if (isReady) return
        // Before it was ever ready there is nothing to keep alive: the caller is told instead.
        this.#isStopping = true
        reject(new Error(`${name} ended with ${why}: ${this.#lastError}; its log is ${logFile}`))
      }
      this.#spawn(onReady, onEnd)
    })
  }

  #spawn(onReady: (details: Record<string, string>) => void = () => {}, onEnd: (why: string) => void = () => {}): void {
    const { script, environment } = this.#options
    const startedMs = Date.now()
    // The channel tells a child when its supervisor is gone, also by kill -9.
    const child = spawn(process.execPath, [script, ...this.#args], { env: environment, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
    this.#child = child
    child.stdout!.pipe(this.#log, { end: false })
    child.stderr!.pipe(this.#log, { end: false })
    child.stderr!.on('data', (chunk: Buffer) => (this.#lastError = lastLineOf(chunk.toString()) ?? this.#lastError))
    let hasEnded = false
    const ended = (why: string) => {
      if (hasEnded) return
      hasEnded = true
      onEnd(why)
      // A Ctrl-C of the terminal reaches every process of the group at once.
      if (this.#isStopping || this.#options.signal.aborted) return
      if (Date.now() - startedMs > limits.stableMs) this.#pauseMs = limits.restartMsMin
      this.#options.onRestart(this.#options.name, why)
      this.#restart = setTimeout(() => this.#spawn(), this.#pauseMs)
      this.#pauseMs = Math.min(this.#pauseMs * 2, limits.restartMsMax)
    }
    child.on('message', (message) => {
      const told = SupervisorMessage.safeParse(message).data
      if (told?.kind === 'ready') onReady(told.details)
      else if (told && !this.#isStopping && !this.#options.signal.aborted) this.#options.onRestart(told.name, told.why)
    })
    child.once('exit', (code, signal) => ended(signal ?? `code ${code}`))
    // A computer that has no room for one more process may have it in a moment.
    child.on('error', (error) => ended(error.message))
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    clearTimeout(this.#restart)
    if (this.#child) await endProcess(this.#child, limits.stopMs)
    await new Promise((resolve) => this.#log.end(resolve))
  }
}

function lastLineOf(text: string): string | undefined {
  return text.trim().split('\n').at(-1) || undefined
}
