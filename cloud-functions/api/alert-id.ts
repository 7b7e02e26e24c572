import { z } from 'zod'
import { readAlert, readEvents } from '../store/alert-store.ts'
import type { StoredAlert } from '../store/alert-store.ts'
import type { Tables } from '../store/tables.ts'
import { Problem } from './problem.ts'

export const AlertId = z.string().regex(/^[0-9a-f]{16}$/)

/** @throws Problem 404 */
export function requireAlertId(text: string | undefined): string {
  const result = AlertId.safeParse(text)
  if (!result.success) throw new Problem(404, 'No such alert', `'${text}' is not an alert's id`)
  return result.data
}

/** The alert, or the one that an episode of this id belongs to. @throws Problem 404 */
export async function requireAlert(tables: Tables, text: string | undefined): Promise<StoredAlert> {
  const alertId = requireAlertId(text)
  const stored = await readAlert(tables, alertId)
  if (stored) return stored
  const joined = (await readEvents(tables, alertId)).find((event) => event.kind === 'joined')
  const holder = joined && (await readAlert(tables, joined.into))
  if (!holder) throw new Problem(404, 'No such alert', `no alert '${alertId}'`)
  return holder
}
