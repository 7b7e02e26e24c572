/** HTTP triggers: from a request to an invocation and back, with the route templates of the real host. */
import type http from 'node:http'
import { readBody, requestUrl } from '../http-request.ts'
import type { FunctionMetadata, InvocationRequest, InvocationResponse } from './core-api.ts'

const bodyBytesMax = 100 * 1024 * 1024

type Route = {
  readonly functionName: string
  readonly bindingName: string
  readonly methods: ReadonlySet<string>
  readonly segments: readonly string[]
}

export class HttpRoutes {
  readonly #routes: Route[]
  readonly #prefix: string

  constructor(functions: readonly FunctionMetadata[], routePrefix: string) {
    this.#prefix = routePrefix
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
        })),
    )
    // Literal segments win over parameters, as in ASP.NET routing.
    this.#routes.sort((a, b) => parameterCount(a) - parameterCount(b))
  }

  /** True when the path belongs to the functions. */
  owns(path: string): boolean {
    return path === `/${this.#prefix}` || path.startsWith(`/${this.#prefix}/`)
  }

  async handle(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    invoke: (functionName: string, request: InvocationRequest) => Promise<InvocationResponse>,
  ): Promise<void> {
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
    const body = await readBody(request, bodyBytesMax)
    if (!body) {
      response.writeHead(413).end()
      return
    }
    const { route, params } = found
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : (value ?? '')]),
    )
    const result = await invoke(route.functionName, {
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
    })
    answer(response, result)
  }

  #match(path: string, method: string): { route: Route; params: Record<string, string> } | 404 | 405 | 400 {
    const parts = path.slice(this.#prefix.length + 2).split('/')
    let isKnown = false
    for (const route of this.#routes) {
      if (route.segments.length !== parts.length) continue
      const params: Record<string, string> = {}
      try {
        const matches = route.segments.every((segment, index) => {
          const name = /^\{([^}:?]+)[^}]*\}$/.exec(segment)?.[1]
          const part = decodeURIComponent(parts[index]!)
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

function parameterCount({ segments }: Route): number {
  return segments.filter((segment) => segment.startsWith('{')).length
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
