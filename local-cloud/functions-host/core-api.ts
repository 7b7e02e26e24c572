/**
 * What `@azure/functions` asks of the Functions runtime through `@azure/functions-core`, as far as model v4 uses it
 * (azure-functions-nodejs-worker, types-core/index.d.ts). Values have the shapes of the worker's gRPC contract.
 */

/** A value between host and worker; exactly one field is set. */
export type TypedData = {
  readonly string?: string
  readonly json?: string
  readonly bytes?: Uint8Array
  readonly int?: number
  readonly double?: number
  readonly http?: HttpData
  readonly collectionBytes?: { readonly bytes: Uint8Array[] }
  readonly collectionString?: { readonly string: string[] }
  readonly collectionSint64?: { readonly sint64: (number | { low: number; high: number; unsigned: boolean })[] }
}

export type HttpData = {
  readonly method?: string
  readonly url?: string
  readonly statusCode?: string
  readonly headers?: Record<string, string>
  readonly nullableHeaders?: Record<string, { value: string }>
  readonly nullableParams?: Record<string, { value: string }>
  readonly nullableQuery?: Record<string, { value: string }>
  readonly cookies?: { name: string; value: string }[]
  readonly body?: TypedData
}

export type Binding = { readonly type: string; readonly direction: string; readonly [option: string]: unknown }

export type FunctionMetadata = {
  readonly name: string
  readonly bindings: Record<string, Binding>
  readonly retryOptions?: RetryOptions
}

export type RetryOptions = {
  readonly retryStrategy: 'fixedDelay' | 'exponentialBackoff'
  readonly maxRetryCount: number
  readonly delayInterval?: Duration
  readonly minimumInterval?: Duration
  readonly maximumInterval?: Duration
}
type Duration = { readonly seconds?: number; readonly nanos?: number }

export type InvocationRequest = {
  readonly inputData: { readonly name: string; readonly data: TypedData }[]
  readonly triggerMetadata: Record<string, TypedData>
  readonly retryContext?: { readonly retryCount: number; readonly maxRetryCount: number }
}

export type InvocationResponse = {
  readonly outputData?: { readonly name: string; readonly data: TypedData }[]
  readonly returnValue?: TypedData | null
}

export type LogLevel = 'trace' | 'debug' | 'information' | 'warning' | 'error' | 'critical' | 'none'

/** Messages between the host and a worker thread. */
export type Invocation = {
  readonly kind: 'invoke'
  readonly invocationId: string
  readonly functionName: string
  readonly request: InvocationRequest
}
export type HostMessage = Invocation | { readonly kind: 'terminate' }
export type WorkerMessage =
  | { readonly kind: 'ready'; readonly functions: FunctionMetadata[]; readonly httpUri: string | undefined }
  | { readonly kind: 'failed'; readonly error: string }
  | { readonly kind: 'result'; readonly invocationId: string; readonly response: InvocationResponse }
  | { readonly kind: 'error'; readonly invocationId: string; readonly error: string }
  | { readonly kind: 'log'; readonly level: LogLevel; readonly functionName: string | undefined; readonly text: string }
