import type http from 'node:http'

/** The whole body of a request; undefined when it is larger than `bytesMax`. */
export async function readBody(request: http.IncomingMessage, bytesMax: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > bytesMax) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** The address a request asks for; undefined when it is none, as anybody may send. */
export function requestUrl(request: http.IncomingMessage): URL | undefined {
  // A path that begins with two slashes must not be taken for a host.
  const address = `http://localhost${request.url ?? '/'}`
  return (request.url ?? '/').startsWith('/') && URL.canParse(address) ? new URL(address) : undefined
}
