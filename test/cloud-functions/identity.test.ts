/** Who asks: the token, the session, the platform's word, and those who only claim to be somebody. */
import { describe, expect, test } from 'vitest'
import { identify, readSignInCode, requireOwnPage, requireRole, sessionCookie, signInCode } from '../../cloud-functions/api/identity.ts'

const laptop = { operatorToken: 'the operator’s own token', isBehindPlatformSignIn: false }
const azure = { ...laptop, isBehindPlatformSignIn: true }
const headers = (fields: Record<string, string>) => ({ get: (name: string) => fields[name] ?? null })
const principal = (value: unknown) => headers({ 'x-ms-client-principal': Buffer.from(JSON.stringify(value)).toString('base64') })
const boss = { userDetails: 'boss@example.com', userRoles: ['anonymous', 'authenticated', 'operator'] }

describe('on a laptop', () => {
  test('the token opens everything, another one nothing', () => {
    expect(identify(headers({ authorization: `Bearer ${laptop.operatorToken}` }), laptop, 0)).toMatchObject({ role: 'engineer' })
    expect(() => identify(headers({ authorization: 'Bearer guess' }), laptop, 0)).toThrow('not the operator token')
  })
  test('the platform’s principal counts for nothing', () => expect(identify(principal(boss), laptop, 0)).toBeUndefined())
  test('a session holds a month, under its name', () => {
    const cookie = sessionCookie(laptop.operatorToken, { name: 'ann', role: 'operator' }, 0).split(';')[0]!
    expect(identify(headers({ cookie: `a=b; ${cookie}` }), laptop, 86_400_000)).toEqual({ name: 'ann', role: 'operator' })
    expect(identify(headers({ cookie }), laptop, 31 * 86_400_000)).toBeUndefined()
    const [name, value] = cookie.split('=') as [string, string]
    const forged = Buffer.from(JSON.stringify({ name: 'ann', role: 'engineer', untilMs: 1e15 })).toString('base64url')
    expect(identify(headers({ cookie: `${name}=${forged}.${value.split('.')[1]}` }), laptop, 0)).toBeUndefined()
  })
})

describe('behind the platform’s sign-in', () => {
  test('its principal says who, and with which role', () => {
    expect(identify(principal(boss), azure, 0)).toEqual({ name: 'boss@example.com', role: 'operator' })
    expect(identify(principal({ ...boss, userRoles: ['authenticated'] }), azure, 0)).toMatchObject({ role: 'viewer' })
    expect(identify(principal({ ...boss, userRoles: ['anonymous', 'engineer'] }), azure, 0)).toBeUndefined()
    expect(() => identify(headers({ 'x-ms-client-principal': '{{{' }), azure, 0)).toThrow('cannot be read')
  })
  test('the laptop’s token counts for nothing', () =>
    expect(identify(headers({ authorization: `Bearer ${laptop.operatorToken}` }), azure, 0)).toBeUndefined())
})

describe('permission', () => {
  test('each role may do what those before it may', () => {
    const may = (role: 'viewer' | 'operator' | 'engineer', needed: 'viewer' | 'operator' | 'engineer') => {
      try {
        return requireRole({ name: 'x', role }, needed, laptop).role === role
      } catch {
        return false
      }
    }
    expect([may('viewer', 'operator'), may('operator', 'operator'), may('operator', 'engineer'), may('engineer', 'viewer')]).toEqual([
      false,
      true,
      false,
      true,
    ])
  })
  test.each([
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: 'not an origin' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ])('a page elsewhere may not act: %j', (fields) =>
    expect(() => requireOwnPage(headers({ host: '127.0.0.1:7300', ...fields }))).toThrow('may not act here'),
  )
  test('our own may', () =>
    expect(() =>
      requireOwnPage(headers({ host: '127.0.0.1:7300', origin: 'http://127.0.0.1:7300', 'sec-fetch-site': 'same-origin' })),
    ).not.toThrow())
})

describe('a sign-in link', () => {
  test('says for whom, is never the same twice, and expires', () => {
    const code = signInCode(laptop.operatorToken, 0, { name: 'ann', role: 'viewer' })
    expect(readSignInCode(laptop.operatorToken, code, 1_000)).toMatchObject({ name: 'ann', role: 'viewer' })
    expect(signInCode(laptop.operatorToken, 0)).not.toBe(signInCode(laptop.operatorToken, 0))
    expect(() => readSignInCode(laptop.operatorToken, code, 25 * 3_600_000)).toThrow('expired')
    expect(() => readSignInCode('another token', code, 0)).toThrow('not valid')
    expect(() => readSignInCode(laptop.operatorToken, '', 0)).toThrow('not valid')
  })
})
