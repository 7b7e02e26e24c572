/** A module as a child process: started again when it ends, with growing pauses, as edgeAgent's restart policy says. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'

export type ModuleProcessOptions = {
  readonly name: string
  readonly script: string
  readonly environment: NodeJS.ProcessEnv
  readonly log: (event: string, fields: Record<string, unknown>) => void
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

  constructor(options: ModuleProcessOptions) {
    this.#options = options
    this.#start()
  }

  get processId(): number | undefined {
    return this.#child?.pid
  }

  #start(): void {
    const { name, script, environment, log } = this.#options
    const startedMs = Date.now()
    // The channel tells the module when its runtime is gone, even by kill -9.
    const child = spawn(process.execPath, [script], { env: environment, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#child = child
    log('module-started', { module: name, pid: child.pid })
    child.once('exit', (code, signal) => {
      if (this.#isStopping) return
      if (Date.now() - startedMs > stableMs) this.#pauseMs = restartMsMin
      log('module-ended', { module: name, code, signal, restartInMs: this.#pauseMs })
      this.#restart = setTimeout(() => this.#start(), this.#pauseMs)
      this.#pauseMs = Math.min(this.#pauseMs * 2, restartMsMax)
    })
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    clearTimeout(this.#restart)
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), stopMsMax)
      child.once('exit', () => {
        clearTimeout(timer)
        resolve()
      })
      child.kill('SIGTERM')
    })
  }
}
