/** The certificates a TLS client showed, and what they prove: a known thumbprint, or a chain to a trusted authority. */
import type { X509Certificate } from 'node:crypto'
import { createHash } from 'node:crypto'
import type { TLSSocket } from 'node:tls'

export type PeerCertificate = {
  readonly commonName: string
  readonly sha1: string
  readonly sha256: string
  /** False before its first day and after its last. */
  isValidAt(nowMs: number): boolean
  /** True when signatures lead from it to one of these authorities. */
  isIssuedBy(authorities: readonly X509Certificate[], nowMs: number): boolean
}

/** Longer chains are refused. */
const chainMax = 10

/** Undefined when the client showed none. Whether it holds the key, TLS has proved. */
export function peerCertificateOf(socket: unknown): PeerCertificate | undefined {
  const chain = chainOf(socket as Partial<TLSSocket>)
  const [leaf] = chain
  if (!leaf) return undefined
  return {
    commonName: /(?:^|\n)CN=([^\n]+)/.exec(leaf.subject)?.[1] ?? '',
    sha1: thumbprint('sha1', leaf.raw),
    sha256: thumbprint('sha256', leaf.raw),
    isValidAt: (nowMs) => isValidAt(leaf, nowMs),
    isIssuedBy(authorities, nowMs) {
      for (const [index, certificate] of chain.entries()) {
        if (!isValidAt(certificate, nowMs)) return false
        if (authorities.some((authority) => isValidAt(authority, nowMs) && isSignedBy(certificate, authority))) return true
        const issuer = chain[index + 1]
        if (!issuer?.ca || !isSignedBy(certificate, issuer)) return false
      }
      return false
    },
  }
}

function chainOf(socket: Partial<TLSSocket>): X509Certificate[] {
  const chain: X509Certificate[] = []
  let certificate = socket.getPeerX509Certificate?.()
  while (certificate && chain.length < chainMax && !chain.some(({ raw }) => raw.equals(certificate!.raw))) {
    chain.push(certificate)
    certificate = certificate.issuerCertificate
  }
  return chain
}

function isSignedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
}

function isValidAt(certificate: X509Certificate, nowMs: number): boolean {
  return Date.parse(certificate.validFrom) <= nowMs && nowMs <= Date.parse(certificate.validTo)
}

function thumbprint(algorithm: string, der: Buffer): string {
  return createHash(algorithm).update(der).digest('hex').toUpperCase()
}
