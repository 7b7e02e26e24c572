/**
 * What only the laptop has, for its page under `/local`: how the local cloud is, its switches for faults, and the faults
 * that the simulator has planned. Changing takes an engineer who is signed in; the cloud's own token stays here.
 */
import { existsSync } from 'node:fs'
import type http from 'node:http'
import { identify, requireOwnPage, requireRole } from '../cloud-functions/api/identity.ts'
import type { IdentitySettings } from '../cloud-functions/api/identity.ts'
import { Problem } from '../cloud-functions/api/problem.ts'
import { linesOf } from '../device-sim/agents/lines.ts'
import { readBody, requestUrl } from '../local-cloud/http-request.ts'

export type LaptopSwitchesOptions = {
  readonly inspector: { readonly url: string; readonly token: string }
  /** NDJSON of what befalls which machine, when; it may not be there. */
  readonly truthFile: string
  readonly identity: IdentitySettings
}

const bodyBytesMax = 4_096
const labelsMax = 10_000
const timeoutMs = 5_000

/** @returns true when it took the request */
export function laptopSwitches(options: LaptopSwitchesOptions) {
  return (request: http.IncomingMessage, response: http.ServerResponse): boolean => {
    const path = requestUrl(request)?.pathname ?? ''
    if (!path.startsWith('/local/')) return false
    answer(options, request, path).then(
      ({ status, body }) => response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' }).end(body),
      (error: unknown) => {
        const problem = error instanceof Problem ? error : new Problem(502, 'No answer', 'the local cloud does not answer')
        const { status, title, message: detail } = problem
        response.writeHead(status, { 'content-type': 'application/problem+json' }).end(JSON.stringify({ status, title, detail }))
      },
    )
    return true
  }
}

async function answer(
  { inspector, truthFile, identity }: LaptopSwitchesOptions,
  request: http.IncomingMessage,
  path: string,
): Promise<{ status: number; body?: string }> {
  const cloud = (method: string, to: string, body?: string) =>
    fetch(new URL(to, inspector.url), {
      method,
      headers: { authorization: `Bearer ${inspector.token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body }),
      signal: AbortSignal.timeout(timeoutMs),
    })
  const method = request.method ?? 'GET'
  if (path === '/local/state' && method === 'GET') {
    const state = await cloud('GET', '/millwright/state')
    return { status: state.status, body: await state.text() }
  }
  if (path === '/local/truth' && method === 'GET') return { status: 200, body: JSON.stringify({ labels: await labelsIn(truthFile) }) }
  if (path === '/local/faults' && (method === 'POST' || method === 'DELETE')) {
    const headers = { get: (name: string) => [request.headers[name] ?? null].flat()[0] ?? null }
    requireRole(identify(headers, identity, Date.now()), 'engineer', identity)
    if (headers.get('authorization') === null) requireOwnPage(headers)
    const body = await readBody(request, bodyBytesMax)
    if (!body) throw new Problem(413, 'Too large', `a body of at most ${bodyBytesMax} bytes is taken`)
    const set = await cloud(method, '/millwright/faults', method === 'POST' ? body.toString() : undefined)
    return set.status === 204 ? { status: 204 } : { status: set.status, body: await set.text() }
  }
  throw new Problem(404, 'Not here', `${method} ${path}`)
}

/** The newest labels. */
async function labelsIn(file: string): Promise<unknown[]> {
  if (!existsSync(file)) return []
  const labels: unknown[] = []
  for await (const line of linesOf(file)) {
    try {
      labels.push(JSON.parse(line))
    } catch {
      // A line that is being written, or that a crash cut off.
      continue
    }
    if (labels.length > labelsMax) labels.shift()
  }
  return labels
}
