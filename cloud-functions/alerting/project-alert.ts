/** Brings the alert row in line with the alert's history. Safe to run twice, or by two at once. */
import { setTimeout as delay } from 'node:timers/promises'
import { standingOf } from '../../contract/alert.ts'
import type { Alert, AlertEvent } from '../../contract/alert.ts'
import { appendEvent, claimCondition, deleteAlert, readAlert, readCondition, readEvents, writeAlert } from '../store/alert-store.ts'
import { readDevice } from '../store/latest-store.ts'
import type { Tables } from '../store/tables.ts'
import { clock, dueEvents } from './alert-clock.ts'
import { foldAlert } from './alert-life.ts'

const attemptsMax = 50
/** A condition that comes back so soon after its alert was closed opens the same alert again. */
const reopenWithinMs = 15 * 60_000

export type Projected = {
  readonly alert: Alert
  readonly history: readonly AlertEvent[]
  readonly version: number
  /** Of its row. */
  readonly etag: string
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
      // Written by somebody who did not know yet that it belongs to another.
      if (stored) await deleteAlert(tables, alertId)
      await carryOver(tables, history, joined.into)
      return projectAlert(tables, joined.into, nowMs)
    }
    const alert = foldAlert(history)
    if (!alert) return undefined
    if (!stored) {
      const claimed = await claim(tables, alert)
      if (claimed.into !== alertId)
        await appendEvent(tables, { kind: 'joined', alertId, atMs: alert.raisedAtMs, into: claimed.into }, 'condition')
      if (claimed.hasGrown || claimed.into !== alertId) continue
    }
    const due = dueEvents(alert, nowMs, await dataUpToMs(tables, alert, nowMs))
    if (due.length > 0) {
      for (const event of due) await appendEvent(tables, event, 'clock')
      continue
    }
    const version = history.length
    if (stored?.events === version) return { alert, history, version, etag: stored.etag, isChanged }
    const etag = await writeAlert(tables, alert, version, stored?.etag)
    if (etag !== undefined) return { alert, history, version, etag, isChanged: true }
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

type Claimed = {
  /** The alert that the condition belongs to. */
  readonly into: string
  /** Whether the alert's own history grew by it. */
  readonly hasGrown: boolean
}

/** One open alert a condition: the one that began first, in whatever order episodes are told. */
async function claim(tables: Tables, alert: Alert): Promise<Claimed> {
  const { alertId, deviceId, raisedAtMs } = alert
  // A site may bear the name of a device.
  const signal = alert.scope === undefined ? alert.signal : `(${alert.scope})`
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    const known = await readCondition(tables, deviceId, signal)
    if (known?.alertId === alertId) return { into: alertId, hasGrown: false }
    // One that has no row yet is being written at this moment: its history says when it began.
    const holder = known && ((await readAlert(tables, known.alertId))?.alert ?? foldAlert(await readEvents(tables, known.alertId)))
    if (known && holder && holder.raisedAtMs > raisedAtMs) {
      // Long over when the younger one began, it has its own row and leaves the condition alone.
      if (!holds(alert, holder.raisedAtMs)) return { into: alertId, hasGrown: false }
      if (!(await claimCondition(tables, { deviceId, signal, alertId }, known))) continue
      await takeOver(tables, holder.alertId, alert)
      return { into: alertId, hasGrown: true }
    }
    if (known && holder && holds(holder, raisedAtMs)) return { into: known.alertId, hasGrown: false }
    if (await claimCondition(tables, { deviceId, signal, alertId }, known)) return { into: alertId, hasGrown: false }
  }
  throw new Error(`the condition of alert '${alertId}' is contended; trying again helps`)
}

function holds(holder: Alert, raisedAtMs: number): boolean {
  if (standingOf(holder) !== 'closed') return true
  return holder.closedAtMs !== undefined && raisedAtMs - holder.closedAtMs < reopenWithinMs
}

/** A younger episode that was told first becomes one of the older alert. */
async function takeOver(tables: Tables, younger: string, { alertId, raisedAtMs }: Alert): Promise<void> {
  await appendEvent(tables, { kind: 'joined', alertId: younger, atMs: raisedAtMs, into: alertId }, 'condition')
  await carryOver(tables, await readEvents(tables, younger), alertId)
  await deleteAlert(tables, younger)
}

/**
 * What happened in an episode happens in the alert it belongs to, under keys that follow from it; what people did to it,
 * too. What the clock and the plant have to say of the alert they say of it anew.
 */
async function carryOver(tables: Tables, history: readonly AlertEvent[], into: string): Promise<void> {
  for (const event of history) {
    const carried = carriedInto(event, into)
    if (carried) await appendEvent(tables, carried, carried.kind === 'recurred' ? carried.episodeId : event.alertId)
  }
}

function carriedInto(event: AlertEvent, into: string): AlertEvent | undefined {
  if (event.kind === 'raised') {
    const { alertId: episodeId, atMs, condition, priority, evidence } = event
    return { kind: 'recurred', alertId: into, atMs, episodeId, condition, priority, evidence }
  }
  const isOfTheMachine = event.kind === 'recurred' || event.kind === 'escalated' || event.kind === 'returned'
  const isOfPeople = 'by' in event && event.by !== clock
  return isOfTheMachine || isOfPeople ? { ...event, alertId: into } : undefined
}
