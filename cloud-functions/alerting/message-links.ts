/** Links in messages that let their reader acknowledge one alert, once, for a while: HMAC over what they allow. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

const linkValidMs = 24 * 3_600_000

/** @returns `expires.nonce.signature` */
export function acknowledgeCode(secret: string, alertId: string, nowMs: number): string {
  const claim = `${(nowMs + linkValidMs).toString(36)}.${randomBytes(9).toString('base64url')}`
  return `${claim}.${sign(secret, alertId, claim)}`
}

/** The link's own id, when it is genuine, for this alert, and in force; otherwise why not. */
export function readAcknowledgeCode(
  secret: string,
  alertId: string,
  code: string,
  nowMs: number,
): { linkId: string } | { refused: string } {
  const [expires = '', nonce = '', signature = ''] = code.split('.')
  const expected = Buffer.from(sign(secret, alertId, `${expires}.${nonce}`))
  const given = Buffer.from(signature)
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return { refused: 'the link is not genuine' }
  if (Number.parseInt(expires, 36) < nowMs) return { refused: 'the link has expired; sign in to acknowledge' }
  return { linkId: nonce }
}

function sign(secret: string, alertId: string, claim: string): string {
  return createHmac('sha256', secret).update(`acknowledge ${alertId} ${claim}`).digest('base64url')
}
