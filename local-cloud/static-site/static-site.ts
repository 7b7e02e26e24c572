/**
 * The page and the API under one origin, as a Static Web App with linked functions would serve them. Bound to loopback,
 * and only for requests that name it: a page of another site cannot reach it by rebinding its name.
 */
import { createHash } from 'node:crypto'
import { readFile, readdir } from 'node:fs/promises'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { requestUrl } from '../http-request.ts'

export type StaticSiteOptions = {
  readonly directory: string
  readonly port: number
  /** Origins that the page may open connections to, beside its own. */
  readonly connectTo?: readonly string[]
  /** @returns true when it took the request */
  readonly handleApi: (request: http.IncomingMessage, response: http.ServerResponse) => boolean
}

const contentTypes: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
}

const securityHeaders = (connectTo: readonly string[]) => ({
  'content-security-policy': `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src ${["'self'", ...connectTo].join(' ')}; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'`,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
})

type Asset = { readonly type: string; readonly body: Buffer; readonly gzipped: Buffer; readonly etag: string }

export async function startStaticSite({
  directory,
  port,
  connectTo = [],
  handleApi,
}: StaticSiteOptions): Promise<{ url: string; stop(): Promise<void> }> {
  const assets = new Map<string, Asset>()
  for (const name of await readdir(directory)) {
    const type = contentTypes[extname(name)]
    if (type === undefined) continue
    const body = await readFile(join(directory, name))
    assets.set(`/${name}`, {
      type,
      body,
      gzipped: gzipSync(body),
      etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`,
    })
  }
  const headersOfAll = Object.entries(securityHeaders(connectTo))
  const server = http.createServer((request, response) => {
    for (const [name, value] of headersOfAll) response.setHeader(name, value)
    if (!isLoopbackName(request.headers.host))
      return void response.writeHead(421, { 'content-type': 'text/plain' }).end('this server answers to localhost and 127.0.0.1 only\n')
    const path = requestUrl(request)?.pathname
    if (path === undefined) return void response.writeHead(400).end()
    if (handleApi(request, response)) return
    // Files lie at the root; deeper paths, and those without an extension, are the page's own addresses.
    const isAddress = extname(path) === '' || path.indexOf('/', 1) > 0
    const asset = assets.get(path) ?? (isAddress ? assets.get('/index.html') : undefined)
    if (!asset) return void response.writeHead(404, { 'content-type': 'text/plain' }).end('not found\n')
    if (request.method !== 'GET' && request.method !== 'HEAD') return void response.writeHead(405).end()
    const headers = { 'content-type': asset.type, etag: asset.etag, 'cache-control': 'no-cache', vary: 'accept-encoding' }
    if (request.headers['if-none-match'] === asset.etag) return void response.writeHead(304, headers).end()
    const takesGzip = /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''))
    response.writeHead(200, takesGzip ? { ...headers, 'content-encoding': 'gzip' } : headers)
    response.end(request.method === 'HEAD' ? undefined : takesGzip ? asset.gzipped : asset.body)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

function isLoopbackName(host: string | undefined): boolean {
  return host !== undefined && /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/i.test(host)
}
