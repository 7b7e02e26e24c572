/**
 * Owns one partition: holds its state in memory, catches up from the log when there is a hole between the state and
 * the batch, writes effects before state, and lets go of the state whenever a write fails. The trigger moves its
 * checkpoint even after an exception; the hole that leaves is read again from the log with the next batch, or, where
 * none comes, by the sweep.
 */
import { errorText } from '../../contract/error-text.ts'
import type { Compression } from '../../contract/telemetry/telemetry.ts'
import { loadPartition, savePartition, writeEffects, writeLatest } from '../store/hot-path-store.ts'
import type { Tables } from '../store/tables.ts'
import type { DeviceState } from './device-state.ts'
import { foldMessage, noEffects } from './fold.ts'
import type { LoggedMessage, PartitionState } from './fold.ts'
import type { LogReader } from './log-reader.ts'

/** How much of the log a cold start reads again at most, against how often state is written. */
const saveEveryMs = 2_000
/** How old what a page shows may be. A row a device and batch would cost more than everything else together. */
const showEveryMs = 500
const showAgainMs = 5_000

type Held = {
  readonly state: PartitionState
  etag: string | undefined
  savedMs: number
  savedSequence: number
  readonly unsaved: Set<string>
  readonly unshown: Set<string>
}

export type PartitionOwnerOptions = {
  readonly partitionId: string
  readonly tables: Tables
  readonly readLog: LogReader
  readonly compression: Compression
  readonly nowMs: () => number
  readonly warn: (text: string) => void
  /** Told of the devices whose newest values have been written; must not throw. */
  readonly shown?: (devices: readonly DeviceState[]) => void
}

export class PartitionOwner {
  readonly #options: PartitionOwnerOptions
  #held: Held | undefined
  #queue: Promise<unknown> = Promise.resolve()
  #showTimer: NodeJS.Timeout | undefined
  #saveTimer: NodeJS.Timeout | undefined
  #showAgainTimer: NodeJS.Timeout | undefined
  #showing: Promise<void> = Promise.resolve()

  constructor(options: PartitionOwnerOptions) {
    this.#options = options
  }

  /**
   * Folds a batch and writes what follows from it.
   * @returns ids of the alerts whose history grew
   * @throws when the store or the log fails: the same batch may be given again
   */
  process(messages: readonly LoggedMessage[]): Promise<string[]> {
    const [first] = messages
    return first ? this.#inTurn(first.sequenceNumber, messages) : Promise.resolve([])
  }

  /**
   * Applies what the log holds before a sequence number, for want of a batch that would show the hole, and lets go of the
   * state: whoever has the next batch goes on from what is written.
   * @returns ids of the alerts whose history grew
   * @throws when the store or the log fails
   */
  async catchUp(beforeSequence: number): Promise<string[]> {
    const alertIds = await this.#inTurn(beforeSequence, [])
    await this.close()
    this.#held = undefined
    return alertIds
  }

  #inTurn(beforeSequence: number, messages: readonly LoggedMessage[]): Promise<string[]> {
    // The trigger hands over one batch of a partition at a time; the queue keeps that true if it ever does not.
    const result = this.#queue.then(() => this.#process(beforeSequence, messages))
    this.#queue = result.catch(() => {})
    return result
  }

  /** Writes what waits to be written. */
  async flush(): Promise<void> {
    await this.#showNow()
    await this.#saveInTurn()
  }

  /** Writes what waits to be written, and nothing after it. */
  async close(): Promise<void> {
    clearTimeout(this.#showAgainTimer)
    await this.flush()
  }

  /** One writing at a time, each after those before it: what any of them has taken is written when the last returns. */
  #showNow(): Promise<void> {
    this.#showing = this.#showing.then(() => this.#show())
    return this.#showing
  }

  /** What is shown follows from the state and lags behind it anyway: it is written beside the batches, and tried again when the store fails. */
  async #show(): Promise<void> {
    clearTimeout(this.#showTimer)
    this.#showTimer = undefined
    const held = this.#held
    if (!held || held.unshown.size === 0) return
    const { tables, partitionId, warn } = this.#options
    const deviceIds = [...held.unshown]
    held.unshown.clear()
    // The rows are made before anything is waited for: they are of one moment of the state.
    const devices = devicesOf(held.state, deviceIds)
    this.#options.shown?.(devices)
    try {
      await writeLatest(tables, partitionId, devices)
    } catch (error) {
      warn(`partition ${partitionId}: ${deviceIds.length} devices are shown later: ${errorText(error)}`)
      for (const deviceId of deviceIds) held.unshown.add(deviceId)
      this.#showLater()
    }
  }

  #showAll(): void {
    const held = this.#held
    if (!held) return
    for (const deviceId of held.state.devices.keys()) held.unshown.add(deviceId)
    this.#showLater()
  }

  #showLater(): void {
    this.#showTimer ??= setTimeout(() => void this.#showNow(), showEveryMs)
  }

  async #process(beforeSequence: number, messages: readonly LoggedMessage[]): Promise<string[]> {
    const alertIds = new Set<string>()
    try {
      const held = (this.#held ??= await this.#load())
      await this.#catchUp(held, beforeSequence, alertIds)
      if (messages.length > 0) await this.#apply(held, messages, alertIds)
      return [...alertIds]
    } catch (error) {
      this.#held = undefined
      throw error
    }
  }

  async #load(): Promise<Held> {
    const { tables, partitionId, warn } = this.#options
    const { state, etag, unreadable } = await loadPartition(tables, partitionId)
    if (unreadable.length > 0)
      warn(`partition ${partitionId}: ${unreadable.length} snapshots cannot be read, rebuilding all state from the log`)
    // What was applied and not shown before a crash is shown now; and once more when an owner that does not know it has
    // lost the partition has had the time to show the last it knew.
    clearTimeout(this.#showAgainTimer)
    this.#showAgainTimer = setTimeout(() => this.#showAll(), showAgainMs).unref()
    const { appliedSequence: savedSequence } = state
    return { state, etag, savedMs: 0, savedSequence, unsaved: new Set(), unshown: new Set(state.devices.keys()) }
  }

  async #catchUp(held: Held, beforeSequence: number, alertIds: Set<string>): Promise<void> {
    const afterSequence = held.state.appliedSequence
    if (afterSequence + 1 >= beforeSequence) return
    const { partitionId, readLog, warn } = this.#options
    await readLog({ partitionId, afterSequence, beforeSequence }, (missed) => this.#apply(held, missed, alertIds))
    if (held.state.appliedSequence < beforeSequence - 1) {
      warn(`partition ${partitionId}: the log no longer holds sequence numbers ${held.state.appliedSequence + 1} to ${beforeSequence - 1}`)
    }
  }

  async #apply(held: Held, messages: readonly LoggedMessage[], alertIds: Set<string>): Promise<void> {
    const { tables, partitionId, compression, nowMs } = this.#options
    const effects = noEffects()
    for (const message of messages) foldMessage(held.state, message, compression, effects)
    await writeEffects(tables, partitionId, effects)
    for (const { event } of effects.alertEvents) alertIds.add(event.alertId)
    for (const deviceId of effects.touchedDevices) {
      held.unsaved.add(deviceId)
      held.unshown.add(deviceId)
    }
    // A segment that is closed must not be shown as open, too: its readings would count twice.
    if (effects.closedSegments.length > 0) await this.#showNow()
    // The last of a burst is shown, too, though no batch comes after it.
    else this.#showLater()
    if (nowMs() - held.savedMs >= saveEveryMs) await this.#save(held)
    // The state after the last of a burst is written, too: it says how far the log has been applied.
    else this.#saveTimer ??= setTimeout(() => void this.#saveInTurn(), saveEveryMs)
  }

  async #save(held: Held): Promise<void> {
    const { tables, partitionId, nowMs } = this.#options
    clearTimeout(this.#saveTimer)
    this.#saveTimer = undefined
    held.etag = await savePartition(tables, partitionId, held.state, devicesOf(held.state, held.unsaved), held.etag)
    held.unsaved.clear()
    held.savedMs = nowMs()
    held.savedSequence = held.state.appliedSequence
  }

  /** Between two batches: neither may see the other half done. */
  #saveInTurn(): Promise<void> {
    const saved = this.#queue.then(async () => {
      clearTimeout(this.#saveTimer)
      this.#saveTimer = undefined
      const held = this.#held
      if (!held || held.savedSequence === held.state.appliedSequence) return
      try {
        await this.#save(held)
      } catch (error) {
        this.#held = undefined
        this.#options.warn(`partition ${this.#options.partitionId}: its state was not written and is read again: ${errorText(error)}`)
      }
    })
    this.#queue = saved
    return saved
  }
}

function devicesOf(state: PartitionState, deviceIds: Iterable<string>): DeviceState[] {
  return [...deviceIds].flatMap((deviceId) => state.devices.get(deviceId) ?? [])
}
