/** Levels of authorisation of HTTP functions: `anonymous` is open, `function` needs a key, `admin` the master key. */
import { timingSafeEqual } from 'node:crypto'

export type FunctionKeys = { readonly master: string; readonly host: string }

/** @param keys undefined asks for none, as the tools on a developer's computer do */
export function isAuthorised(level: unknown, given: string | undefined, keys: FunctionKeys | undefined): boolean {
  if (!keys || level === 'anonymous') return true
  if (given === undefined) return false
  return isSame(given, keys.master) || (level !== 'admin' && isSame(given, keys.host))
}

function isSame(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}
