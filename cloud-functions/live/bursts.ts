/** Things to be told that come in bursts: one by itself goes at once, what follows within a moment goes together. */

export type BurstOptions<T> = {
  /** So many at once, in the order they came. */
  readonly send: (things: readonly T[]) => void
  readonly everyMs: number
  readonly atOnceMax: number
  /** Calls back after so many milliseconds. */
  readonly later: (call: () => void, ms: number) => void
}

export class Bursts<T> {
  readonly #options: BurstOptions<T>
  #waiting: T[] = []
  #isPaused = false

  constructor(options: BurstOptions<T>) {
    this.#options = options
  }

  add(thing: T): void {
    this.#waiting.push(thing)
    if (!this.#isPaused) this.#sendAll()
  }

  #sendAll(): void {
    const { send, everyMs, atOnceMax, later } = this.#options
    const waiting = this.#waiting
    this.#waiting = []
    for (let from = 0; from < waiting.length; from += atOnceMax) send(waiting.slice(from, from + atOnceMax))
    this.#isPaused = waiting.length > 0
    if (this.#isPaused) later(() => this.#sendAll(), everyMs)
  }
}
