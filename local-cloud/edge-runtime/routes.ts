/** Routes of an IoT Edge deployment: `FROM source [WHERE condition] INTO sink`, with priority and time to live. */
import { z } from 'zod'
import { parseCondition, RouteSyntaxError } from '../routing/condition.ts'
import type { Condition, RoutableMessage } from '../routing/condition.ts'

export type Endpoint = { readonly kind: 'upstream' } | { readonly kind: 'module-input'; readonly moduleId: string; readonly input: string }

export type EdgeRoute = {
  readonly name: string
  readonly matches: (message: EdgeSource & RoutableMessage) => boolean
  readonly endpoint: Endpoint
  /** 0 goes first, 9 last. */
  readonly priority: number
  /** 0 takes the store's own time to live. */
  readonly timeToLiveS: number
}

export type EdgeSource = { readonly moduleId: string | undefined; readonly output: string | undefined }

const RouteEntry = z.union([
  z.string().transform((route) => ({ route, priority: 9, timeToLiveSecs: 0 })),
  z.object({ route: z.string(), priority: z.number().int().min(0).max(9).default(9), timeToLiveSecs: z.number().int().min(0).default(0) }),
])

/** `properties.desired` of `$edgeHub`, as far as it matters here. */
export const EdgeHubDesired = z.looseObject({
  routes: z.record(z.string(), RouteEntry).default({}),
  storeAndForwardConfiguration: z.object({ timeToLiveSecs: z.number().int().positive() }).default({ timeToLiveSecs: 7200 }),
})

export function parseRoutes(desired: z.infer<typeof EdgeHubDesired>): EdgeRoute[] {
  return Object.entries(desired.routes).map(([name, { route, priority, timeToLiveSecs }]) => ({
    name,
    ...parseRoute(route),
    priority,
    timeToLiveS: timeToLiveSecs,
  }))
}

/** @throws RouteSyntaxError */
export function parseRoute(text: string): Pick<EdgeRoute, 'matches' | 'endpoint'> {
  const match = /^\s*FROM\s+(\S+)\s+(?:WHERE\s+(.+?)\s+)?INTO\s+(.+?)\s*$/is.exec(text)
  if (!match) throw new RouteSyntaxError(`'${text}' is not FROM … [WHERE …] INTO …`)
  const [, source = '', where, sink = ''] = match
  const isFromSource = parseSource(source)
  const condition: Condition = where === undefined ? () => true : parseCondition(where)
  return { matches: (message) => isFromSource(message) && condition(message), endpoint: parseSink(sink) }
}

function parseSource(source: string): (message: EdgeSource) => boolean {
  if (source === '/*' || source === '/messages/*') return () => true
  const module = /^\/messages\/modules\/([^/]+)\/(?:outputs\/([^/]+)|\*)$/.exec(source)
  if (!module)
    throw new RouteSyntaxError(`'${source}' is no source: /messages/*, /messages/modules/{m}/* or /messages/modules/{m}/outputs/{o}`)
  const [, moduleId, output] = module
  return (message) => message.moduleId === moduleId && (output === undefined || output === '*' || message.output === output)
}

function parseSink(sink: string): Endpoint {
  if (sink.toLowerCase() === '$upstream') return { kind: 'upstream' }
  const input = /^BrokeredEndpoint\(\s*["']\/modules\/([^/]+)\/inputs\/([^/"']+)["']\s*\)$/i.exec(sink)
  if (!input) throw new RouteSyntaxError(`'${sink}' is no sink: $upstream or BrokeredEndpoint("/modules/{m}/inputs/{i}")`)
  return { kind: 'module-input', moduleId: input[1]!, input: input[2]! }
}
