/** What one AMQP connection may do: shared access tokens put to `$cbs`, checked for signature, policy and expiry. */
import { isSignedBy, parseAccessToken } from '../security/shared-access.ts'
import { pathOf } from './event-hub.ts'

export type TokenVerdict = { readonly statusCode: 202 | 401; readonly description: string }

export class Claims {
  readonly #keyOf: (policy: string) => string | undefined
  readonly #nowMs: () => number
  readonly #granted: { readonly path: string; readonly expiresMs: number }[] = []

  /** @param keyOf key of a policy as text: Event Hubs signs with its UTF-8 bytes, not with what base64 makes of it */
  constructor(keyOf: (policy: string) => string | undefined, nowMs: () => number) {
    this.#keyOf = keyOf
    this.#nowMs = nowMs
  }

  put(type: string, tokenText: string): TokenVerdict {
    const refuse = (description: string): TokenVerdict => ({ statusCode: 401, description })
    if (!type.endsWith('sastoken')) return refuse(`tokens of type '${type}' are not taken here`)
    const token = parseAccessToken(tokenText)
    if (!token) return refuse('the token is not a shared access signature')
    const key = token.keyName === undefined ? undefined : this.#keyOf(token.keyName)
    if (key === undefined) return refuse(`there is no policy '${token.keyName ?? ''}'`)
    if (!isSignedBy(token, Buffer.from(key, 'utf8'))) return refuse('InvalidSignature: The token has an invalid signature.')
    if (token.expiresMs <= this.#nowMs()) return refuse('ExpiredToken: The token is expired.')
    this.#granted.push({ path: pathOf(token.resource).toLowerCase(), expiresMs: token.expiresMs })
    return { statusCode: 202, description: 'Accepted' }
  }

  cover(address: string): boolean {
    const path = pathOf(address).toLowerCase()
    const nowMs = this.#nowMs()
    return this.#granted.some(
      (claim) =>
        claim.expiresMs > nowMs &&
        (claim.path === '' || path === claim.path || path.startsWith(`${claim.path}/`) || claim.path.startsWith(`${path}/`)),
    )
  }
}
