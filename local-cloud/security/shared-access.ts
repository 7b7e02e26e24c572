/**
 * Shared access signatures. IoT Hub signs with the base64-decoded key, Event Hubs with the key's text: two conventions,
 * kept apart by the caller handing in the key's bytes.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

export type AccessToken = {
  readonly resource: string
  readonly rawResource: string
  readonly signature: string
  readonly expiresMs: number
  readonly keyName: string | undefined
}

/** Takes a token apart; undefined when it is none. */
export function parseAccessToken(text: string): AccessToken | undefined {
  const match = /^SharedAccessSignature (.+)$/.exec(text)
  if (!match) return undefined
  const fields = new Map(match[1]!.split('&').map((part) => [part.slice(0, part.indexOf('=')), part.slice(part.indexOf('=') + 1)]))
  const [rawResource, signature, expires] = [fields.get('sr'), fields.get('sig'), Number(fields.get('se'))]
  if (rawResource === undefined || signature === undefined || !Number.isFinite(expires)) return undefined
  try {
    return {
      resource: decodeURIComponent(rawResource),
      rawResource,
      signature: decodeURIComponent(signature),
      expiresMs: expires * 1000,
      keyName: fields.has('skn') ? decodeURIComponent(fields.get('skn')!) : undefined,
    }
  } catch {
    return undefined
  }
}

export function isSignedBy(token: AccessToken, key: Buffer): boolean {
  // The resource is signed exactly as it was sent, encoded or not.
  const expected = createHmac('sha256', key)
    .update(`${token.rawResource}\n${token.expiresMs / 1000}`)
    .digest()
  const given = Buffer.from(token.signature, 'base64')
  return given.length === expected.length && timingSafeEqual(given, expected)
}

export function createAccessToken(resource: string, key: Buffer, expiresMs: number, keyName?: string): string {
  const encoded = encodeURIComponent(resource)
  const expires = Math.ceil(expiresMs / 1000)
  const signature = createHmac('sha256', key).update(`${encoded}\n${expires}`).digest('base64')
  return `SharedAccessSignature sr=${encoded}&sig=${encodeURIComponent(signature)}&se=${expires}${keyName === undefined ? '' : `&skn=${keyName}`}`
}

/** True when the token's resource is the audience or contains it. */
export function covers(token: AccessToken, audience: string): boolean {
  const [held, wanted] = [token.resource.toLowerCase().replace(/\/$/, ''), audience.toLowerCase()]
  return wanted === held || wanted.startsWith(`${held}/`)
}

export function newKey(): string {
  return randomBytes(32).toString('base64')
}
