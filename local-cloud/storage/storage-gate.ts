/** A door before one of Azurite's services: passes requests through as they are, unless a fault is to strike. */
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Faults } from '../faults.ts'

export type StorageFault = () => Promise<boolean>

/** Waits while storage is to be slow. @returns true when it is to fail */
export function storageFault(faults: Faults, service: 'blob' | 'queue' | 'table'): StorageFault {
  return async () => {
    const slow = faults.strikes('slow-storage', service)
    if (slow) await new Promise((resolve) => setTimeout(resolve, slow.delayMs))
    return faults.strikes('failing-storage', service) !== undefined
  }
}

/** Streams one request to a service on this computer, and its answer back. */
export function passOn(request: http.IncomingMessage, response: http.ServerResponse, agent: http.Agent, port: number): void {
  const { connection: _, ...headers } = request.headers
  const outgoing = http.request({ host: '127.0.0.1', port, agent, method: request.method, path: request.url, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers)
    answer.pipe(response)
    answer.on('error', () => response.destroy())
  })
  outgoing.on('error', () => {
    if (response.headersSent) response.destroy()
    else response.writeHead(503, { 'content-type': 'text/plain' }).end('storage cannot be reached\n')
  })
  // A client that goes away takes its request with it.
  response.on('close', () => {
    if (!response.writableFinished) outgoing.destroy()
  })
  request.pipe(outgoing)
}

export const failingAnswer = {
  status: 500,
  headers: { 'content-type': 'application/xml', 'x-ms-error-code': 'InternalError' },
  body: '<?xml version="1.0" encoding="utf-8"?><Error><Code>InternalError</Code><Message>fault injection: failing-storage</Message></Error>',
} as const

export type StorageGate = { readonly port: number; stop(): Promise<void> }

export async function startStorageGate(options: { port: number; upstreamPort: number; fault: StorageFault }): Promise<StorageGate> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 64 })
  const server = http.createServer((request, response) => {
    options.fault().then(
      (isFailing) => {
        if (isFailing) response.writeHead(failingAnswer.status, failingAnswer.headers).end(failingAnswer.body)
        else passOn(request, response, agent, options.upstreamPort)
      },
      () => response.destroy(),
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, '127.0.0.1', resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
      agent.destroy()
    },
  }
}
