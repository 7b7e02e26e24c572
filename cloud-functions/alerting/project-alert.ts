/** Brings the alert row and the outbox in line with the alert's history. Safe to run twice, or by two at once. */
import type { Alert } from '../../contract/alert.ts'
import { readAlert, readEvents, writeAlert } from '../store/alert-store.ts'
import { addToOutbox } from '../store/outbox-store.ts'
import type { Tables } from '../store/tables.ts'
import { foldAlert } from './alert-life.ts'

const attemptsMax = 5

/** @returns the alert as it stands now, undefined when its history has no beginning yet */
export async function projectAlert(tables: Tables, alertId: string, nowMs: number): Promise<Alert | undefined> {
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    // The row is read before the history: if the history grows in between, the write is refused and all is read again.
    const stored = await readAlert(tables, alertId)
    const events = await readEvents(tables, alertId)
    const alert = foldAlert(events)
    if (!alert) return undefined
    const isCurrent = stored?.events === events.length
    if (isCurrent || (await writeAlert(tables, alert, events.length, stored?.etag))) {
      await addToOutbox(tables, alertId, 'raised.webhook', nowMs)
      return alert
    }
  }
  throw new Error(`alert '${alertId}' was written by others ${attemptsMax} times in a row; trying again helps`)
}
