/** Brings the alert row in line with the alert's history. Safe to run twice, or by two at once. */
import { setTimeout as delay } from 'node:timers/promises'
import { standingOf } from '../../contract/alert.ts'
import type { Alert, AlertEvent } from '../../contract/alert.ts'
import { appendEvent, claimCondition, readAlert, readCondition, readEvents, writeAlert } from '../store/alert-store.ts'
import { readDevice } from '../store/latest-store.ts'
import type { Tables } from '../store/tables.ts'
import { dueEvents } from './alert-clock.ts'
import { foldAlert } from './alert-life.ts'

const attemptsMax = 50
/** A condition that comes back so soon after its alert was closed opens the same alert again. */
const reopenWithinMs = 15 * 60_000

export type Projected = {
  readonly alert: Alert
  readonly history: readonly AlertEvent[]
  readonly version: number
  readonly isChanged: boolean
}

/** @returns the alert as it stands now, undefined when its history has no beginning yet */
export async function projectAlert(tables: Tables, alertId: string, nowMs: number): Promise<Projected | undefined> {
  let isChanged = false
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    // The row is read before the history: if the history grows in between, the write is refused and all is read again.
    const stored = await readAlert(tables, alertId)
    const history = await readEvents(tables, alertId)
    const joined = history.find((event) => event.kind === 'joined')
    if (joined) {
      await carryOver(tables, history, joined.into)
      return projectAlert(tables, joined.into, nowMs)
    }
    const alert = foldAlert(history)
    if (!alert) return undefined
    if (!stored) {
      const into = await claim(tables, alert)
      if (into !== alertId) {
        await appendEvent(tables, { kind: 'joined', alertId, atMs: alert.raisedAtMs, into }, 'condition')
        continue
      }
    }
    const due = dueEvents(alert, nowMs, await dataUpToMs(tables, alert, nowMs))
    if (due.length > 0) {
      for (const event of due) await appendEvent(tables, event, 'clock')
      continue
    }
    const version = history.length
    if (stored?.events === version) return { alert, history, version, isChanged }
    if (await writeAlert(tables, alert, version, stored?.etag)) return { alert, history, version, isChanged: true }
    isChanged = true
    // Many at once must not keep each other from getting through.
    await delay(attempt * 5)
  }
  throw new Error(`alert '${alertId}' was written by others ${attemptsMax} times in a row; trying again helps`)
}

/** Delays run only as far as there is data; without delays nobody has to look. */
async function dataUpToMs(tables: Tables, alert: Alert, nowMs: number): Promise<number> {
  if (!alert.isPending && alert.recoveringSinceMs === undefined) return nowMs
  return (await readDevice(tables, alert.deviceId))?.summary.lastSeenMs ?? nowMs
}

/** One open alert a condition. @returns the id of the alert that the condition belongs to */
async function claim(tables: Tables, alert: Alert): Promise<string> {
  const { alertId, deviceId, raisedAtMs } = alert
  // A site may bear the name of a device.
  const signal = alert.scope === undefined ? alert.signal : `(${alert.scope})`
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    const known = await readCondition(tables, deviceId, signal)
    if (known?.alertId === alertId) return alertId
    const holder = known && (await readAlert(tables, known.alertId))?.alert
    // An older alert, told of again from its history, does not take the condition from a younger one.
    if (holder && holder.raisedAtMs > raisedAtMs) return alertId
    // A holder that has no row yet is being written at this moment; it was first.
    if (known && (!holder || holds(holder, raisedAtMs))) return known.alertId
    if (await claimCondition(tables, { deviceId, signal, alertId }, known)) return alertId
  }
  throw new Error(`the condition of alert '${alertId}' is contended; trying again helps`)
}

function holds(holder: Alert, raisedAtMs: number): boolean {
  if (standingOf(holder) !== 'closed') return true
  return holder.closedAtMs !== undefined && raisedAtMs - holder.closedAtMs < reopenWithinMs
}

/** What happened in an episode happens in the alert it belongs to, under keys that follow from it. */
async function carryOver(tables: Tables, history: readonly AlertEvent[], into: string): Promise<void> {
  for (const event of history) {
    const origin = event.alertId
    if (event.kind === 'raised') {
      const { atMs, condition, priority, evidence } = event
      await appendEvent(tables, { kind: 'recurred', alertId: into, atMs, episodeId: origin, condition, priority, evidence }, origin)
    } else if (event.kind === 'escalated' || event.kind === 'returned') await appendEvent(tables, { ...event, alertId: into }, origin)
  }
}
