/** OpenAPI 3.1 from the declared endpoints and their schemas: what is checked is what is described. */
import { z } from 'zod'
import { endpoints } from './endpoint.ts'
import type { Access, Endpoint } from './endpoint.ts'

type Json = Record<string, unknown>

const Problem = z
  .object({ type: z.string(), status: z.number(), title: z.string(), detail: z.string() })
  .meta({ id: 'Problem', description: 'Problem details (RFC 9457)' })

export function openApi(): Json {
  const components: Json = {}
  const paths: Record<string, Json> = {}
  for (const endpoint of endpoints()) {
    const path = `/${endpoint.path}`
    ;(paths[path] ??= {})[endpoint.method.toLowerCase()] = operation(endpoint, components)
  }
  schemaOf(Problem, 'output', components)
  return {
    openapi: '3.1.0',
    info: {
      title: 'Millwright',
      version: '1',
      description: 'Machines, their readings, their alerts, and what people do about them.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/api/v1' }],
    paths,
    components: {
      schemas: components,
      securitySchemes: {
        operatorToken: { type: 'http', scheme: 'bearer', description: 'content of `operator-token` in the data folder' },
        session: { type: 'apiKey', in: 'cookie', name: 'millwright-session' },
      },
    },
  }
}

function operation(endpoint: Endpoint, components: Json): Json {
  const { name, path, method, summary, access, query, body, response, types, status = 200, isConditional } = endpoint
  const parameters = [
    ...[...path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => ({
      name: parameter,
      in: 'path',
      required: true,
      schema: { type: 'string' },
    })),
    ...(query ? queryParameters(query) : []),
    ...(isConditional
      ? [{ name: 'If-Match', in: 'header', schema: { type: 'string' }, description: 'ETag of what is to be changed' }]
      : []),
  ]
  const content = response
    ? { 'application/json': { schema: schemaOf(response, 'output', components) } }
    : Object.fromEntries((types ?? []).map((type) => [type, {}]))
  return {
    operationId: name,
    tags: [path.split('/')[0]],
    summary,
    parameters,
    ...(body ? { requestBody: { content: { 'application/json': { schema: schemaOf(body, 'input', components) } } } } : {}),
    responses: {
      [status]: { description: summary, ...(Object.keys(content).length > 0 ? { content } : {}) },
      ...(method === 'GET' && response ? { 304: { description: 'Still what `If-None-Match` names' } } : {}),
      400: problem('The request is malformed'),
      ...(access === 'public' ? {} : { 401: problem('Not signed in'), 403: problem('Not allowed') }),
      ...(path.includes('{') ? { 404: problem('There is no such thing') } : {}),
      ...(method === 'GET' ? {} : { 409: problem('Makes no sense now') }),
      ...(isConditional ? { 412: problem('Changed meanwhile') } : {}),
      429: problem('Too many requests; `Retry-After` says for how long'),
      default: problem('The app, or what it needs, failed'),
    },
    security: security[access],
  }
}

function problem(description: string): Json {
  return { description, content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } } }
}

const signedIn = [{ operatorToken: [] }, { session: [] }]
/** On a laptop's loopback reading needs nobody. */
const security: Record<Access, readonly Json[]> = { public: [], viewer: [...signedIn, {}], operator: signedIn, engineer: signedIn }

function queryParameters(query: z.ZodType): Json[] {
  const { properties = {}, required = [] } = jsonSchema(query, 'input') as { properties?: Record<string, Json>; required?: string[] }
  return Object.entries(properties).map(([name, schema]) => ({ name, in: 'query', required: required.includes(name), schema }))
}

/** A schema with a name goes into the components once; the place where it is used refers to it. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output', components: Json): Json {
  const { $defs, ...own } = jsonSchema(schema, io) as Json & { $defs?: Record<string, Json> }
  Object.assign(components, $defs ?? {})
  return own
}

function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...described } = z.toJSONSchema(schema, { io, unrepresentable: 'any', target: 'draft-2020-12' }) as Json
  // Definitions live with the components of the document.
  return JSON.parse(JSON.stringify(described).replaceAll('"#/$defs/', '"#/components/schemas/')) as Json
}
