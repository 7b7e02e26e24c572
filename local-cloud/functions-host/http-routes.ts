/**
 * HTTP triggers: from a request to an invocation and back, with the route templates and levels of authorisation of the
 * real host. An app that streams has a server of its own in its worker: the request is passed on to it.
 */
import { randomUUID } from 'node:crypto'
import http from 'node:http'
import { readBody, requestUrl } from '../http-request.ts'
import type { FunctionMetadata, InvocationRequest, InvocationResponse, TypedData } from './core-api.ts'

const bodyBytesMax = 100 * 1024 * 1024

type Route = {
  readonly functionName: string
  readonly bindingName: string
  readonly methods: ReadonlySet<string>
  readonly segments: readonly string[]
  readonly level: unknown
}

export type HttpRoutesOptions = {
  readonly isAuthorised: (level: unknown, key: string | undefined) => boolean
  /** Where the worker takes requests when the app streams; undefined when it does not. */
  readonly httpUri: string | undefined
  readonly invoke: (functionName: string, request: InvocationRequest, invocationId: string) => Promise<InvocationResponse>
}

export class HttpRoutes {
  readonly #routes: Route[]
  readonly #prefix: string

  readonly #options: HttpRoutesOptions

  constructor(functions: readonly FunctionMetadata[], routePrefix: string, options: HttpRoutesOptions) {
    this.#prefix = routePrefix
    this.#options = options
    this.#routes = functions.flatMap(({ name, bindings }) =>
      Object.entries(bindings)
        .filter(([, binding]) => binding.type === 'httpTrigger')
        .map(([bindingName, binding]) => ({
          functionName: name,
          bindingName,
          methods: new Set(
            Array.isArray(binding.methods) ? binding.methods.map((method) => String(method).toUpperCase()) : ['GET', 'POST'],
          ),
          segments: String(binding.route ?? name).split('/'),
          level: binding.authLevel ?? 'function',
        })),
    )
    this.#routes.sort((a, b) => (precedence(a) < precedence(b) ? -1 : 1))
  }

  /** True when the path belongs to the functions. */
  owns(path: string): boolean {
    return path === `/${this.#prefix}` || path.startsWith(`/${this.#prefix}/`)
  }

  async handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const url = requestUrl(request)
    if (!url) {
      response.writeHead(400).end()
      return
    }
    // The function sees the address as its caller wrote it.
    if (request.headers.host !== undefined) url.host = request.headers.host
    const found = this.#match(url.pathname, request.method ?? 'GET')
    if (typeof found === 'number') {
      response.writeHead(found).end()
      return
    }
    const { route, params } = found
    const key = url.searchParams.get('code') ?? [request.headers['x-functions-key'] ?? []].flat()[0]
    if (!this.#options.isAuthorised(route.level, key)) {
      response.writeHead(401).end()
      return
    }
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : (value ?? '')]),
    )
    if (this.#options.httpUri !== undefined) return this.#stream(request, response, this.#options.httpUri, { route, params, headers, url })
    const body = await readBody(request, bodyBytesMax)
    if (!body) {
      response.writeHead(413).end()
      return
    }
    const invocation: InvocationRequest = {
      inputData: [
        {
          name: route.bindingName,
          data: {
            http: {
              method: request.method ?? 'GET',
              url: url.href,
              nullableHeaders: nullable(headers),
              nullableParams: nullable(params),
              nullableQuery: nullable(Object.fromEntries(url.searchParams)),
              body: { bytes: body },
            },
          },
        },
      ],
      triggerMetadata: {},
    }
    answer(response, await this.#options.invoke(route.functionName, invocation, randomUUID()))
  }

  /** The invocation carries an empty request; the real one goes to the worker's server under the invocation's id. */
  async #stream(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    httpUri: string,
    { route, params, headers, url }: { route: Route; params: Record<string, string>; headers: Record<string, string>; url: URL },
  ): Promise<void> {
    const invocationId = randomUUID()
    const text = (value: string): TypedData => ({ string: value })
    const invoked = this.#options.invoke(
      route.functionName,
      {
        inputData: [{ name: route.bindingName, data: { http: {} } }],
        triggerMetadata: {
          ...Object.fromEntries(Object.entries(params).map(([name, value]) => [name, text(value)])),
          Headers: { json: JSON.stringify(headers) },
          Query: { json: JSON.stringify(Object.fromEntries(url.searchParams)) },
        },
      },
      invocationId,
    )
    const { connection: _, ...passed } = request.headers
    const forwarded = { ...passed, 'x-ms-invocation-id': invocationId, 'x-forwarded-host': url.host, 'x-forwarded-proto': 'http' }
    const outgoing = http.request(new URL(request.url ?? '/', httpUri), { method: request.method, headers: forwarded }, (incoming) => {
      const { 'x-ms-invocation-id': __, ...shown } = incoming.headers
      response.writeHead(incoming.statusCode ?? 502, shown)
      response.flushHeaders()
      incoming.pipe(response)
    })
    response.on('close', () => outgoing.destroy())
    const failed = new Promise<never>((_resolve, reject) =>
      outgoing.on('error', (error) => (response.writableEnded || response.destroyed ? undefined : reject(error))),
    )
    request.pipe(outgoing)
    await Promise.race([invoked, failed])
  }

  #match(path: string, method: string): { route: Route; params: Record<string, string> } | 404 | 405 | 400 {
    const parts = path.slice(this.#prefix.length + 2).split('/')
    let isKnown = false
    for (const route of this.#routes) {
      const isCatchAll = route.segments.at(-1)?.startsWith('{*') === true
      const required = route.segments.filter((segment) => !isOptional(segment)).length
      if (parts.length < required || (parts.length > route.segments.length && !isCatchAll)) continue
      const params: Record<string, string> = {}
      try {
        const matches = route.segments.every((segment, index) => {
          const name = /^\{\*?([^}:?=]+)[^}]*\}$/.exec(segment)?.[1]
          if (index >= parts.length) return isOptional(segment)
          if (name !== undefined && segment.startsWith('{*')) {
            params[name] = parts.slice(index).map(decodeURIComponent).join('/')
            return true
          }
          const part = decodeURIComponent(parts[index]!)
          if (name !== undefined && !meetsConstraint(segment, part)) return false
          if (name === undefined) return segment.toLowerCase() === part.toLowerCase()
          params[name] = part
          return part !== ''
        })
        if (!matches) continue
      } catch {
        return 400
      }
      isKnown = true
      if (route.methods.has(method)) return { route, params }
    }
    return isKnown ? 405 : 404
  }
}

/** `{name?}` and `{*rest}` may be missing. */
function isOptional(segment: string): boolean {
  return /^\{\*|\?\}$/.test(segment)
}

/** `{id:int}` and its like, as ASP.NET routes have them; a constraint that is not known lets everything through. */
function meetsConstraint(segment: string, part: string): boolean {
  const kind = /:(\w+)/.exec(segment)?.[1]
  if (kind === 'int' || kind === 'long') return /^-?\d+$/.test(part)
  if (kind === 'alpha') return /^[A-Za-z]+$/.test(part)
  if (kind === 'bool') return /^(true|false)$/i.test(part)
  if (kind === 'guid') return /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i.test(part)
  return true
}

/** As ASP.NET's inbound precedence: segment by segment, literals before constrained parameters, others, and what takes all that is left. */
function precedence({ segments }: Route): string {
  return segments
    .map((segment) => (segment.startsWith('{*') ? '4' : !segment.startsWith('{') ? '1' : segment.includes(':') ? '2' : '3'))
    .join('')
}

function nullable(values: Record<string, string>): Record<string, { value: string }> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { value }]))
}

function answer(response: http.ServerResponse, { returnValue, outputData }: InvocationResponse): void {
  const data = returnValue?.http ?? outputData?.find(({ data: output }) => output.http)?.data.http
  if (!data) {
    response.writeHead(204).end()
    return
  }
  const body = data.body?.bytes ?? (data.body?.string === undefined ? undefined : Buffer.from(data.body.string))
  const cookies = (data.cookies ?? []).map(({ name, value }) => `${name}=${value}`)
  response.writeHead(Number(data.statusCode ?? 200), { ...data.headers, ...(cookies.length > 0 ? { 'set-cookie': cookies } : {}) })
  response.end(body && body.length > 0 ? body : undefined)
}
