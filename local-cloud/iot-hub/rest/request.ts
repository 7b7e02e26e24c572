/** A request to the hub's REST API, and what is said of who sends it. */
import { z } from 'zod'
import type { PeerCertificate } from '../../security/peer-certificate.ts'
import { HubError } from '../hub-errors.ts'

export type RestRequest = {
  readonly method: string
  readonly url: URL
  /** The path's parts, decoded. */
  readonly path: readonly string[]
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
  readonly certificate: () => PeerCertificate | undefined
}

/** `body` is sent as JSON, bytes as they are. */
export type RestResponse = { readonly status: number; readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> }

export type Right = 'registryRead' | 'registryWrite' | 'service' | 'device'
export type SharedAccessPolicy = { readonly name: string; readonly key: string; readonly rights: readonly Right[] }

export function headerOf(request: RestRequest, name: string): string | undefined {
  const value = request.headers[name]
  return Array.isArray(value) ? value[0] : value
}

/** @throws HubError when the body is not what the schema says */
export function jsonBody<Schema extends z.ZodType>(request: RestRequest, schema: Schema): z.infer<Schema> {
  let value: unknown
  try {
    value = JSON.parse(request.body.toString() || '{}')
  } catch {
    throw new HubError('ArgumentInvalid', 'the body is not JSON')
  }
  const parsed = schema.safeParse(value)
  if (!parsed.success) throw new HubError('ArgumentInvalid', z.prettifyError(parsed.error))
  return parsed.data
}

/** @throws HubError 412 when If-Match names another version */
export function requireEtag(request: RestRequest, etag: string): void {
  const ifMatch = headerOf(request, 'if-match')?.replace(/^W\//, '').replaceAll('"', '')
  if (ifMatch !== undefined && ifMatch !== '*' && ifMatch !== etag) throw new HubError('PreconditionFailed', 'the ETag does not match')
}

/** A page of a longer answer; the continuation token is where the next one begins. */
export function page<Row>(request: RestRequest, rows: readonly Row[]): { rows: Row[]; headers: Record<string, string> } {
  const size = Math.min(Math.max(Number(headerOf(request, 'x-ms-max-item-count') ?? 100) || 100, 1), 1000)
  const token = headerOf(request, 'x-ms-continuation')
  const start = token ? Number(Buffer.from(token, 'base64').toString()) : 0
  if (!Number.isInteger(start) || start < 0) throw new HubError('ArgumentInvalid', 'the continuation token is not one of this hub')
  const end = start + size
  return {
    rows: rows.slice(start, end),
    headers: end < rows.length ? { 'x-ms-continuation': Buffer.from(String(end)).toString('base64') } : {},
  }
}

export function errorBody({ status, code, errorCode, message }: HubError): RestResponse {
  return {
    status,
    body: { Message: `ErrorCode:${code};${message}`, ExceptionMessage: `Tracking ID:;${new Date().toISOString()};errorCode:${errorCode}` },
    headers: { 'iothub-errorcode': code },
  }
}
