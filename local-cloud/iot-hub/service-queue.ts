/**
 * What the hub tells back ends: feedback on cloud-to-device messages, file notifications. Records wait on disk; a reader
 * locks a group of them, and they are gone when it completes the group. Records nobody takes expire.
 */
import { z } from 'zod'
import { DocumentStore } from '../log/document-store.ts'

const StoredRecord = z.object({ createdMs: z.number(), record: z.record(z.string(), z.unknown()) })
type StoredRecord = z.infer<typeof StoredRecord>

const limits = { recordsMax: 10_000, ageMs: 3_600_000, groupMax: 64 } as const

export type LockedGroup = {
  readonly records: readonly Record<string, unknown>[]
  complete(): Promise<void>
  abandon(): void
}

export class ServiceQueue {
  readonly #store: DocumentStore<StoredRecord>
  readonly #nowMs: () => number
  readonly #locked = new Set<string>()
  readonly #listeners = new Set<() => void>()
  #next: number

  private constructor(store: DocumentStore<StoredRecord>, nowMs: () => number) {
    this.#store = store
    this.#nowMs = nowMs
    this.#next = Math.max(0, ...[...store.entries()].map(([id]) => Number(id) + 1))
  }

  static async open(path: string, nowMs: () => number): Promise<ServiceQueue> {
    return new ServiceQueue(await DocumentStore.open(path, (value) => StoredRecord.parse(value)), nowMs)
  }

  get length(): number {
    return this.#store.size
  }

  /** The oldest records give way when nobody reads them. */
  async push(record: Record<string, unknown>): Promise<void> {
    const nowMs = this.#nowMs()
    for (const [id, { createdMs }] of this.#store.entries()) {
      if (this.#store.size < limits.recordsMax && nowMs - createdMs < limits.ageMs) break
      void this.#store.delete(id)
    }
    await this.#store.set(String(this.#next++), { createdMs: nowMs, record })
    this.#notify()
  }

  /** Locks what waits, up to a group; undefined when nothing does. */
  take(): LockedGroup | undefined {
    const ids: string[] = []
    for (const [id] of this.#store.entries()) {
      if (ids.length >= limits.groupMax) break
      if (!this.#locked.has(id)) ids.push(id)
    }
    if (ids.length === 0) return undefined
    for (const id of ids) this.#locked.add(id)
    const unlock = () => ids.forEach((id) => this.#locked.delete(id))
    return {
      records: ids.map((id) => this.#store.get(id)!.record),
      complete: async () => {
        await Promise.all(ids.map((id) => this.#store.delete(id)))
        unlock()
      },
      abandon: () => {
        unlock()
        this.#notify()
      },
    }
  }

  /** Calls back whenever there may be something to take. @returns what ends that */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #notify(): void {
    for (const listener of this.#listeners) listener()
  }

  close(): Promise<void> {
    return this.#store.close()
  }
}
