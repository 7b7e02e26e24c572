/** Who may connect: user name, client id and shared access token of a device or module, checked as IoT Hub does. */
import type { Admission, Identity } from '../mqtt/mqtt-server-connection.ts'
import { connack } from '../mqtt/mqtt-server-connection.ts'
import { covers, isSignedBy, parseAccessToken } from '../security/shared-access.ts'

export type Credentials = { readonly clientId: string; readonly username: string; readonly password: string }

export type KnownIdentity = { readonly status: 'enabled' | 'disabled'; readonly primaryKey: string; readonly secondaryKey: string }

export type CredentialRules = {
  /** Host names the token's resource may begin with. */
  readonly isOwnHost: (host: string) => boolean
  readonly find: (identity: Identity) => KnownIdentity | undefined
  readonly nowMs: () => number
}

/** `{host}/{deviceId}[/{moduleId}]/?api-version=…&model-id=…` */
export function parseUsername(username: string): (Identity & { host: string; modelId: string | undefined }) | undefined {
  const [path = '', query = ''] = username.split('/?')
  const [host, deviceId, moduleId, ...rest] = path.split('/')
  if (!host || !deviceId || rest.length > 0) return undefined
  const modelId = new URLSearchParams(query).get('model-id') ?? undefined
  return { host, deviceId, moduleId: moduleId === undefined || moduleId === '' ? undefined : moduleId, modelId }
}

export function admitByToken(credentials: Credentials, { isOwnHost, find, nowMs }: CredentialRules): Admission {
  const refuse = (code: number, reason: string): Admission => ({ accepted: false, code, reason })
  const user = parseUsername(credentials.username)
  if (!user)
    return refuse(connack.badCredentials, `the user name '${credentials.username.slice(0, 120)}' is not {host}/{deviceId}/?api-version=…`)
  const identity = { deviceId: user.deviceId, moduleId: user.moduleId }
  const expectedClientId = identity.moduleId === undefined ? identity.deviceId : `${identity.deviceId}/${identity.moduleId}`
  if (credentials.clientId !== expectedClientId)
    return refuse(connack.badClientId, `the client id is '${credentials.clientId}', the user name says '${expectedClientId}'`)
  const known = find(identity)
  if (!known) return refuse(connack.notAuthorized, `'${expectedClientId}' is not registered`)
  if (known.status === 'disabled') return refuse(connack.notAuthorized, `'${expectedClientId}' is disabled`)
  const token = parseAccessToken(credentials.password)
  if (!token) return refuse(connack.notAuthorized, 'the password is not a shared access signature')
  if (token.expiresMs <= nowMs()) return refuse(connack.notAuthorized, `the token expired ${new Date(token.expiresMs).toISOString()}`)
  const [tokenHost = ''] = token.resource.split('/')
  if (!isOwnHost(tokenHost)) return refuse(connack.notAuthorized, `the token is for '${tokenHost}'`)
  const audience =
    identity.moduleId === undefined
      ? `${tokenHost}/devices/${identity.deviceId}`
      : `${tokenHost}/devices/${identity.deviceId}/modules/${identity.moduleId}`
  if (!covers(token, audience)) return refuse(connack.notAuthorized, `the token is for '${token.resource}', not for '${audience}'`)
  const isSigned = [known.primaryKey, known.secondaryKey].some((key) => isSignedBy(token, Buffer.from(key, 'base64')))
  if (!isSigned) return refuse(connack.notAuthorized, `the signature does not match a key of '${expectedClientId}'`)
  const authMethod = JSON.stringify({
    scope: identity.moduleId === undefined ? 'device' : 'module',
    type: 'sas',
    issuer: 'iothub',
    acceptingIpFilterRule: null,
  })
  return { accepted: true, identity, modelId: user.modelId, expiresMs: token.expiresMs, authMethod }
}
