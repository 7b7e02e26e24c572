/** The host's side of a worker thread: starts it, sends invocations, matches the answers. */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { FunctionMetadata, HostMessage, InvocationRequest, InvocationResponse, LogLevel, WorkerMessage } from './core-api.ts'

/** The real host gives longer; a laptop's Ctrl-C does not. */
const terminateMsMax = 1_000

export type WorkerLog = (level: LogLevel, functionName: string | undefined, text: string) => void

export class WorkerThread {
  readonly functions: readonly FunctionMetadata[]
  /** Where the app takes streamed requests, undefined when it does not stream. */
  readonly httpUri: string | undefined
  readonly #worker: Worker
  readonly #ended: Promise<unknown>
  readonly #waiting = new Map<string, { resolve: (response: InvocationResponse) => void; reject: (error: Error) => void }>()

  private constructor(worker: Worker, { functions, httpUri }: WorkerMessage & { kind: 'ready' }, log: WorkerLog) {
    this.#worker = worker
    this.#ended = new Promise((resolve) => worker.once('exit', resolve))
    this.functions = functions
    this.httpUri = httpUri
    worker.on('message', (message: WorkerMessage) => this.#receive(message, log))
    worker.on('error', (error) => this.#fail(error))
    worker.on('exit', (code) => this.#fail(new Error(`the worker ended with code ${code}`)))
  }

  /** @param workerFile the bundled `worker.ts` @param appFile the app's main file */
  static start(options: { workerFile: string; appFile: string; environment: NodeJS.ProcessEnv; log: WorkerLog }): Promise<WorkerThread> {
    const { workerFile, appFile, environment, log } = options
    const worker = new Worker(workerFile, { workerData: { appFile }, env: environment })
    return new Promise((resolve, reject) => {
      worker.once('error', reject)
      const onMessage = (message: WorkerMessage) => {
        if (message.kind === 'log') return log(message.level, message.functionName, message.text)
        worker.off('message', onMessage)
        worker.off('error', reject)
        if (message.kind === 'ready') return resolve(new WorkerThread(worker, message, log))
        reject(new Error(`the app cannot be loaded: ${message.kind === 'failed' ? message.error : message.kind}`))
      }
      worker.on('message', onMessage)
    })
  }

  invoke(functionName: string, request: InvocationRequest, invocationId: string = randomUUID()): Promise<InvocationResponse> {
    return new Promise((resolve, reject) => {
      this.#waiting.set(invocationId, { resolve, reject })
      this.#worker.postMessage({ kind: 'invoke', invocationId, functionName, request } satisfies HostMessage)
    })
  }

  #receive(message: WorkerMessage, log: WorkerLog): void {
    if (message.kind === 'log') return log(message.level, message.functionName, message.text)
    if (message.kind !== 'result' && message.kind !== 'error') return
    const waiting = this.#waiting.get(message.invocationId)
    this.#waiting.delete(message.invocationId)
    if (message.kind === 'result') waiting?.resolve(message.response)
    else waiting?.reject(new Error(message.error))
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }

  /** Lets the app end what it has begun, as the real host does, and ends the worker then or when its time is over. */
  async stop(): Promise<void> {
    this.#worker.postMessage({ kind: 'terminate' } satisfies HostMessage)
    await Promise.race([this.#ended, delay(terminateMsMax, undefined, { ref: false })])
    await this.#worker.terminate()
  }
}
