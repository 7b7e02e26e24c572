/**
 * When Azurite writes its tables to disk. It writes all of them at once: after weeks of readings that is a second's work and
 * a hundred megabytes, and by itself it would do so every five seconds. Here saving takes a hundredth of the time at most;
 * what a save does not cover yet is in the journal, which is given up when it does.
 */
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { writeWhole } from '../../journal/durable-file.ts'
import type { CommitLog } from '../log/commit-log.ts'

const pauseMsMin = 15_000
const pauseMsMax = 600_000
const pausePerSave = 100
/** What would take long to repeat after a crash is saved sooner. */
const unsavedBytesMax = 64 * 1024 * 1024

const Mark = z.object({ nextSequence: z.number().int().nonnegative() })

export type TableSavesOptions = {
  /** Changes that Azurite has taken, in one partition. */
  readonly log: CommitLog
  /** Says up to where Azurite's file has them. */
  readonly markFile: string
  /** Resolves when everything Azurite has taken before the call is on the disk. */
  readonly save: () => Promise<void>
  readonly nowMs: () => number
  readonly onTrouble: (error: unknown) => void
}

export class TableSaves {
  readonly #options: TableSavesOptions
  #saving: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #endedMs: number
  #pauseMs = pauseMsMin
  #unsavedBytes = 0
  #isStopped = false

  constructor(options: TableSavesOptions) {
    this.#options = options
    this.#endedMs = options.nowMs()
  }

  /** The first change that Azurite's file may lack. */
  get nextSequence(): number {
    try {
      return Mark.parse(JSON.parse(readFileSync(this.#options.markFile, 'utf8'))).nextSequence
    } catch {
      // None, or not to be read: then all that is kept is repeated, which changes nothing that is there.
      return 0
    }
  }

  get #isMuch(): boolean {
    return this.#unsavedBytes >= unsavedBytesMax
  }

  /** When the next save may begin. */
  get nextSaveMs(): number {
    return this.#endedMs + (this.#isMuch ? pauseMsMin : this.#pauseMs)
  }

  /** A change has been journalled. */
  note(bytes: number): void {
    this.#unsavedBytes += bytes
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isStopped || this.#saving || this.#unsavedBytes === 0) return
    if (this.#timer && !this.#isMuch) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#start(), Math.max(0, this.nextSaveMs - this.#options.nowMs()))
    this.#timer.unref()
  }

  #start(): void {
    this.#timer = undefined
    this.#saving = this.#save().finally(() => {
      this.#saving = undefined
      this.#schedule()
    })
  }

  async #save(): Promise<void> {
    const { log, save, nowMs, onTrouble } = this.#options
    // A change is journalled when Azurite has taken it: all of these are covered by what it writes now.
    const nextSequence = log.info(0).endSequence
    const bytes = this.#unsavedBytes
    this.#unsavedBytes = 0
    const beganMs = nowMs()
    try {
      await save()
      this.covers(nextSequence)
      await log.dropBefore(log.offsetOf(0, nextSequence))
    } catch (error) {
      this.#unsavedBytes += bytes
      onTrouble(error)
    }
    this.#endedMs = nowMs()
    this.#pauseMs = Math.min(pauseMsMax, Math.max(pauseMsMin, pausePerSave * (this.#endedMs - beganMs)))
  }

  /** Notes that Azurite's file has all changes before this one. */
  covers(nextSequence: number): void {
    writeWhole(this.#options.markFile, JSON.stringify({ nextSequence }))
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    await this.#saving
  }
}
