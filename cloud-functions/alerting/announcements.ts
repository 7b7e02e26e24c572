/** When alerts were told of, which is what makes a flood: read now and then, and added to by what this process sees itself. */
import { standingOf } from '../../contract/alert.ts'
import type { AlertFacts } from '../../contract/alert.ts'
import { raiseTimes } from '../store/alert-store.ts'
import type { Tables } from '../store/tables.ts'
import { floodsIn } from './flood.ts'
import type { Flood } from './flood.ts'

/** What other processes raised is known so late at most. In a flood each alert would otherwise read all the others. */
const readEveryMs = 5_000
/** Floods are looked for this far behind the oldest alert that could still be told of. */
const lookBackMs = 2 * 3_600_000

export class Announcements {
  readonly #tables: Tables
  readonly #keptMs: number
  #readMs = -Infinity
  #reading: Promise<void> | undefined
  #raisedMs = new Map<string, number>()
  /** What was noted since the last read began, and may not be in it; undefined for what does not count any more. */
  #noted = new Map<string, number | undefined>()

  /** @param toldMs how long after its raise an alert can still be told of */
  constructor(tables: Tables, toldMs: number) {
    this.#tables = tables
    this.#keptMs = toldMs + lookBackMs
  }

  /** An alert as it stands now. */
  note(alert: AlertFacts): void {
    const standing = standingOf(alert)
    this.#put(alert.alertId, standing === 'suppressed' || standing === 'pending' ? undefined : alert.raisedAtMs)
  }

  /** An alert whose history went to another one. */
  forget(alertId: string): void {
    this.#put(alertId, undefined)
  }

  async floods(nowMs: number): Promise<Flood[]> {
    if (nowMs - this.#readMs >= readEveryMs || nowMs < this.#readMs)
      this.#reading ??= this.#read(nowMs).finally(() => (this.#reading = undefined))
    await this.#reading
    return floodsIn([...this.#raisedMs.values()], nowMs)
  }

  async #read(nowMs: number): Promise<void> {
    this.#noted = new Map()
    this.#raisedMs = await raiseTimes(this.#tables, nowMs - this.#keptMs)
    for (const [alertId, raisedMs] of this.#noted) this.#put(alertId, raisedMs)
    this.#readMs = nowMs
  }

  #put(alertId: string, raisedMs: number | undefined): void {
    this.#noted.set(alertId, raisedMs)
    if (raisedMs === undefined) this.#raisedMs.delete(alertId)
    else this.#raisedMs.set(alertId, raisedMs)
  }
}
