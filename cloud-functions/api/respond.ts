/** How every HTTP function answers: JSON with an ETag, or problem details (RFC 9457). */
import { createHash } from 'node:crypto'
import type { HttpRequest, HttpResponseInit, InvocationContext } from '@azure/functions'
import { z } from 'zod'

/** A request that cannot be served, with what to tell the caller. */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly status: number
  readonly title: string
  constructor(status: number, title: string, detail: string) {
    super(detail)
    this.status = status
    this.title = title
  }
}

export type ApiHandler = (request: HttpRequest, context: InvocationContext) => Promise<unknown>

/** Wraps a handler that returns plain data, or a finished response marked by `raw`. */
export function answering(handler: ApiHandler) {
  return async (request: HttpRequest, context: InvocationContext): Promise<HttpResponseInit> => {
    try {
      const result = await handler(request, context)
      return result instanceof RawResponse ? result.init : jsonWithEtag(request, result)
    } catch (error) {
      return problemResponse(error, context)
    }
  }
}

export class RawResponse {
  readonly init: HttpResponseInit
  constructor(init: HttpResponseInit) {
    this.init = init
  }
}

function jsonWithEtag(request: HttpRequest, data: unknown): HttpResponseInit {
  const body = JSON.stringify(data)
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
  const headers = { etag, 'cache-control': 'no-cache' }
  if (request.method === 'GET' && request.headers.get('if-none-match') === etag) return { status: 304, headers }
  return { body, headers: { ...headers, 'content-type': 'application/json' } }
}

function problemResponse(error: unknown, context: InvocationContext): HttpResponseInit {
  const problem =
    error instanceof Problem
      ? error
      : error instanceof z.ZodError
        ? new Problem(400, 'Bad request', z.prettifyError(error))
        : new Problem(500, 'Internal error', 'The request failed; trying again may help.')
  if (problem.status >= 500) context.error(error)
  const body = JSON.stringify({ type: 'about:blank', status: problem.status, title: problem.title, detail: problem.message })
  return { status: problem.status, body, headers: { 'content-type': 'application/problem+json' } }
}

const bodyBytesMax = 16_384

/** A request's body; an empty one is an empty object. */
export async function readJson(request: HttpRequest): Promise<unknown> {
  const text = await request.text()
  if (text.length > bodyBytesMax) throw new Problem(413, 'Too large', `a body of at most ${bodyBytesMax} bytes is taken`)
  if (text === '') return {}
  try {
    return JSON.parse(text)
  } catch {
    throw new Problem(400, 'Bad request', 'the body is not JSON')
  }
}
