/**
 * A key pair that the device makes for itself at its first start, and the certificate that names it. The key never leaves
 * the device; the certificate is what an individual enrolment of the provisioning service is given.
 */
import { randomBytes, webcrypto } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type * as Peculiar from '@peculiar/x509'
import { fileNameOf } from '../contract/file-name.ts'
import { writeWhole } from '../journal/durable-file.ts'

export type OwnCertificate = {
  /** PEM. */
  readonly certificate: string
  readonly privateKey: string
  /** Where the certificate stands. */
  readonly file: string
}

/** The provisioning service refuses what has ended; a device is enrolled anew before that. */
const validMs = 10 * 365 * 86_400_000

/** Reads the device's certificate, or makes it. To roll the key, enrol anew with the folder removed. */
export async function ownCertificate(directory: string, deviceId: string): Promise<OwnCertificate> {
  const name = join(directory, fileNameOf(deviceId))
  const [file, keyFile] = [`${name}.pem`, `${name}.key`]
  if (!existsSync(file)) await create(deviceId, file, keyFile)
  return { certificate: readFileSync(file, 'utf8'), privateKey: readFileSync(keyFile, 'utf8'), file }
}

async function create(deviceId: string, file: string, keyFile: string): Promise<void> {
  await import('reflect-metadata')
  const x509: typeof Peculiar = await import('@peculiar/x509')
  x509.cryptoProvider.set(webcrypto as Crypto)
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const nowMs = Date.now()
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomBytes(16).toString('hex'),
    name: [{ CN: [deviceId] }],
    notBefore: new Date(nowMs - 86_400_000),
    notAfter: new Date(nowMs + validMs),
    signingAlgorithm: algorithm,
    keys,
    extensions: [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth])],
  })
  writeWhole(keyFile, x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY'))
  // Written last: its presence says that the key is there.
  writeWhole(file, `${certificate.toString('pem')}\n`)
}
