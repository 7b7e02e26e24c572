/**
 * What one AMQP connection may do: shared access tokens put to `$cbs`, checked for signature, policy and expiry. Event
 * Hubs signs with the text of a key, IoT Hub with the bytes that the text stands for; which one it was says whose token it is.
 */
import { isSignedBy, parseAccessToken } from '../security/shared-access.ts'
import { pathOf } from './amqp-node.ts'

export type Service = 'event-hubs' | 'iot-hub'

export type AmqpPolicy = { readonly key: string; readonly rights: readonly string[] }

export type TokenVerdict = { readonly statusCode: 200 | 202 | 401; readonly description: string }

type Grant = { readonly service: Service; readonly path: string; readonly rights: readonly string[]; readonly expiresMs: number }

/** A client that puts more tokens than this loses its oldest. */
const grantsMax = 256

export class Claims {
  readonly #policy: (name: string) => AmqpPolicy | undefined
  readonly #nowMs: () => number
  #granted: Grant[] = []

  constructor(policy: (name: string) => AmqpPolicy | undefined, nowMs: () => number) {
    this.#policy = policy
    this.#nowMs = nowMs
  }

  put(type: string, tokenText: string): TokenVerdict {
    const refuse = (description: string): TokenVerdict => ({ statusCode: 401, description })
    if (!type.endsWith('sastoken')) return refuse(`tokens of type '${type}' are not taken here`)
    const token = parseAccessToken(tokenText)
    if (!token) return refuse('the token is not a shared access signature')
    const policy = token.keyName === undefined ? undefined : this.#policy(token.keyName)
    if (!policy) return refuse(`there is no policy '${token.keyName ?? ''}'`)
    // IoT Hub's tokens name a host alone.
    const isHost = !token.resource.includes('://')
    const service = isSignedBy(token, Buffer.from(policy.key, 'utf8'))
      ? 'event-hubs'
      : isHost && isSignedBy(token, Buffer.from(policy.key, 'base64'))
        ? 'iot-hub'
        : undefined
    if (!service) return refuse('InvalidSignature: The token has an invalid signature.')
    if (token.expiresMs <= this.#nowMs()) return refuse('ExpiredToken: The token is expired.')
    const path = service === 'iot-hub' ? token.resource.replace(/^[^/]*\/?/, '') : pathOf(token.resource)
    const grant = { service, path: path.toLowerCase(), rights: policy.rights, expiresMs: token.expiresMs } as const
    this.#granted = [...this.#granted.filter((other) => other.path !== grant.path || other.service !== service), grant].slice(-grantsMax)
    // Each service has its own word for yes, and IoT Hub's clients know only theirs.
    return service === 'iot-hub' ? { statusCode: 200, description: 'OK' } : { statusCode: 202, description: 'Accepted' }
  }

  /** True while a token for this address with one of the rights is in force. */
  cover(service: Service, address: string, ...oneOf: readonly string[]): boolean {
    const path = pathOf(address).toLowerCase()
    const nowMs = this.#nowMs()
    return this.#granted.some(
      (grant) =>
        grant.service === service &&
        grant.expiresMs > nowMs &&
        oneOf.some((right) => grant.rights.includes(right)) &&
        (grant.path === '' || path === grant.path || path.startsWith(`${grant.path}/`) || grant.path.startsWith(`${path}/`)),
    )
  }
}
