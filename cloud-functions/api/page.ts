/** Pages of a list by a key that sorts: what is added or removed meanwhile is neither skipped nor told twice. */
import { z } from 'zod'
import { Problem } from './problem.ts'

export const PageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(20_000).optional(),
  cursor: z.string().max(200).optional(),
})

export function pageOf<Item>(
  items: readonly Item[],
  keyOf: (item: Item) => string,
  { limit, cursor }: z.infer<typeof PageQuery>,
  usual: number,
): { items: Item[]; next: { next?: string } } {
  const afterKey = cursor === undefined ? '' : decoded(cursor)
  const keyed = items.map((item) => ({ item, key: keyOf(item) })).filter(({ key }) => key > afterKey)
  keyed.sort((a, b) => (a.key < b.key ? -1 : 1))
  const shown = keyed.slice(0, limit ?? usual)
  const last = shown.at(-1)
  const next = last && keyed.length > shown.length ? { next: Buffer.from(last.key).toString('base64url') } : {}
  return { items: shown.map(({ item }) => item), next }
}

function decoded(cursor: string): string {
  const key = Buffer.from(cursor, 'base64url').toString()
  if (!/^[\w-]+$/.test(key)) throw new Problem(400, 'Bad request', `'${cursor}' is no cursor of this list`)
  return key
}
