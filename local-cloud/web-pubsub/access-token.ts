/** JSON web tokens of Web PubSub: HS256 with the access key (RFC 7519). */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'

const Claims = z.looseObject({
  aud: z.union([z.string(), z.array(z.string())]).optional(),
  exp: z.number().optional(),
  nbf: z.number().optional(),
  sub: z.string().optional(),
  role: z.union([z.string(), z.array(z.string())]).optional(),
  'webpubsub.group': z.union([z.string(), z.array(z.string())]).optional(),
})
export type Claims = z.infer<typeof Claims>

export function signToken(claims: Claims, key: string): string {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`
  return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`
}

/** What a token says, when this key has signed it and it is in force; otherwise why it is not taken. */
export function readToken(token: string, key: string, path: string, nowMs: number): Claims | { readonly refused: string } {
  const [header = '', payload = '', signature = '', ...rest] = token.split('.')
  if (rest.length > 0 || signature === '') return { refused: 'the access token is no JSON web token' }
  const expected = createHmac('sha256', key).update(`${header}.${payload}`).digest()
  const given = Buffer.from(signature, 'base64url')
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return { refused: 'the access token has another signature' }
  try {
    const { alg } = z.looseObject({ alg: z.string() }).parse(JSON.parse(Buffer.from(header, 'base64url').toString()))
    if (alg !== 'HS256') return { refused: `tokens signed by '${alg}' are not taken` }
    const claims = Claims.parse(JSON.parse(Buffer.from(payload, 'base64url').toString()))
    if (claims.exp === undefined || claims.exp * 1000 <= nowMs) return { refused: 'the access token has expired' }
    const audiences = claims.aud === undefined ? [] : [claims.aud].flat()
    // The host may be written in several ways; what it gives access to may not.
    const isMeant = audiences.some((audience) => URL.canParse(audience) && new URL(audience).pathname.toLowerCase() === path.toLowerCase())
    return isMeant ? claims : { refused: `the access token is for '${audiences.join("', '")}', not for '${path}'` }
  } catch {
    return { refused: 'the access token cannot be read' }
  }
}
