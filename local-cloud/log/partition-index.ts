/** Where the records of one partition lie, when they came, and the payloads of the newest. */
import type { Position } from './log-record.ts'

/** Live readers are served from here; older records are read from the file. */
const cacheBytesMax = 8 * 1024 * 1024

type Cached = { readonly buffer: Buffer; readonly start: number; readonly end: number }
const nothing: Cached = { buffer: Buffer.alloc(0), start: 0, end: 0 }

export class PartitionIndex {
  beginSequence = 0
  #offsets: number[] = []
  #times: number[] = []
  /** The newest payloads; those before `#cacheHead` have been let go. */
  #cache: Cached[] = []
  #cacheHead = 0
  #cacheBytes = 0
  /** Numbers whose records damage has taken. */
  readonly #holes = new Set<number>()
  readonly #listeners = new Set<() => void>()

  get endSequence(): number {
    return this.beginSequence + this.#offsets.length
  }

  /** Where an empty partition goes on counting: its records have gone, their numbers are not given again. */
  beginAt(sequenceNumber: number): void {
    if (this.#offsets.length === 0) this.beginSequence = sequenceNumber
  }

  /** @param buffer holds the payload from `start` to `end` */
  add({ sequenceNumber, offset, enqueuedMs }: Position, buffer: Buffer, start: number, end: number): void {
    // After retention has taken the beginning, the first record recovered sets it.
    this.beginAt(sequenceNumber)
    while (this.endSequence < sequenceNumber) {
      this.#holes.add(this.endSequence)
      this.#push(offset, enqueuedMs, nothing)
    }
    this.#push(offset, enqueuedMs, { buffer, start, end })
    while (this.#cacheBytes > cacheBytesMax && this.#cachedCount > 1) this.#letGo()
  }

  #push(offset: number, enqueuedMs: number, payload: Cached): void {
    this.#offsets.push(offset)
    this.#times.push(enqueuedMs)
    this.#cache.push(payload)
    this.#cacheBytes += payload.end - payload.start
  }

  get #cachedCount(): number {
    return this.#cache.length - this.#cacheHead
  }

  #letGo(): void {
    const { start, end } = this.#cache[this.#cacheHead]!
    this.#cacheBytes -= end - start
    this.#cache[this.#cacheHead++] = nothing
    // Taking from the front of an array costs its whole length; once in a while is enough.
    if (this.#cacheHead < this.#cache.length / 2) return
    this.#cache = this.#cache.slice(this.#cacheHead)
    this.#cacheHead = 0
  }

  position(sequenceNumber: number): Position {
    const index = sequenceNumber - this.beginSequence
    return { sequenceNumber, offset: this.#offsets[index]!, enqueuedMs: this.#times[index]! }
  }

  /** Whether a record had the number that can no longer be read. */
  isHole(sequenceNumber: number): boolean {
    return this.#holes.has(sequenceNumber)
  }

  last(): Position | undefined {
    return this.#offsets.length > 0 ? this.position(this.endSequence - 1) : undefined
  }

  cached(sequenceNumber: number): Buffer | undefined {
    const found = this.#cache[sequenceNumber - (this.endSequence - this.#cache.length)]
    return found === undefined || found === nothing ? undefined : found.buffer.subarray(found.start, found.end)
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
    while (this.#cachedCount > this.#offsets.length) this.#letGo()
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
