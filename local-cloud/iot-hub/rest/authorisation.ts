/** Who may do what over REST: policies by their rights, devices and modules in their own name. */
import { covers, isSignedBy, parseAccessToken } from '../../security/shared-access.ts'
import { proveByCertificate, proveByToken } from '../device-credentials.ts'
import { HubError } from '../hub-errors.ts'
import type { IotHub } from '../iot-hub.ts'
import type { StoredIdentity } from '../registry.ts'
import { headerOf } from './request.ts'
import type { RestRequest, Right, SharedAccessPolicy } from './request.ts'

export class Authorisation {
  readonly #hub: IotHub
  readonly #policies: readonly SharedAccessPolicy[]
  readonly #nowMs: () => number

  constructor(hub: IotHub, policies: readonly SharedAccessPolicy[], nowMs: () => number) {
    this.#hub = hub
    this.#policies = policies
    this.#nowMs = nowMs
  }

  /** @throws HubError 401 unless a policy with one of these rights has signed */
  require(request: RestRequest, ...oneOf: readonly Right[]): void {
    const token = parseAccessToken(headerOf(request, 'authorization') ?? '')
    const policy = token && this.#policies.find(({ name }) => name === token.keyName)
    if (!token || !policy || !isSignedBy(token, Buffer.from(policy.key, 'base64')))
      throw new HubError('IotHubUnauthorized', 'the token is missing, or its signature does not match')
    if (token.expiresMs <= this.#nowMs()) throw new HubError('IotHubUnauthorized', 'the token has expired')
    const host = headerOf(request, 'host') ?? ''
    const resource = decodeURIComponent(request.url.pathname)
    // A client may name the hub with or without its port.
    const isOwn = [host, host.replace(/:\d+$/, '')].some((name) => covers(token, name) || covers(token, `${name}${resource}`))
    if (!isOwn) throw new HubError('IotHubUnauthorized', `the token is for '${token.resource}', not for '${host}'`)
    if (!oneOf.some((right) => policy.rights.includes(right)))
      throw new HubError('IotHubUnauthorizedAccess', `policy '${policy.name}' has no right '${oneOf.join("' or '")}'`)
  }

  /** The identity in whose name a device speaks, and how it proved it. @throws HubError 401 */
  requireDevice(request: RestRequest, deviceId: string, moduleId?: string): { identity: StoredIdentity; authMethod: string } {
    const text = headerOf(request, 'authorization')
    const named = { deviceId, moduleId }
    const proof = text
      ? proveByToken(named, text, this.#hub.credentialRules)
      : proveByCertificate(named, request.certificate(), this.#hub.credentialRules)
    const identity = this.#hub.registry.get(deviceId, moduleId)
    if (!proof.isProved || !identity) {
      const reason = proof.isProved ? 'it is not registered' : proof.reason
      this.#hub.refused('not-authorized', `${deviceId}: ${reason}`)
      throw new HubError('IotHubUnauthorized', reason)
    }
    return { identity, authMethod: proof.authMethod }
  }

  isDevice(request: RestRequest, deviceId: string, moduleId?: string): boolean {
    const text = headerOf(request, 'authorization')
    if (!text || parseAccessToken(text)?.keyName !== undefined) return false
    return proveByToken({ deviceId, moduleId }, text, this.#hub.credentialRules).isProved
  }
}
