/** Where the records of one partition lie, when they came, and the payloads of the newest. */
import type { Position } from './commit-log.ts'

/** Live readers are served from here; older records are read from the file. */
const cacheBytesMax = 8 * 1024 * 1024

export class PartitionIndex {
  beginSequence = 0
  #offsets: number[] = []
  #times: number[] = []
  #cache: Buffer[] = []
  #cacheBytes = 0
  readonly #listeners = new Set<() => void>()

  get endSequence(): number {
    return this.beginSequence + this.#offsets.length
  }

  add({ sequenceNumber, offset, enqueuedMs }: Position, payload: Buffer): void {
    // After retention has taken the beginning, the first record recovered sets it.
    if (this.#offsets.length === 0) this.beginSequence = sequenceNumber
    this.#offsets.push(offset)
    this.#times.push(enqueuedMs)
    this.#cache.push(payload)
    this.#cacheBytes += payload.length
    while (this.#cacheBytes > cacheBytesMax && this.#cache.length > 1) this.#cacheBytes -= this.#cache.shift()!.length
  }

  position(sequenceNumber: number): Position {
    const index = sequenceNumber - this.beginSequence
    return { sequenceNumber, offset: this.#offsets[index]!, enqueuedMs: this.#times[index]! }
  }

  last(): Position | undefined {
    return this.#offsets.length > 0 ? this.position(this.endSequence - 1) : undefined
  }

  cached(sequenceNumber: number): Buffer | undefined {
    return this.#cache[sequenceNumber - (this.endSequence - this.#cache.length)]
  }

  sequenceAtOffset(offset: number, inclusive: boolean): number {
    return this.beginSequence + firstIndex(this.#offsets, (value) => (inclusive ? value >= offset : value > offset))
  }

  sequenceAfterTime(timeMs: number): number {
    return this.beginSequence + firstIndex(this.#times, (value) => value > timeMs)
  }

  dropBefore(offset: number): void {
    const count = firstIndex(this.#offsets, (value) => value >= offset)
    this.#offsets.splice(0, count)
    this.#times.splice(0, count)
    this.beginSequence += count
    while (this.#cache.length > this.#offsets.length) this.#cacheBytes -= this.#cache.shift()!.length
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  notify(): void {
    for (const listener of this.#listeners) listener()
  }
}

/** First index whose value passes, for values that fail first and pass from some point on; the length if none does. */
function firstIndex(values: readonly number[], passes: (value: number) => boolean): number {
  let low = 0
  let high = values.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (passes(values[middle]!)) high = middle
    else low = middle + 1
  }
  return low
}
