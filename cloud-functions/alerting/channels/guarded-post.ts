/**
 * POST to an address that somebody configured, and to nothing inside our own network: the address is checked after its
 * name is resolved and before the connection is made, on every attempt, so that a name cannot point elsewhere the
 * second time. Redirects are not followed.
 */
import { lookup as systemLookup } from 'node:dns'
import type { LookupAddress } from 'node:dns'
import http from 'node:http'
import https from 'node:https'
import { BlockList, isIP } from 'node:net'
import { PermanentDeliveryError } from './channel.ts'

const forbidden = new BlockList()
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  // Link-local, and with it the metadata service of every cloud.
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const)
  forbidden.addSubnet(network, prefix, 'ipv4')
// Azure's platform address: DNS, health probes, instance metadata.
forbidden.addAddress('168.63.129.16', 'ipv4')
for (const [network, prefix] of [
  ['::', 128],
  ['::1', 128],
  ['64:ff9b::', 96],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const)
  forbidden.addSubnet(network, prefix, 'ipv6')

/** True for addresses that only mean something inside a network or a computer. */
export function isInternalAddress(address: string): boolean {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return forbidden.check(mapped, 'ipv4')
  const version = isIP(address)
  return version === 0 || forbidden.check(address, version === 4 ? 'ipv4' : 'ipv6')
}

type Resolve = (
  hostname: string,
  options: { all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void

export type GuardOptions = {
  /** Set where the receiver is on this computer or in our own network on purpose. */
  readonly allowsInternal: boolean
  readonly resolve?: Resolve
}

const timeoutMs = 10_000
const answerBytesMax = 65_536

/** @throws PermanentDeliveryError for an address that is not allowed */
export function guardedPost(
  url: string,
  headers: Readonly<Record<string, string>>,
  body: string,
  { allowsInternal, resolve = systemLookup }: GuardOptions,
): Promise<{ status: number; text: string }> {
  const target = new URL(url)
  if (target.protocol !== 'https:' && !(target.protocol === 'http:' && allowsInternal))
    throw new PermanentDeliveryError(`'${target.protocol}' is no protocol that messages are sent by; use https`)
  if (target.username !== '' || target.password !== '') throw new PermanentDeliveryError('an address must not hold a user or a password')
  const refused = (address: string) => new PermanentDeliveryError(`'${target.hostname}' leads to ${address}, inside our own network`)
  const literal = target.hostname.replace(/^\[|\]$/g, '')
  if (!allowsInternal && isIP(literal) !== 0 && isInternalAddress(literal)) throw refused(literal)
  const guardedLookup: Parameters<typeof http.request>[1]['lookup'] = (hostname, options, callback) => {
    resolve(hostname, { all: true }, (error, addresses) => {
      const inner = error ? undefined : addresses.find(({ address }) => !allowsInternal && isInternalAddress(address))
      const problem = error ?? (inner ? refused(inner.address) : addresses.length === 0 ? new Error(`'${hostname}' has no address`) : null)
      if (problem) return callback(problem, '', 4)
      // The address that was checked is the one that is connected to.
      if (options.all) return callback(null, addresses)
      callback(null, addresses[0]!.address, addresses[0]!.family)
    })
  }
  return new Promise((done, reject) => {
    const { request } = target.protocol === 'https:' ? https : http
    const outgoing = request(
      target,
      {
        method: 'POST',
        headers: { ...headers, 'content-length': Buffer.byteLength(body) },
        lookup: guardedLookup,
        agent: false,
        signal: AbortSignal.timeout(timeoutMs),
      },
      (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => {
          text += chunk
          if (text.length > answerBytesMax) response.destroy(new Error(`an answer of more than ${answerBytesMax} bytes`))
        })
        response.on('error', reject)
        response.on('end', () => done({ status: response.statusCode ?? 0, text }))
      },
    )
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}
