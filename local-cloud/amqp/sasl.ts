/**
 * SASL as Azure offers it. PLAIN says who logs in: a policy with its key (Event Hubs), `{policy}@sas.root.{hub}` or
 * `{device}@sas.{hub}` with a token (IoT Hub), `{idScope}/registrations/{id}` with one (DPS). The other mechanisms leave it to tokens put to `$cbs`, or to a certificate.
 */
import type { Claims } from './claims.ts'

/** What rhea asks of a mechanism: `outcome` is undefined until it is known. */
type Mechanism = { outcome: boolean | undefined; username: string | undefined; start(response: Buffer | undefined): void | Promise<void> }

export type SaslMechanisms = Readonly<Record<string, () => Mechanism>>

/** @param refused told of logins that fail: many clients try them again without a word */
export function saslMechanisms(newClaims: () => Claims, refused: (detail: string) => void): SaslMechanisms {
  return {
    MSSBCBS: () => new OpenMechanism(),
    PLAIN: () => new PlainLogin(newClaims(), refused),
    ANONYMOUS: () => new OpenMechanism(),
    EXTERNAL: () => new OpenMechanism(),
  }
}

class OpenMechanism implements Mechanism {
  outcome: boolean | undefined
  username: string | undefined
  start(): void {
    this.outcome = true
  }
}

export class PlainLogin implements Mechanism {
  outcome: boolean | undefined
  username: string | undefined
  /** What the login has earned. */
  readonly claims: Claims

  readonly #refused: (detail: string) => void

  constructor(claims: Claims, refused: (detail: string) => void) {
    this.claims = claims
    this.#refused = refused
  }

  /** RFC 4616: `[authzid] NUL authcid NUL passwd`. */
  async start(response: Buffer | undefined): Promise<void> {
    const [, username = '', password = ''] = (response?.toString() ?? '').split('\0')
    this.username = username
    const { statusCode, description } = await this.claims.logIn(username, password)
    this.outcome = statusCode !== 401
    if (!this.outcome) this.#refused(`${username}: ${description}`)
  }
}
