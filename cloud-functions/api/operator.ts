/**
 * Who may act. Reading is open on a laptop's loopback; acting needs the operator token, as a bearer token or as the
 * cookie that the sign-in link sets.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { HttpRequest } from '@azure/functions'
import { Problem } from './respond.ts'

const cookieName = 'millwright-operator'
const linkValidMs = 24 * 3_600_000

/** @returns the operator's name @throws Problem 401 or 403 */
export function requireOperator(request: HttpRequest, token: string): string {
  const bearer = /^Bearer (.+)$/.exec(request.headers.get('authorization') ?? '')?.[1]
  if (bearer !== undefined) {
    if (isEqual(bearer, token)) return 'operator'
    throw new Problem(401, 'Not signed in', 'the bearer token is not the operator token')
  }
  const cookie = new RegExp(`(?:^|; )${cookieName}=([^;]+)`).exec(request.headers.get('cookie') ?? '')?.[1]
  if (cookie === undefined || !isEqual(cookie, cookieValue(token))) {
    throw new Problem(401, 'Not signed in', 'open the sign-in link that was printed at start, or send the operator token')
  }
  // The cookie comes with every request of the browser; an action must come from the page itself.
  const origin = request.headers.get('origin')
  if (origin !== null && new URL(origin).host !== request.headers.get('host')) {
    throw new Problem(403, 'Wrong origin', `'${origin}' may not act for the operator`)
  }
  return 'operator'
}

export function isOperator(request: HttpRequest, token: string): boolean {
  try {
    requireOperator(request, token)
    return true
  } catch {
    return false
  }
}

/** A code for the sign-in link, valid for a day. */
export function signInCode(token: string, nowMs: number): string {
  const expires = (nowMs + linkValidMs).toString(36)
  return `${expires}.${sign(token, `sign-in ${expires}`)}`
}

/** @throws Problem when the code is forged or expired */
export function signInCookie(token: string, code: string, nowMs: number): string {
  const [expires = '', signature = ''] = code.split('.')
  if (!isEqual(signature, sign(token, `sign-in ${expires}`))) throw new Problem(401, 'Not signed in', 'the sign-in link is not valid here')
  if (Number.parseInt(expires, 36) < nowMs)
    throw new Problem(401, 'Not signed in', 'the sign-in link has expired; a new one is printed at the next start')
  return `${cookieName}=${cookieValue(token)}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000`
}

function cookieValue(token: string): string {
  return sign(token, 'cookie')
}

function sign(token: string, text: string): string {
  return createHmac('sha256', token).update(text).digest('base64url')
}

function isEqual(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}
