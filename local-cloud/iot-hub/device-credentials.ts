/** Who may connect: a shared access token or a client certificate of a device or module, checked as IoT Hub does. */
import type { X509Certificate } from 'node:crypto'
import { nameOf, pathOfIdentity } from '../device-backend.ts'
import type { Admission, Credentials, Identity } from '../device-backend.ts'
import type { PeerCertificate } from '../security/peer-certificate.ts'
import { covers, isSignedBy, parseAccessToken } from '../security/shared-access.ts'
import type { Authentication } from './registry.ts'

export type KnownIdentity = { readonly status: 'enabled' | 'disabled'; readonly authentication: Authentication }

export type CredentialRules = {
  readonly find: (identity: Identity) => KnownIdentity | undefined
  /** Key of a policy with the right to connect as any device, undefined for others. */
  readonly policyKey: (name: string) => string | undefined
  /** Authorities that devices of type `certificateAuthority` may be signed by. */
  readonly authorities: readonly X509Certificate[]
  readonly nowMs: () => number
}

/** What a token or certificate proved; `reason` says why it did not. */
export type Proof =
  | { readonly isProved: true; readonly expiresMs: number; readonly authMethod: string }
  | { readonly isProved: false; readonly reason: string }

export function admit({ identity, modelId, token, certificate }: Credentials, rules: CredentialRules): Admission {
  const proof = token === '' ? proveByCertificate(identity, certificate(), rules) : proveByToken(identity, token, rules)
  if (!proof.isProved) return { accepted: false, kind: 'unauthorized', reason: proof.reason }
  return { accepted: true, identity, modelId, expiresMs: proof.expiresMs, authMethod: proof.authMethod }
}

/** A token signed by a key of the identity, or by a policy that may connect as any device. */
export function proveByToken(identity: Identity, text: string, rules: CredentialRules): Proof {
  const refuse = (reason: string): Proof => ({ isProved: false, reason })
  const known = enabled(identity, rules)
  if ('reason' in known) return refuse(known.reason)
  const token = parseAccessToken(text)
  if (!token) return refuse('the password is not a shared access signature')
  if (token.expiresMs <= rules.nowMs()) return refuse(`the token expired ${new Date(token.expiresMs).toISOString()}`)
  const [host = ''] = token.resource.split('/')
  const audience = `${host}/${pathOfIdentity(identity)}`
  if (host === '' || !covers(token, audience)) return refuse(`the token is for '${token.resource}', not for '${audience}'`)
  if (token.keyName !== undefined) {
    const key = rules.policyKey(token.keyName)
    if (key === undefined) return refuse(`policy '${token.keyName}' does not exist, or has no right to connect as a device`)
    if (!isSignedBy(token, Buffer.from(key, 'base64'))) return refuse(`the signature does not match the key of policy '${token.keyName}'`)
    return { isProved: true, expiresMs: token.expiresMs, authMethod: authMethod('hub', 'sas') }
  }
  if (known.authentication.type !== 'sas') return refuse(`'${nameOf(identity)}' must show a certificate, not a token`)
  // A token for the device alone does not speak for its modules: the module has a key of its own.
  if (!covers({ ...token, resource: audience }, token.resource))
    return refuse(`the token is for '${token.resource}', and has no policy's name`)
  const { primaryKey, secondaryKey } = known.authentication
  if (![primaryKey, secondaryKey].some((key) => isSignedBy(token, Buffer.from(key, 'base64'))))
    return refuse(`the signature does not match a key of '${nameOf(identity)}'`)
  return {
    isProved: true,
    expiresMs: token.expiresMs,
    authMethod: authMethod(identity.moduleId === undefined ? 'device' : 'module', 'sas'),
  }
}

export function proveByCertificate(identity: Identity, certificate: PeerCertificate | undefined, rules: CredentialRules): Proof {
  const refuse = (reason: string): Proof => ({ isProved: false, reason })
  const known = enabled(identity, rules)
  if ('reason' in known) return refuse(known.reason)
  const { authentication } = known
  const name = nameOf(identity)
  if (!certificate) return refuse(`'${name}' showed neither a token nor a certificate`)
  if (authentication.type === 'sas') return refuse(`'${name}' must show a token, not a certificate`)
  const nowMs = rules.nowMs()
  if (!certificate.isValidAt(nowMs)) return refuse(`the certificate of '${name}' is not valid today`)
  const scope = identity.moduleId === undefined ? 'device' : 'module'
  if (authentication.type === 'selfSigned') {
    const prints = [authentication.primaryThumbprint, authentication.secondaryThumbprint].map((print) => print.toUpperCase())
    if (!prints.includes(certificate.sha1) && !prints.includes(certificate.sha256))
      return refuse(`the thumbprint '${certificate.sha1}' is not one of '${name}'`)
    return { isProved: true, expiresMs: Infinity, authMethod: authMethod(scope, 'x509') }
  }
  if (certificate.commonName !== identity.deviceId) return refuse(`the certificate is for '${certificate.commonName}', not for '${name}'`)
  if (!certificate.isIssuedBy(rules.authorities, nowMs)) return refuse(`no certificate authority of the hub has signed for '${name}'`)
  return { isProved: true, expiresMs: Infinity, authMethod: authMethod(scope, 'x509') }
}

function enabled(identity: Identity, rules: CredentialRules): KnownIdentity | { readonly reason: string } {
  const known = rules.find(identity)
  if (!known) return { reason: `'${nameOf(identity)}' is not registered` }
  return known.status === 'disabled' ? { reason: `'${nameOf(identity)}' is disabled` } : known
}

function authMethod(scope: 'device' | 'module' | 'hub', type: 'sas' | 'x509'): string {
  return JSON.stringify({ scope, type, issuer: 'iothub', acceptingIpFilterRule: null })
}
