/**
 * Who asks, and what they may do. On a laptop: the operator token as a bearer token, or the cookie that a sign-in link
 * sets; reading is open on loopback. Behind a platform's sign-in: the principal in its header, and only when the app is
 * set to stand there, because anybody else could write that header.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import { Role } from '../../contract/api.ts'
import { Problem } from './problem.ts'

export type Identity = { readonly name: string; readonly role: Role }

export type IdentitySettings = {
  readonly operatorToken: string
  /** True only where the platform removes the header from what comes from outside. */
  readonly isBehindPlatformSignIn: boolean
}

export type Headers = { get(name: string): string | null }

const cookieName = 'millwright-session'
const sessionValidMs = 30 * 86_400_000
const linkValidMs = 24 * 3_600_000
/** The token opens everything a laptop has. */
const tokenHolder: Identity = { name: 'operator', role: 'engineer' }

/** @throws Problem 401 when somebody claims to be who they are not */
export function identify(headers: Headers, settings: IdentitySettings, nowMs: number): Identity | undefined {
  if (settings.isBehindPlatformSignIn) return platformIdentity(headers.get('x-ms-client-principal'))
  const bearer = /^Bearer (.+)$/.exec(headers.get('authorization') ?? '')?.[1]
  if (bearer !== undefined) {
    if (isEqual(bearer, settings.operatorToken)) return tokenHolder
    throw new Problem(401, 'Not signed in', 'the bearer token is not the operator token')
  }
  const cookie = new RegExp(`(?:^|; )${cookieName}=([^;]+)`).exec(headers.get('cookie') ?? '')?.[1]
  return cookie === undefined ? undefined : readSession(settings.operatorToken, cookie, nowMs)
}

/** @throws Problem 401 or 403 */
export function requireRole(identity: Identity | undefined, role: Role, settings: IdentitySettings): Identity {
  if (!identity) {
    const how = settings.isBehindPlatformSignIn
      ? 'sign in at /.auth/login/aad'
      : 'open the sign-in link that was printed at start, or send the operator token'
    throw new Problem(401, 'Not signed in', how)
  }
  if (Role.options.indexOf(identity.role) < Role.options.indexOf(role))
    throw new Problem(403, 'Not allowed', `'${identity.name}' is ${identity.role}, and this takes ${role}`)
  return identity
}

/** The cookie comes with every request of the browser; an action must come from the page itself. @throws Problem 403 */
export function requireOwnPage(headers: Headers): void {
  const site = headers.get('sec-fetch-site')
  const origin = headers.get('origin')
  const isForeign = origin !== null && (!URL.canParse(origin) || new URL(origin).host !== headers.get('host'))
  if (isForeign || (site !== null && site !== 'same-origin' && site !== 'none'))
    throw new Problem(403, 'Wrong origin', `a page of '${origin ?? 'another site'}' may not act here`)
}

const Principal = z.object({ userDetails: z.string().min(1).max(256), userRoles: z.array(z.string()) })

/** As Static Web Apps and App Service hand it over: base64 of JSON. */
function platformIdentity(header: string | null): Identity | undefined {
  if (header === null) return undefined
  try {
    const { userDetails, userRoles } = Principal.parse(JSON.parse(Buffer.from(header, 'base64').toString('utf8')))
    if (!userRoles.includes('authenticated')) return undefined
    const role = Role.options.findLast((candidate) => userRoles.includes(candidate)) ?? 'viewer'
    return { name: userDetails, role }
  } catch {
    throw new Problem(401, 'Not signed in', 'the platform sent a principal that cannot be read')
  }
}

const Session = z.object({ name: z.string().min(1).max(64), role: Role, untilMs: z.number() })

function readSession(token: string, cookie: string, nowMs: number): Identity | undefined {
  const [payload = '', signature = ''] = cookie.split('.')
  if (!isEqual(signature, sign(token, `session ${payload}`))) return undefined
  const { name, role, untilMs } = Session.parse(JSON.parse(Buffer.from(payload, 'base64url').toString()))
  return untilMs > nowMs ? { name, role } : undefined
}

export function sessionCookie(token: string, { name, role }: Identity, nowMs: number): string {
  const payload = Buffer.from(JSON.stringify({ name, role, untilMs: nowMs + sessionValidMs })).toString('base64url')
  const attributes = `Path=/; HttpOnly; SameSite=Strict; Max-Age=${sessionValidMs / 1000}`
  return `${cookieName}=${payload}.${sign(token, `session ${payload}`)}; ${attributes}`
}

export const signOutCookie = `${cookieName}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0`

const Link = z.object({ name: z.string().min(1).max(64), role: Role, untilMs: z.number(), nonce: z.string().min(1).max(32) })
export type SignInLink = z.infer<typeof Link>

/** A code for a sign-in link: good once, for a day. */
export function signInCode(token: string, nowMs: number, identity: Identity = tokenHolder): string {
  const link: SignInLink = { ...identity, untilMs: nowMs + linkValidMs, nonce: randomBytes(9).toString('base64url') }
  const payload = Buffer.from(JSON.stringify(link)).toString('base64url')
  return `${payload}.${sign(token, `sign-in ${payload}`)}`
}

/** @throws Problem when the code is forged or expired; whether it was used before is the store's to say */
export function readSignInCode(token: string, code: string, nowMs: number): SignInLink {
  const [payload = '', signature = ''] = code.split('.')
  if (!isEqual(signature, sign(token, `sign-in ${payload}`))) throw new Problem(401, 'Not signed in', 'the sign-in link is not valid here')
  const link = Link.parse(JSON.parse(Buffer.from(payload, 'base64url').toString()))
  if (link.untilMs < nowMs)
    throw new Problem(401, 'Not signed in', 'the sign-in link has expired; `npx millwright sign-in` makes a new one')
  return link
}

function sign(token: string, text: string): string {
  return createHmac('sha256', token).update(text).digest('base64url')
}

function isEqual(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}
