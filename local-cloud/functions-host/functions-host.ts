/**
 * Runs an unmodified Functions app (Node, model v4) as Azure's Flex Consumption does: the HTTP functions share one
 * worker, every other function has a worker of its own, so that none sees another's memory.
 */
import { readFile } from 'node:fs/promises'
import type http from 'node:http'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { readBody, requestUrl } from '../http-request.ts'
import type { Binding, FunctionMetadata, InvocationRequest, RetryOptions } from './core-api.ts'
import type { FunctionKeys } from './function-keys.ts'
import { isAuthorised } from './function-keys.ts'
import { HttpRoutes } from './http-routes.ts'
import { Outputs } from './outputs.ts'
import { startBlobListener } from './triggers/blob.ts'
import { eventGridPath, EventGridWebhook } from './triggers/event-grid.ts'
import type { EventGridFunction } from './triggers/event-grid.ts'
import { startEventHubListener } from './triggers/event-hub.ts'
import { startQueueListener } from './triggers/queue.ts'
import { startTimerListener } from './triggers/timer.ts'
import { WorkerThread } from './worker-thread.ts'

const HostJson = z.object({
  extensions: z
    .object({
      http: z.object({ routePrefix: z.string().default('api') }).default({ routePrefix: 'api' }),
      eventHubs: z
        .looseObject({
          maxEventBatchSize: z.number().int().positive().default(100),
          minEventBatchSize: z.number().int().positive().default(1),
          maxWaitTime: z.string().default('00:01:00'),
          batchCheckpointFrequency: z.number().int().positive().default(1),
          prefetchCount: z.number().int().positive().default(300),
          initialOffsetOptions: z.object({ type: z.enum(['fromStart', 'fromEnd']).default('fromStart') }).default({ type: 'fromStart' }),
        })
        .prefault({}),
      queues: z
        .looseObject({
          batchSize: z.number().int().min(1).max(32).default(16),
          maxDequeueCount: z.number().int().positive().default(5),
          maxPollingInterval: z.string().default('00:01:00'),
          visibilityTimeout: z.string().default('00:00:00'),
        })
        .prefault({}),
    })
    .prefault({}),
})

export type FunctionsHostOptions = {
  /** The app's main file, with `host.json` beside it. */
  readonly appFile: string
  /** The bundled worker. */
  readonly workerFile: string
  /** App settings, as they would stand in the function app's configuration. */
  readonly settings: Readonly<Record<string, string>>
  readonly longMetadata?: boolean
  /** Keys of HTTP functions that are not anonymous; without, none is asked for. */
  readonly keys?: FunctionKeys
  readonly log: (level: string, text: string) => void
}

export type FunctionsHost = {
  readonly functions: readonly FunctionMetadata[]
  /** Handles a request of the functions' prefix. @returns false when the path is not theirs */
  handleHttp(request: http.IncomingMessage, response: http.ServerResponse): boolean
  stop(): Promise<void>
}

export async function startFunctionsHost(options: FunctionsHostOptions): Promise<FunctionsHost> {
  const { appFile, workerFile, settings, log } = options
  const { extensions } = HostJson.parse(JSON.parse(await readFile(join(dirname(appFile), 'host.json'), 'utf8')))
  // App settings alone would lack PATH and the trusted certificates of this computer.
  const environment = { ...process.env, ...settings }
  const startWorker = () =>
    WorkerThread.start({
      workerFile,
      appFile,
      environment,
      log: (level, name, text) => log(level, name === undefined ? text : `${name}: ${text}`),
    })
  const httpWorker = await startWorker()
  const workers = [httpWorker]
  const listeners: { stop(): Promise<void> }[] = []
  const gridFunctions = new Map<string, EventGridFunction>()
  const outputs = new Outputs({
    connection: (name) => connectionSetting(settings, String(name ?? 'AzureWebJobsStorage')),
    resolve: (text) => resolveSetting(settings, text),
  })
  const triggered = httpWorker.functions.filter((metadata) => triggerOf(metadata).type !== 'httpTrigger')
  await Promise.all(
    triggered.map(async (metadata) => {
      const worker = await startWorker()
      workers.push(worker)
      listeners.push(await listen(metadata, worker))
    }),
  )

  async function listen(metadata: FunctionMetadata, worker: WorkerThread): Promise<{ stop(): Promise<void> }> {
    const trigger = triggerOf(metadata)
    const warn = (text: string) => log('warning', `${metadata.name}: ${text}`)
    const invoke = (request: InvocationRequest) => invokeWithRetries(metadata, worker, request)
    const setting = (name: unknown) => connectionSetting(settings, String(name ?? 'AzureWebJobsStorage'))
    switch (trigger.type) {
      case 'eventHubTrigger':
        return startEventHubListener({
          connectionString: setting(trigger.connection),
          eventHubName: resolveSetting(settings, String(trigger.eventHubName)),
          consumerGroup: resolveSetting(settings, String(trigger.consumerGroup ?? '$Default')),
          storage: setting('AzureWebJobsStorage'),
          settings: {
            ...extensions.eventHubs,
            maxWaitMs: timeSpanMs(extensions.eventHubs.maxWaitTime),
            initialOffset: extensions.eventHubs.initialOffsetOptions.type,
          },
          bindingName: trigger.bindingName,
          isBinary: trigger.dataType === 'binary',
          isSingle: trigger.cardinality === 'one',
          longMetadata: options.longMetadata ?? false,
          invoke,
          warn,
        })
      case 'queueTrigger': {
        const { batchSize, maxDequeueCount, maxPollingInterval, visibilityTimeout } = extensions.queues
        return startQueueListener({
          storage: setting(trigger.connection),
          queueName: resolveSetting(settings, String(trigger.queueName)),
          settings: {
            batchSize,
            maxDequeueCount,
            maxPollingMs: timeSpanMs(maxPollingInterval),
            visibilityTimeoutS: timeSpanMs(visibilityTimeout) / 1000,
          },
          bindingName: trigger.bindingName,
          invoke,
          warn,
        })
      }
      case 'timerTrigger':
        return startTimerListener({
          functionName: metadata.name,
          runOnStartup: trigger.runOnStartup === true,
          useMonitor: trigger.useMonitor !== false,
          storage: setting('AzureWebJobsStorage'),
          schedule: resolveSetting(settings, String(trigger.schedule)),
          bindingName: trigger.bindingName,
          invoke,
          warn,
        })
      case 'blobTrigger':
        return startBlobListener({
          functionName: metadata.name,
          storage: setting(trigger.connection),
          path: resolveSetting(settings, String(trigger.path)),
          bindingName: trigger.bindingName,
          invoke,
          warn,
        })
      case 'eventGridTrigger':
        gridFunctions.set(metadata.name.toLowerCase(), { bindingName: trigger.bindingName, isMany: trigger.cardinality === 'many', invoke })
        return { stop: async () => {} }
      default:
        throw new Error(`function '${metadata.name}' has a trigger of type '${trigger.type}', which this host does not know`)
    }
  }

  async function invokeWithRetries(metadata: FunctionMetadata, worker: WorkerThread, request: InvocationRequest): Promise<void> {
    const { retryOptions } = metadata
    const maxRetryCount = retryOptions?.maxRetryCount ?? 0
    for (let retryCount = 0; ; retryCount++) {
      try {
        const retryContext = retryCount > 0 ? { retryContext: { retryCount, maxRetryCount } } : {}
        await outputs.write(metadata, await worker.invoke(metadata.name, { ...request, ...retryContext }))
        return
      } catch (error) {
        // -1 retries for ever, as in the real policy.
        if (!retryOptions || stopping || (maxRetryCount >= 0 && retryCount >= maxRetryCount)) throw error
        log('warning', `${metadata.name}: retry ${retryCount + 1} after ${String(error)}`)
        await new Promise((resolve) => setTimeout(resolve, retryPauseMs(retryOptions, retryCount)))
      }
    }
  }

  let stopping = false
  const byName = new Map(httpWorker.functions.map((metadata) => [metadata.name, metadata]))
  const routes = new HttpRoutes(httpWorker.functions, extensions.http.routePrefix, {
    isAuthorised: (level, key) => isAuthorised(level, key, options.keys),
    httpUri: httpWorker.httpUri,
    async invoke(name, request, invocationId) {
      const answer = await httpWorker.invoke(name, request, invocationId)
      await outputs.write(byName.get(name)!, answer)
      return answer
    },
  })
  const eventGrid = new EventGridWebhook(gridFunctions)

  async function answerWebhook(request: http.IncomingMessage, response: http.ServerResponse, url: URL): Promise<void> {
    const key = url.searchParams.get('code') ?? [request.headers['aeg-sas-key'] ?? ''].flat()[0]
    if (!isAuthorised('function', key, options.keys)) return void response.writeHead(401).end()
    const body = await readBody(request, webhookBytesMax)
    if (!body) return void response.writeHead(413).end()
    const answer = await eventGrid.handle({ method: request.method ?? 'GET', query: url.searchParams, headers: request.headers, body })
    response
      .writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers })
      .end(answer.body === undefined ? undefined : JSON.stringify(answer.body))
  }

  return {
    functions: httpWorker.functions,
    handleHttp(request, response) {
      const url = requestUrl(request)
      const isWebhook = url?.pathname === eventGridPath
      if (!url || (!isWebhook && !routes.owns(url.pathname))) return false
      const answered = isWebhook ? answerWebhook(request, response, url) : routes.handle(request, response)
      answered.catch((error: unknown) => {
        log('error', `${request.method} ${request.url}: ${String(error)}`)
        if (!response.headersSent) response.writeHead(500)
        response.end()
      })
      return true
    },
    async stop() {
      stopping = true
      await Promise.all(listeners.map((listener) => listener.stop()))
      await outputs.close()
      await Promise.all(workers.map((worker) => worker.stop()))
    },
  }
}

/** Event Grid delivers a megabyte at most. */
const webhookBytesMax = 1024 * 1024

function triggerOf({ name, bindings }: FunctionMetadata): Binding & { bindingName: string } {
  const found = Object.entries(bindings).find(([, binding]) => binding.type.toLowerCase().endsWith('trigger'))
  if (!found) throw new Error(`function '${name}' has no trigger`)
  return { bindingName: found[0], ...found[1] }
}

function connectionSetting(settings: Readonly<Record<string, string>>, name: string): string {
  const value = settings[name]
  if (value === undefined) throw new Error(`the app setting '${name}' is missing: a connection string is expected there`)
  return value
}

/** `%NAME%` stands for the app setting NAME. */
function resolveSetting(settings: Readonly<Record<string, string>>, text: string): string {
  return text.replace(/%([^%]+)%/g, (_, name: string) => connectionSetting(settings, name))
}

/** `hh:mm:ss` of host.json. */
function timeSpanMs(text: string): number {
  const [hours = 0, minutes = 0, seconds = 0] = text.split(':').map(Number)
  return ((hours * 60 + minutes) * 60 + seconds) * 1000
}

function retryPauseMs({ retryStrategy, delayInterval, minimumInterval, maximumInterval }: RetryOptions, retryCount: number): number {
  const ms = (duration: { seconds?: number; nanos?: number } | undefined) => (duration?.seconds ?? 0) * 1000 + (duration?.nanos ?? 0) / 1e6
  if (retryStrategy === 'fixedDelay') return ms(delayInterval)
  return Math.min(ms(maximumInterval), ms(minimumInterval) * 2 ** retryCount)
}
