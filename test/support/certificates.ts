/** Certificates for tests: an authority, and devices it signs or that sign themselves. */
import 'reflect-metadata'
import { webcrypto, X509Certificate } from 'node:crypto'
import * as x509 from '@peculiar/x509'

x509.cryptoProvider.set(webcrypto as Crypto)
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

export type CertificateForTests = {
  readonly cert: string
  readonly key: string
  readonly thumbprint: string
  readonly issue: (name: string, options?: Options) => Promise<CertificateForTests>
}
type Options = { readonly days?: number; readonly isAuthority?: boolean }

export async function selfSigned(name: string, options: Options = {}): Promise<CertificateForTests> {
  return make(name, options, undefined)
}

async function make(
  name: string,
  { days = 30, isAuthority = false }: Options,
  issuer: { subject: string; key: CryptoKey } | undefined,
): Promise<CertificateForTests> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const notBefore = new Date(Date.now() - 2 * 86_400_000)
  const certificate = await x509.X509CertificateGenerator.create({
    subject: `CN=${name}`,
    issuer: issuer?.subject ?? `CN=${name}`,
    notBefore,
    notAfter: new Date(Date.now() + days * 86_400_000),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: issuer?.key ?? keys.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(isAuthority, undefined, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
    ],
  })
  const cert = `${certificate.toString('pem')}\n`
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64')
  return {
    cert,
    key: `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/(.{64})/g, '$1\n').trimEnd()}\n-----END PRIVATE KEY-----\n`,
    thumbprint: new X509Certificate(cert).fingerprint.replaceAll(':', ''),
    issue: (child, options = {}) => make(child, options, { subject: `CN=${name}`, key: keys.privateKey }),
  }
}
