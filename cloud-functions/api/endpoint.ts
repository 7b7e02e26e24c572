/**
 * Every address of the API is declared once: path, who may ask, what is taken and what is answered. From that come the
 * registration with the Functions runtime, the checks before a handler sees a request, and the OpenAPI description.
 */
import { app } from '@azure/functions'
import type { FunctionOutput, HttpRequest, InvocationContext } from '@azure/functions'
import { z } from 'zod'
import type { Role } from '../../contract/api.ts'
import { appSettings } from '../services.ts'
import { identify, requireOwnPage, requireRole } from './identity.ts'
import type { Identity } from './identity.ts'
import { requirePatience } from './rate-limits.ts'
import { jsonWithEtag, problemResponse, RawResponse, readJson } from './respond.ts'

/** `public` needs nobody; `viewer` is everybody on a laptop's loopback, and whoever is signed in elsewhere. */
export type Access = 'public' | Role

type Parts<Query extends z.ZodType, Body extends z.ZodType> = {
  readonly params: Readonly<Record<string, string>>
  readonly query: z.infer<Query>
  readonly body: z.infer<Body>
  /** Who asks; only a public address, or reading on a laptop, may have nobody. */
  readonly who: Identity | undefined
  readonly request: HttpRequest
  readonly context: InvocationContext
}

export type Endpoint<Query extends z.ZodType = z.ZodType, Body extends z.ZodType = z.ZodType> = {
  /** Name of the function. */
  readonly name: string
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Below `/api/v1/`, with `{parameters}`. */
  readonly path: string
  readonly summary: string
  readonly access: Access
  readonly query?: Query
  readonly body?: Body
  /** Schema of an answer in JSON. */
  readonly response?: z.ZodType
  /** Content types of an answer that is no JSON. */
  readonly types?: readonly string[]
  /** Of an answer that went well; 200 when absent. */
  readonly status?: 202 | 204 | 303
  /** Takes `If-Match` with the ETag of what it changes. */
  readonly isConditional?: boolean
  readonly extraOutputs?: FunctionOutput[]
  /** @returns plain data, or a finished response */
  readonly handle: (parts: Parts<Query, Body>) => Promise<unknown>
  readonly versionOf?: (data: unknown) => number | undefined
}

const declared: Endpoint[] = []

/** All that have been declared, in their order. */
export function endpoints(): readonly Endpoint[] {
  return declared
}

export function endpoint<Query extends z.ZodType, Body extends z.ZodType>(declaration: Endpoint<Query, Body>): void {
  declared.push(declaration)
  const { name, method, path, access, query, body, extraOutputs, handle, versionOf } = declaration
  app.http(name, {
    // Who asks for the headers alone gets those of the whole answer.
    methods: method === 'GET' ? ['GET', 'HEAD'] : [method],
    authLevel: 'anonymous',
    route: `v1/${path}`,
    ...(extraOutputs ? { extraOutputs } : {}),
    handler: async (request, context) => {
      try {
        const who = allowed(access, method, request)
        await requirePatience(method, who?.name ?? request.headers.get('x-azure-clientip') ?? 'anonymous')
        const data = await handle({
          params: request.params,
          query: query?.parse(Object.fromEntries(request.query)) as z.infer<Query>,
          body: body?.parse(await readJson(request)) as z.infer<Body>,
          who,
          request,
          context,
        })
        return data instanceof RawResponse ? data.init : jsonWithEtag(request, data, versionOf?.(data))
      } catch (error) {
        return problemResponse(error, context)
      }
    },
  })
}

/** @throws Problem 401 or 403 */
function allowed(access: Access, method: string, request: HttpRequest): Identity | undefined {
  if (access === 'public') return undefined
  const { OPERATOR_TOKEN: operatorToken, PLATFORM_SIGN_IN } = appSettings()
  const settings = { operatorToken, isBehindPlatformSignIn: PLATFORM_SIGN_IN !== 'none' }
  const who = identify(request.headers, settings, Date.now())
  if (method !== 'GET' && request.headers.get('authorization') === null) requireOwnPage(request.headers)
  if (access === 'viewer' && !settings.isBehindPlatformSignIn) return who
  return requireRole(who, access, settings)
}
