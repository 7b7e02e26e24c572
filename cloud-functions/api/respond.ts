/** How every HTTP function answers: JSON with an ETag, or problem details (RFC 9457). */
import { createHash } from 'node:crypto'
import type { HttpRequest, HttpResponseInit, InvocationContext } from '@azure/functions'
import { z } from 'zod'
import { Problem } from './problem.ts'

export class RawResponse {
  readonly init: HttpResponseInit
  constructor(init: HttpResponseInit) {
    this.init = init
  }
}

/** @param version what the ETag begins with, where a resource has a version that `If-Match` compares */
export function jsonWithEtag(request: HttpRequest, data: unknown, version: number | undefined): HttpResponseInit {
  const body = JSON.stringify(data)
  const hash = createHash('sha256').update(body).digest('base64url').slice(0, 22)
  const etag = version === undefined ? `"${hash}"` : `"${version}.${hash}"`
  const headers = { etag, 'cache-control': 'no-cache' }
  if (isReading(request) && request.headers.get('if-none-match') === etag) return { status: 304, headers }
  return { body, headers: { ...headers, 'content-type': 'application/json' } }
}

function isReading({ method }: HttpRequest): boolean {
  return method === 'GET' || method === 'HEAD'
}

export function problemResponse(error: unknown, context: InvocationContext): HttpResponseInit {
  const problem =
    error instanceof Problem
      ? error
      : error instanceof z.ZodError
        ? new Problem(400, 'Bad request', z.prettifyError(error))
        : new Problem(500, 'Internal error', 'The request failed; trying again may help.')
  if (problem.status >= 500) context.error(error)
  const body = JSON.stringify({ type: 'about:blank', status: problem.status, title: problem.title, detail: problem.message })
  return { status: problem.status, body, headers: { 'content-type': 'application/problem+json', ...problem.headers } }
}

const bodyBytesMax = 65_536

/** A request's body; an empty one is an empty object. @throws Problem */
export async function readJson(request: HttpRequest): Promise<unknown> {
  const text = await readText(request)
  if (text === '') return {}
  try {
    return JSON.parse(text)
  } catch {
    throw new Problem(400, 'Bad request', 'the body is not JSON')
  }
}

export async function readText(request: HttpRequest): Promise<string> {
  const text = await request.text()
  if (Buffer.byteLength(text) > bodyBytesMax) throw new Problem(413, 'Too large', `a body of at most ${bodyBytesMax} bytes is taken`)
  return text
}
