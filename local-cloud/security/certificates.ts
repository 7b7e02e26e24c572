/** The local cloud's own certificate authority, made at first start, and the certificate its servers show. */
import { randomBytes, webcrypto } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type * as Peculiar from '@peculiar/x509'

export type ServerCertificate = { readonly key: string; readonly cert: string; readonly caFile: string; readonly ca: string }

const tenYearsMs = 10 * 365 * 86_400_000
/** Certificates of servers may live 825 days at most; some clients refuse longer ones. */
const leafMs = 800 * 86_400_000

/** Reads the certificates of a data folder, or makes them. */
export async function serverCertificate(directory: string): Promise<ServerCertificate> {
  const file = (name: string) => join(directory, name)
  const caFile = file('ca.pem')
  if (!existsSync(file('server.pem'))) await create(directory)
  const [key, cert, ca] = await Promise.all([
    readFile(file('server.key'), 'utf8'),
    readFile(file('server.pem'), 'utf8'),
    readFile(caFile, 'utf8'),
  ])
  return { key, cert: cert + ca, caFile, ca }
}

async function create(directory: string): Promise<void> {
  // Loaded only when needed: it costs 80 ms of every start.
  await import('reflect-metadata')
  const x509: typeof Peculiar = await import('@peculiar/x509')
  x509.cryptoProvider.set(webcrypto as Crypto)
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const now = Date.now()
  const notBefore = new Date(now - 86_400_000)
  const caKeys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    // A name of its own: who trusts two clouds must be able to tell their authorities apart.
    name: `CN=Millwright local cloud CA ${randomBytes(4).toString('hex')}`,
    notBefore,
    notAfter: new Date(now + tenYearsMs),
    signingAlgorithm: algorithm,
    keys: caKeys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    ],
  })
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const leaf = await x509.X509CertificateGenerator.create({
    subject: 'CN=localhost',
    issuer: ca.subject,
    notBefore,
    notAfter: new Date(now + leafMs),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: caKeys.privateKey,
    extensions: [
      new x509.SubjectAlternativeNameExtension([
        { type: 'dns', value: 'localhost' },
        { type: 'ip', value: '127.0.0.1' },
        { type: 'ip', value: '::1' },
      ]),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
    ],
  })
  const privateKey = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64')
  await mkdir(directory, { recursive: true })
  const secret = { mode: 0o600 }
  await writeFile(join(directory, 'ca.pem'), `${ca.toString('pem')}\n`)
  await writeFile(
    join(directory, 'server.key'),
    `-----BEGIN PRIVATE KEY-----\n${privateKey.replace(/(.{64})/g, '$1\n').trimEnd()}\n-----END PRIVATE KEY-----\n`,
    secret,
  )
  // Written last: its presence says that the others are complete.
  await writeFile(join(directory, 'server.pem'), `${leaf.toString('pem')}\n`)
}
