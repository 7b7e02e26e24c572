/**
 * Messages on their way to an endpoint that is not a log of ours: kept on disk until the endpoint has taken them, in
 * order, at least once. The log is shared; each endpoint is one of its partitions.
 */
import { z } from 'zod'
import type { CommitLog, LogRecord } from '../log/commit-log.ts'
import type { DocumentStore } from '../log/document-store.ts'

/** Which partition an endpoint has, and the first record in it that it still needs. */
export const Place = z.object({ partition: z.number().int().min(0), next: z.number().int().min(0) })
export type Place = z.infer<typeof Place>

/**
 * A place for every endpoint. One that had a place keeps it, whatever its position among the others is today; a new one
 * begins at the end of a partition that nobody has.
 * @throws RangeError when there are more endpoints, of today and before, than partitions
 */
export function placesOf(names: readonly string[], known: ReadonlyMap<string, Place>, ends: readonly number[]): Map<string, Place> {
  const taken = new Set([...known.values()].map(({ partition }) => partition))
  return new Map(
    names.map((name) => {
      const kept = known.get(name)
      if (kept) return [name, kept]
      const partition = ends.findIndex((_, index) => !taken.has(index))
      if (partition < 0) throw new RangeError(`there is no room for the endpoint '${name}': ${ends.length} have had a place`)
      taken.add(partition)
      return [name, { partition, next: ends[partition]! }]
    }),
  )
}

export type EndpointQueueOptions = {
  readonly name: string
  readonly log: CommitLog
  readonly place: Place
  readonly places: DocumentStore<Place>
  /** Takes records over; a rejection has them tried again. */
  readonly deliver: (records: readonly LogRecord[]) => Promise<void>
  /** How long to gather records, from the first on. */
  readonly gatherMs: number
  readonly gatherBytes: number
  readonly report: (event: string, fields: Record<string, unknown>) => void
}

const retryMs = 2_000

export class EndpointQueue {
  readonly #options: EndpointQueueOptions
  readonly #unsubscribe: () => void
  #next: number
  #isRunning = false
  #isStopped = false
  #wake: (() => void) | undefined

  constructor(options: EndpointQueueOptions) {
    this.#options = options
    this.#next = options.place.next
    this.#unsubscribe = options.log.subscribe(options.place.partition, () => this.#run())
    this.#run()
  }

  get name(): string {
    return this.#options.name
  }

  get partition(): number {
    return this.#options.place.partition
  }

  get backlog(): number {
    return this.#options.log.info(this.partition).endSequence - this.#next
  }

  /** First record that is still needed. */
  get next(): number {
    return this.#next
  }

  #run(): void {
    if (this.#isRunning || this.#isStopped) return
    this.#isRunning = true
    void this.#drain().finally(() => {
      this.#isRunning = false
      if (this.backlog > 0) this.#run()
    })
  }

  async #drain(): Promise<void> {
    const { log, gatherMs, gatherBytes, deliver, places, name, report } = this.#options
    while (this.backlog > 0 && !this.#isStopped) {
      if (gatherMs > 0) await this.#pause(gatherMs)
      try {
        const records = await log.read(this.partition, this.#next, { count: 10_000, bytes: gatherBytes })
        if (records.length === 0) return
        await deliver(records)
        this.#next = records.at(-1)!.sequenceNumber + 1
        await places.set(name, { partition: this.partition, next: this.#next })
      } catch (error) {
        if (this.#isStopped) return
        report('route-endpoint-failed', { endpoint: name, error: String(error) })
        await this.#pause(retryMs)
      }
    }
  }

  #pause(ms: number): Promise<void> {
    if (this.#isStopped) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  stop(): void {
    this.#isStopped = true
    this.#unsubscribe()
    this.#wake?.()
  }
}
