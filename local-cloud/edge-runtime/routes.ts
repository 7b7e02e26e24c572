/** Routes of an IoT Edge deployment: `FROM source [WHERE condition] INTO sink`, with priority and time to live. */
import { z } from 'zod'
import { QuerySyntaxError } from '../query/tokens.ts'
import { parseMessageCondition } from '../routing/message-condition.ts'
import type { MessageCondition, RoutableMessage } from '../routing/message-condition.ts'

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
  storeAndForwardConfiguration: z
    .looseObject({
      timeToLiveSecs: z.number().int().positive().default(7200),
      /** What the store may hold; a publish beyond it is not acknowledged. */
      storeLimits: z.object({ maxSizeBytes: z.number().int().positive() }).optional(),
    })
    .prefault({}),
})

export function parseRoutes(desired: z.infer<typeof EdgeHubDesired>): EdgeRoute[] {
  return Object.entries(desired.routes).map(([name, { route, priority, timeToLiveSecs }]) => ({
    name,
    ...parseRoute(route),
    priority,
    timeToLiveS: timeToLiveSecs,
  }))
}

/** @throws QuerySyntaxError */
export function parseRoute(text: string): Pick<EdgeRoute, 'matches' | 'endpoint'> {
  const match = /^\s*FROM\s+(\S+)\s+(?:WHERE\s+(.+?)\s+)?INTO\s+(.+?)\s*$/is.exec(text)
  if (!match) throw new QuerySyntaxError(`'${text}' is not FROM … [WHERE …] INTO …`)
  const [, source = '', where, sink = ''] = match
  const isFromSource = parseSource(source)
  const condition: MessageCondition = where === undefined ? () => true : parseMessageCondition(where)
  return { matches: (message) => isFromSource(message) && condition(message), endpoint: parseSink(sink) }
}

function parseSource(source: string): (message: EdgeSource) => boolean {
  if (source === '/*' || source === '/messages/*') return () => true
  const module = /^\/messages\/modules\/([^/]+)\/(?:outputs\/([^/]+)|\*)$/.exec(source)
  if (!module)
    throw new QuerySyntaxError(`'${source}' is no source: /messages/*, /messages/modules/{m}/* or /messages/modules/{m}/outputs/{o}`)
  const [, moduleId, output] = module
  return (message) => message.moduleId === moduleId && (output === undefined || output === '*' || message.output === output)
}

function parseSink(sink: string): Endpoint {
  if (sink.toLowerCase() === '$upstream') return { kind: 'upstream' }
  const input = /^BrokeredEndpoint\(\s*["']\/modules\/([^/]+)\/inputs\/([^/"']+)["']\s*\)$/i.exec(sink)
  if (!input) throw new QuerySyntaxError(`'${sink}' is no sink: $upstream or BrokeredEndpoint("/modules/{m}/inputs/{i}")`)
  return { kind: 'module-input', moduleId: input[1]!, input: input[2]! }
}
