/** Which service an HTTP request is for: one port has them all, told apart by path. */
import type http from 'node:http'
import type { Duplex } from 'node:stream'
import { readBody, requestUrl } from '../http-request.ts'
import type { RestRequest, RestResponse } from '../iot-hub/rest/request.ts'
import { peerCertificateOf } from '../security/peer-certificate.ts'

export type HttpService = {
  owns(path: readonly string[], url: URL): boolean
  handle(request: RestRequest): RestResponse | Promise<RestResponse>
}

export type HttpEntryOptions = {
  /** Asked in turn; the last one takes what nobody wants. */
  readonly services: readonly HttpService[]
  /** Takes requests over whole, before they are read. @returns false when they are none of its */
  readonly passThrough?: (request: http.IncomingMessage, response: http.ServerResponse, url: URL) => boolean
  readonly report: (event: string, fields: Record<string, unknown>) => void
}

const bodyBytesMax = 2 * 1024 * 1024

export function httpEntry({ services, passThrough, report }: HttpEntryOptions): http.RequestListener {
  return (request, response) => {
    const url = requestUrl(request)
    const path = url && decodedPath(url)
    if (!url || !path) return void response.writeHead(400).end()
    if (passThrough?.(request, response, url)) return
    const service = services.find((candidate) => candidate.owns(path, url)) ?? services.at(-1)!
    answer(request, url, path, service).then(
      ({ status, body, headers }) => {
        const isRaw = Buffer.isBuffer(body)
        const content = body === undefined ? undefined : isRaw ? body : JSON.stringify(body)
        const type = content === undefined ? {} : { 'content-type': isRaw ? 'application/octet-stream' : 'application/json; charset=utf-8' }
        response.writeHead(status, { ...type, ...headers }).end(content)
      },
      (error: unknown) => {
        report('request-failed', {
          method: request.method,
          path: url.pathname,
          error: error instanceof Error ? error.stack : String(error),
        })
        if (!response.headersSent) response.writeHead(500, { 'content-type': 'application/json' })
        response.end(JSON.stringify({ Message: 'ErrorCode:ServerError;the request failed' }))
      },
    )
  }
}

async function answer(request: http.IncomingMessage, url: URL, path: readonly string[], service: HttpService): Promise<RestResponse> {
  const body = await readBody(request, bodyBytesMax)
  if (!body) return { status: 413, headers: { connection: 'close' } }
  return service.handle({
    method: request.method ?? 'GET',
    url,
    path,
    headers: request.headers,
    body,
    certificate: () => peerCertificateOf(request.socket),
  })
}

/** Undefined when a part cannot be decoded. */
function decodedPath(url: URL): string[] | undefined {
  try {
    return url.pathname
      .split('/')
      .filter((part) => part !== '')
      .map(decodeURIComponent)
  } catch {
    return undefined
  }
}

export function refuseUpgrade(socket: Duplex): void {
  socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
}
