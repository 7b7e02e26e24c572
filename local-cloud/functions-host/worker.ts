/**
 * One language worker, in a thread of its own: loads an unmodified Functions app, answers its
 * `require('@azure/functions-core')`, and runs its functions when the host says so.
 */
import Module from 'node:module'
import net from 'node:net'
import { createRequire } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import { format } from 'node:util'
import { z } from 'zod'
import type {
  FunctionMetadata,
  HostMessage,
  Invocation,
  InvocationRequest,
  InvocationResponse,
  LogLevel,
  WorkerMessage,
} from './core-api.ts'

const { appFile } = z.object({ appFile: z.string() }).parse(workerData)
const host = parentPort!
const post = (message: WorkerMessage) => host.postMessage(message)

type Handler = (...inputs: unknown[]) => unknown
type InvocationModel = {
  getArguments(): Promise<{ context: unknown; inputs: unknown[] }>
  invokeFunction(context: unknown, inputs: unknown[], handler: Handler): Promise<unknown>
  getResponse(context: unknown, result: unknown): Promise<InvocationResponse>
}
type ProgrammingModel = {
  getInvocationModel(context: CoreContext): InvocationModel
  getCapabilities(capabilities: Record<string, string>): Promise<Record<string, string | undefined>>
}
type CoreContext = {
  readonly invocationId: string
  readonly request: InvocationRequest
  readonly metadata: FunctionMetadata
  readonly state: undefined
  log(level: LogLevel, category: string, text: string): void
}

class Disposable {
  readonly #onDispose: () => void
  constructor(onDispose: () => void) {
    this.#onDispose = onDispose
  }
  dispose(): void {
    this.#onDispose()
  }
}

const functions = new Map<string, { metadata: FunctionMetadata; handler: Handler }>()
const hooks = new Map<string, ((context: unknown) => unknown)[]>()
let model: ProgrammingModel | undefined

const core = {
  version: '3.9.1',
  hostVersion: '4.1054.100',
  Disposable,
  registerFunction(metadata: FunctionMetadata, handler: Handler) {
    functions.set(metadata.name, { metadata, handler })
    return new Disposable(() => functions.delete(metadata.name))
  },
  registerHook(name: string, hook: (context: unknown) => unknown) {
    hooks.set(name, [...(hooks.get(name) ?? []), hook])
    return new Disposable(() =>
      hooks.set(
        name,
        (hooks.get(name) ?? []).filter((other) => other !== hook),
      ),
    )
  },
  setProgrammingModel(chosen: ProgrammingModel) {
    model = chosen
  },
  getProgrammingModel: () => model,
  log: (level: LogLevel, _category: string, text: string) => post({ kind: 'log', level, functionName: undefined, text }),
}

// As the real worker does (setupCoreModule.ts): the library finds its runtime by requiring a module that does not exist.
const loader = Module as unknown as { _load(request: string, ...rest: unknown[]): unknown }
const load = loader._load.bind(loader)
loader._load = (request, ...rest) => (request === '@azure/functions-core' ? core : load(request, ...rest))

// Plain console output of an app is a log line, too.
for (const [method, level] of [
  ['log', 'information'],
  ['info', 'information'],
  ['warn', 'warning'],
  ['error', 'error'],
] as const) {
  console[method] = (...values: unknown[]) => post({ kind: 'log', level, functionName: undefined, text: format(...values) })
}

async function runHooks(name: string, context: unknown): Promise<void> {
  for (const hook of hooks.get(name) ?? []) await hook(context)
}

async function invoke({ invocationId, functionName, request }: Invocation): Promise<InvocationResponse> {
  const registered = functions.get(functionName)
  if (!registered || !model) throw new Error(`there is no function '${functionName}'`)
  const { metadata, handler } = registered
  const invocation = model.getInvocationModel({
    invocationId,
    request,
    metadata,
    state: undefined,
    log: (level, _category, text) => post({ kind: 'log', level, functionName, text }),
  })
  const { context, inputs } = await invocation.getArguments()
  const hookData = {}
  const before = { hookData, invocationContext: context, inputs, functionHandler: handler }
  await runHooks('preInvocation', before)
  const after: { hookData: object; invocationContext: unknown; inputs: unknown[]; result: unknown; error: unknown } = {
    hookData,
    invocationContext: context,
    inputs: before.inputs,
    result: null,
    error: null,
  }
  try {
    after.result = await invocation.invokeFunction(context, before.inputs, before.functionHandler)
  } catch (error) {
    after.error = error
  }
  await runHooks('postInvocation', after)
  if (after.error !== null && after.error !== undefined) throw after.error
  return invocation.getResponse(context, after.result)
}

async function terminate(): Promise<void> {
  try {
    await runHooks('appTerminate', { hookData: {} })
  } catch (error) {
    core.log('error', '', `the app ended with an error: ${String(error)}`)
  }
  // Of a thread: it ends this one.
  process.exit(0)
}

host.on('message', (message: HostMessage) => {
  if (message.kind === 'terminate') return void terminate()
  const { invocationId } = message
  invoke(message).then(
    (response) => post({ kind: 'result', invocationId, response }),
    (error: unknown) =>
      post({ kind: 'error', invocationId, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  )
})

async function start(): Promise<void> {
  createRequire(appFile)(appFile)
  await runHooks('appStart', { hookData: {} })
  const capabilities = await onLoopback(async () => model?.getCapabilities({}))
  post({
    kind: 'ready',
    functions: [...functions.values()].map(({ metadata }) => metadata),
    httpUri: capabilities?.HttpUri?.replace('//localhost:', '//127.0.0.1:'),
  })
}

/** The library opens its server for streams on all interfaces; on this computer it is for this computer. */
async function onLoopback<T>(open: () => Promise<T>): Promise<T> {
  const { listen } = net.Server.prototype
  net.Server.prototype.listen = function (this: net.Server, ...given: unknown[]) {
    const [first, second] = given
    const port = typeof first === 'number' ? first : 0
    const onListening = [first, second].find((one) => typeof one === 'function')
    return (listen as (...options: unknown[]) => net.Server).call(this, port, '127.0.0.1', onListening)
  } as typeof listen
  try {
    return await open()
  } finally {
    net.Server.prototype.listen = listen
  }
}

start().catch((error: unknown) => post({ kind: 'failed', error: error instanceof Error ? (error.stack ?? error.message) : String(error) }))
