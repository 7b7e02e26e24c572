/**
 * What one AMQP connection may do: shared access tokens put to `$cbs`, checked for signature, policy and expiry. Event
 * Hubs signs with the text of a key, IoT Hub with the bytes that the text stands for; which one it was says whose token it
 * is. A token without a policy is that of a device or module, and speaks for nobody else.
 */
import { nameOf, pathOfIdentity } from '../device-backend.ts'
import type { Admission, Credentials, Identity } from '../device-backend.ts'
import { isSignedBy, parseAccessToken } from '../security/shared-access.ts'
import type { AccessToken } from '../security/shared-access.ts'
import { pathOf } from './amqp-node.ts'

export type Service = 'event-hubs' | 'iot-hub'

export type AmqpPolicy = { readonly key: string; readonly rights: readonly string[] }

export type ClaimRules = {
  readonly policy: (name: string) => AmqpPolicy | undefined
  /** Lets a device or module in. */
  readonly admit: (credentials: Credentials) => Promise<Admission>
  /** Why a device may not be provisioned by this token; undefined when it may. `path` is `{idScope}/registrations/{registrationId}`. */
  readonly refuseRegistration: (path: string, token: string) => string | undefined
  readonly nowMs: () => number
}

export type TokenVerdict = { readonly statusCode: 200 | 202 | 401; readonly description: string }

export type Admitted = Admission & { readonly accepted: true }

type Grant = {
  readonly service: Service
  readonly path: string
  readonly rights: readonly string[]
  readonly expiresMs: number
  readonly token: string
}

/** A client that puts more tokens than this loses its oldest. A connection may carry a thousand devices, each with its own. */
const grantsMax = 256
const admittedMax = 1_000

export class Claims {
  readonly #rules: ClaimRules
  #granted: Grant[] = []
  #login: { readonly username: string; readonly password: string } | undefined
  /** Devices and modules, by name. */
  readonly #admitted = new Map<string, Admitted>()

  constructor(rules: ClaimRules) {
    this.#rules = rules
  }

  async put(type: string, text: string): Promise<TokenVerdict> {
    // Some clients call every token a 'jwt': what it is shows.
    const token = parseAccessToken(text)
    if (!token) return refused(`the token of type '${type}' is not a shared access signature`)
    return token.keyName === undefined ? this.#putOfDevice(token, text) : this.#putOfPolicy(token.keyName, token, text)
  }

  /** A login by SASL PLAIN: a policy's key, or a token under the name of whoever it is for. */
  async logIn(username: string, password: string): Promise<TokenVerdict> {
    if (username.includes('@sas.')) return this.put('sastoken', password)
    if (username.includes('/registrations/')) {
      const reason = this.#rules.refuseRegistration(username, password)
      if (reason !== undefined) return refused(reason)
      this.#login = { username, password }
      return { statusCode: 200, description: 'OK' }
    }
    const policy = this.#rules.policy(username)
    if (policy?.key !== password) return refused(`there is no policy '${username}', or that is not its key`)
    this.#grant({ service: 'event-hubs', path: '', rights: policy.rights, expiresMs: Infinity, token: '' })
    return { statusCode: 200, description: 'OK' }
  }

  async #putOfDevice(token: AccessToken, text: string): Promise<TokenVerdict> {
    const identity = deviceOf(token.resource)
    if (!identity) return refused(`the token for '${token.resource}' names no policy, and no device`)
    const admission = await this.#rules.admit({ identity, modelId: undefined, token: text, certificate: () => undefined })
    if (!admission.accepted) return refused(admission.reason)
    this.#admitted.set(nameOf(identity), admission)
    const [oldest] = this.#admitted.keys()
    if (this.#admitted.size > admittedMax) this.#admitted.delete(oldest!)
    return { statusCode: 200, description: 'OK' }
  }

  #putOfPolicy(name: string, token: AccessToken, text: string): TokenVerdict {
    const policy = this.#rules.policy(name)
    if (!policy) return refused(`there is no policy '${name}'`)
    // IoT Hub's tokens name a host alone.
    const isHost = !token.resource.includes('://')
    const service = isSignedBy(token, Buffer.from(policy.key, 'utf8'))
      ? 'event-hubs'
      : isHost && isSignedBy(token, Buffer.from(policy.key, 'base64'))
        ? 'iot-hub'
        : undefined
    if (!service) return refused('InvalidSignature: The token has an invalid signature.')
    if (token.expiresMs <= this.#rules.nowMs()) return refused('ExpiredToken: The token is expired.')
    const path = service === 'iot-hub' ? token.resource.replace(/^[^/]*\/?/, '') : pathOf(token.resource)
    this.#grant({ service, path: path.toLowerCase(), rights: policy.rights, expiresMs: token.expiresMs, token: text })
    // Each service has its own word for yes, and IoT Hub's clients know only theirs.
    return service === 'iot-hub' ? { statusCode: 200, description: 'OK' } : { statusCode: 202, description: 'Accepted' }
  }

  #grant(grant: Grant): void {
    const others = this.#granted.filter(({ path, service }) => path !== grant.path || service !== grant.service)
    this.#granted = [...others, grant].slice(-grantsMax)
  }

  /** True while a token for this address with one of the rights is in force. */
  cover(service: Service, address: string, ...oneOf: readonly string[]): boolean {
    return this.#grantFor(service, address, oneOf) !== undefined
  }

  #grantFor(service: Service, address: string, oneOf: readonly string[]): Grant | undefined {
    const path = pathOf(address).toLowerCase()
    const nowMs = this.#rules.nowMs()
    return this.#granted.find(
      (grant) =>
        grant.service === service &&
        grant.expiresMs > nowMs &&
        oneOf.some((right) => grant.rights.includes(right)) &&
        (grant.path === '' || path === grant.path || path.startsWith(`${grant.path}/`) || grant.path.startsWith(`${path}/`)),
    )
  }

  /** A device or module that has put a token of its own which is in force. */
  admitted(identity: Identity): Admitted | undefined {
    const admission = this.#admitted.get(nameOf(identity))
    return admission && admission.expiresMs > this.#rules.nowMs() ? admission : undefined
  }

  /** A token of a policy that may speak for this device or module. */
  policyTokenFor(identity: Identity): { readonly token: string; readonly expiresMs: number } | undefined {
    return this.#grantFor('iot-hub', pathOfIdentity(identity), ['device'])
  }

  /** What a device that wants to be provisioned said of itself. */
  get login(): { readonly username: string; readonly password: string } | undefined {
    return this.#login
  }

  /** Takes back what a device or module was let in by. */
  forget(identity: Identity): void {
    this.#admitted.delete(nameOf(identity))
  }
}

function refused(description: string): TokenVerdict {
  return { statusCode: 401, description }
}

/** Whom a token is for: `{host}/devices/{device}[/modules/{module}]`. */
function deviceOf(resource: string): Identity | undefined {
  const named = /^[^/]+\/devices\/([^/]+)(?:\/modules\/([^/]+))?\/?$/i.exec(resource)
  return named ? { deviceId: named[1]!, moduleId: named[2] } : undefined
}
