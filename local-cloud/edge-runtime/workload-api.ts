/** The workload API: modules have no key; they ask the edge runtime, over a local socket, to sign for them. */
import { createHash, createHmac } from 'node:crypto'
import { unlink } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import { errorText } from '../../contract/error-text.ts'
import { requestUrl } from '../http-request.ts'

export type WorkloadApiOptions = {
  readonly socketPath: string
  readonly trustBundle: string
  /** The key of a module, undefined when there is none of that generation. */
  readonly keyOf: (moduleId: string, generationId: string) => string | undefined
}

/** Paths of Unix sockets are limited to about a hundred characters, and modules take them out of a URI as they are written there. */
const fitsInUri = /^[\w./-]{1,100}$/

/** A place of the data folder's own for the API: within it where a socket can be, otherwise where the system keeps such things; a named pipe on Windows. */
export function workloadSocketPath(dataDirectory: string, platform: NodeJS.Platform): string {
  const folder = resolve(dataDirectory)
  const name = `millwright-${createHash('sha256').update(folder).digest('hex').slice(0, 16)}`
  if (platform === 'win32') return `//./pipe/${name}`
  const inFolder = join(folder, 'workload.sock')
  return fitsInUri.test(inFolder) ? inFolder : join(tmpdir(), `${name}.sock`)
}

const SignRequest = z.object({ keyId: z.literal('primary'), algo: z.literal('HMACSHA256'), data: z.base64() })
const bodyBytesMax = 65_536

export async function startWorkloadApi({ socketPath, trustBundle, keyOf }: WorkloadApiOptions): Promise<{ stop(): Promise<void> }> {
  await unlink(socketPath).catch(() => {})
  const server = http.createServer((request, response) => {
    const answer = (status: number, body: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    let text = ''
    request.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (text.length > bodyBytesMax) request.destroy()
    })
    request.on('end', () => {
      const path = requestUrl(request)?.pathname ?? ''
      if (request.method === 'GET' && path === '/trust-bundle') return answer(200, { certificate: trustBundle })
      const sign = /^\/modules\/([^/]+)\/genid\/([^/]+)\/sign$/.exec(path)
      if (request.method !== 'POST' || !sign) return answer(404, { message: `${request.method} ${path} is not known` })
      const key = keyOf(decodeURIComponent(sign[1]!), decodeURIComponent(sign[2]!))
      if (key === undefined) return answer(404, { message: `module '${sign[1]}' is not running here` })
      try {
        const { data } = SignRequest.parse(JSON.parse(text))
        return answer(200, {
          digest: createHmac('sha256', Buffer.from(key, 'base64')).update(Buffer.from(data, 'base64')).digest('base64'),
        })
      } catch (error) {
        return answer(400, { message: errorText(error) })
      }
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(socketPath, resolve)
  })
  return {
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}
