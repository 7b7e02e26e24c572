/** A module as a child process: started again when it ends, with growing pauses, as its restart policy says. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { endProcess } from '../end-process.ts'

export type ModuleProcessOptions = {
  readonly name: string
  readonly script: string
  /** Options of Node for the module, before its script. */
  readonly nodeOptions: readonly string[]
  readonly environment: NodeJS.ProcessEnv
  readonly restartPolicy: 'never' | 'on-failure' | 'on-unhealthy' | 'always'
  readonly onChange: () => void
  readonly onRestart: (why: string) => void
  readonly log: (event: string, fields: Record<string, unknown>) => void
}

export type ModuleState = {
  readonly runtimeStatus: 'running' | 'backoff' | 'stopped' | 'failed'
  readonly startedMs: number
  readonly endedMs: number | undefined
  readonly exitCode: number
  readonly restartCount: number
}

const restartMsMin = 500
const restartMsMax = 30_000
/** A module that ran this long starts again at once. */
const stableMs = 60_000
const stopMsMax = 3_000

export class ModuleProcess {
  readonly #options: ModuleProcessOptions
  #child: ChildProcess | undefined
  #pauseMs = restartMsMin
  #isStopping = false
  #restart: NodeJS.Timeout | undefined
  #state: ModuleState = { runtimeStatus: 'running', startedMs: Date.now(), endedMs: undefined, exitCode: 0, restartCount: 0 }

  constructor(options: ModuleProcessOptions) {
    this.#options = options
    this.#start()
  }

  get processId(): number | undefined {
    return this.#child?.pid
  }

  get state(): ModuleState {
    return this.#state
  }

  #start(): void {
    const { name, script, nodeOptions, environment, log } = this.#options
    const startedMs = Date.now()
    // The channel tells the module when its runtime is gone, even by kill -9.
    const child = spawn(process.execPath, [...nodeOptions, script], { env: environment, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#child = child
    this.#state = { ...this.#state, runtimeStatus: 'running', startedMs }
    log('module-started', { module: name, pid: child.pid })
    child.once('exit', (code, signal) => {
      if (this.#isStopping) return
      this.#ended(code, signal, startedMs)
      this.#options.onChange()
    })
  }

  #ended(code: number | null, signal: NodeJS.Signals | null, startedMs: number): void {
    const { name, restartPolicy, log, onChange } = this.#options
    const endedMs = Date.now()
    const isFailure = code !== 0
    const isRestarted = restartPolicy === 'always' || (isFailure && restartPolicy !== 'never')
    if (endedMs - startedMs > stableMs) this.#pauseMs = restartMsMin
    const runtimeStatus = isRestarted ? 'backoff' : isFailure ? 'failed' : 'stopped'
    this.#state = {
      ...this.#state,
      runtimeStatus,
      endedMs,
      exitCode: code ?? 128,
      restartCount: this.#state.restartCount + (isRestarted ? 1 : 0),
    }
    log('module-ended', { module: name, code, signal, ...(isRestarted ? { restartInMs: this.#pauseMs } : {}) })
    if (!isRestarted) return
    this.#options.onRestart(signal ?? `code ${code}`)
    this.#restart = setTimeout(() => {
      this.#start()
      onChange()
    }, this.#pauseMs)
    this.#pauseMs = Math.min(this.#pauseMs * 2, restartMsMax)
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    clearTimeout(this.#restart)
    if (this.#child) await endProcess(this.#child, stopMsMax)
  }
}
