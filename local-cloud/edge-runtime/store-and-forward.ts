/**
 * Queues on disk between a publish and its destination. A publish is acknowledged when it is in the log; a queue moves
 * on when the destination has acknowledged. Queues of one endpoint are drained by priority; order within one is kept.
 * A message that nothing waits before goes on while it is written: its sender waits for the disk, its receiver, who may
 * have an alert to raise, does not. What a crash takes from the disk then was never acknowledged and comes again.
 */
import { join } from 'node:path'
import { z } from 'zod'
import { CommitLog } from '../log/commit-log.ts'
import { DocumentStore } from '../log/document-store.ts'
import { RefusedMessageError } from '../device-backend.ts'
import { decodeEdgeMessage, encodeEdgeMessage } from './edge-message.ts'
import type { EdgeMessage } from './edge-message.ts'

const queuesMax = 64
/** Unless the deployment says otherwise. */
const storeBytesDefault = 2 * 1024 * 1024 * 1024
/** Messages under way to a module; to the hub fewer, because what is more urgent waits for them. */
const windowMessages = { module: 256, upstream: 32 } as const
/**
 * A gateway is a small computer, and a write to its disk costs it as much as twenty messages: under load a commit waits for
 * more. A few messages, an alert's device among them, wait for next to nothing.
 */
const gatherMs = (lastCount: number) => (lastCount < 4 ? 0 : Math.min(8, 0.3 * lastCount))
/** Messages that go on while they are written wait for each other so long: a packet for each would cost their receiver more. */
const gatherFreshMs = (lastCount: number) => Math.min(2, 0.3 * lastCount)
/** How often positions are written: what a crash delivers twice at most. */
const positionEveryMs = 100

const StoredQueue = z.object({ partition: z.number(), next: z.number() })

/** Where messages of an endpoint go. Rejects when it cannot be reached: the message stays and is tried again. */
export type Deliver = (message: EdgeMessage) => Promise<void>

type Queue = { readonly name: string; readonly partition: number; next: number; savedNext: number; pump?: EndpointPump | undefined }

export class StoreAndForward {
  readonly #log: CommitLog
  readonly #positions: DocumentStore<z.infer<typeof StoredQueue>>
  readonly #queues = new Map<string, Queue>()
  readonly #making = new Map<string, Promise<Queue>>()
  readonly #nowMs: () => number
  readonly #pumps = new Map<string, EndpointPump>()
  readonly #saving: NodeJS.Timeout
  expiredCount = 0
  bytesMax = storeBytesDefault

  private constructor(log: CommitLog, positions: DocumentStore<z.infer<typeof StoredQueue>>, nowMs: () => number) {
    this.#log = log
    this.#positions = positions
    this.#nowMs = nowMs
    for (const [name, stored] of positions.entries()) {
      const { partition } = stored
      // What was delivered while it was written, and then not written, comes again under the same number.
      const next = Math.min(stored.next, log.info(partition).endSequence)
      this.#queues.set(name, { name, partition, next, savedNext: next })
    }
    this.#saving = setInterval(() => void this.#savePositions(), positionEveryMs)
    this.#saving.unref()
  }

  static async open(directory: string, nowMs: () => number): Promise<StoreAndForward> {
    const positions = await DocumentStore.open(join(directory, 'queues.ndjson'), (value) => StoredQueue.parse(value))
    let store: StoreAndForward | undefined
    const log = await CommitLog.open({
      directory: join(directory, 'log'),
      partitions: queuesMax,
      segmentBytesMax: 16 * 1024 * 1024,
      gatherMs,
      onFailure() {
        if (store) store.#beginAgain()
      },
      nowMs,
    })
    store = new StoreAndForward(log, positions, nowMs)
    return store
  }

  /** Resolves when the message is durable in every queue. */
  append(queueNames: readonly string[], message: EdgeMessage): Promise<void> {
    // Refusing is back-pressure: the publish stays unacknowledged and the device keeps it.
    if (this.#log.bytes > this.bytesMax)
      return Promise.reject(
        new RefusedMessageError('store-full', `the store holds ${this.#log.bytes} bytes, its limit is ${this.bytesMax}`),
      )
    const bytes = encodeEdgeMessage(message)
    const [name = ''] = queueNames
    const only = queueNames.length === 1 ? this.#queues.get(name) : undefined
    // Messages that become durable together share one promise, and then one acknowledgement.
    if (only) return this.#appendTo(only, bytes, message)
    return Promise.all(queueNames.map(async (each) => this.#appendTo(await this.#queue(each), bytes, message))).then(() => {})
  }

  #appendTo({ partition, pump }: Queue, bytes: Buffer, message: EdgeMessage): Promise<void> {
    return this.#log.append(partition, ({ sequenceNumber }) => {
      pump?.offer(partition, sequenceNumber, message)
      return bytes
    })
  }

  async #queue(name: string): Promise<Queue> {
    const known = this.#queues.get(name)
    if (known) return known
    // Whoever comes while it is made waits for it, too: nobody overtakes the first message.
    const underWay = this.#making.get(name)
    if (underWay) return underWay
    const partition = this.#queues.size + this.#making.size
    if (partition >= queuesMax) throw new Error(`more than ${queuesMax} queues: too many endpoints and priorities`)
    const making = this.#make(name, partition).finally(() => this.#making.delete(name))
    this.#making.set(name, making)
    return making
  }

  async #make(name: string, partition: number): Promise<Queue> {
    const queue = { name, partition, next: 0, savedNext: 0 }
    await this.#positions.set(name, { partition, next: 0 })
    this.#queues.set(name, queue)
    return queue
  }

  /** Drains the queues of an endpoint, given in order of priority, until it is detached. */
  async attach(endpoint: string, queueNames: readonly string[], deliver: Deliver): Promise<void> {
    this.detach(endpoint)
    this.#drain(endpoint, await Promise.all(queueNames.map((name) => this.#queue(name))), deliver)
  }

  #drain(endpoint: string, queues: readonly Queue[], deliver: Deliver): void {
    const window = endpoint === '$upstream' ? windowMessages.upstream : windowMessages.module
    const pump = new EndpointPump(this.#log, queues, deliver, { nowMs: this.#nowMs, window, onExpired: () => this.expiredCount++ })
    this.#pumps.set(endpoint, pump)
    for (const queue of queues) queue.pump = pump
  }

  /** Numbers of messages that were handed on and could not be written will be given again: what comes under them is not what was sent. */
  #beginAgain(): void {
    for (const queue of this.#queues.values()) queue.next = Math.min(queue.next, this.#log.info(queue.partition).endSequence)
    for (const [endpoint, pump] of [...this.#pumps]) {
      if (pump.isStopped) continue
      pump.stop()
      this.#drain(endpoint, pump.queues, pump.deliver)
    }
  }

  detach(endpoint: string): void {
    this.#pumps.get(endpoint)?.stop()
    this.#pumps.delete(endpoint)
  }

  backlog(): Record<string, number> {
    return Object.fromEntries(
      [...this.#queues.values()].map(({ name, partition, next }) => [name, Math.max(0, this.#log.info(partition).endSequence - next)]),
    )
  }

  async #savePositions(): Promise<void> {
    const moved = [...this.#queues.values()].filter(({ next, savedNext }) => next !== savedNext)
    if (moved.length === 0) return
    for (const queue of moved) queue.savedNext = queue.next
    try {
      await Promise.all(moved.map(({ name, partition, next }) => this.#positions.set(name, { partition, next })))
      const needed = [...this.#queues.values()].map(({ partition, next }) => this.#log.offsetOf(partition, next))
      await this.#log.dropBefore(Math.min(...needed))
    } catch {
      // A disk that is full: what it does not know is sent twice after a crash, and it is told again.
      for (const queue of moved) queue.savedNext = -1
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#saving)
    for (const endpoint of [...this.#pumps.keys()]) this.detach(endpoint)
    await this.#savePositions()
    await this.#positions.close()
    await this.#log.close()
  }
}

type PumpOptions = { readonly nowMs: () => number; readonly window: number; readonly onExpired: () => void }

/** What is under way of one queue, the oldest first. */
type Lane = {
  readonly queue: Queue
  /** To be sent next. */ sent: number
  readonly underWay: { readonly sequenceNumber: number; isDone: boolean }[]
  /** Not on the disk yet. */
  readonly fresh: { readonly sequenceNumber: number; readonly message: EdgeMessage }[]
}

/**
 * Keeps a window of messages under way to one endpoint: the next one goes as soon as one is acknowledged, and it is the
 * most urgent there is. A queue's position is behind what has been acknowledged without a gap.
 */
class EndpointPump {
  readonly queues: readonly Queue[]
  readonly deliver: Deliver
  readonly #log: CommitLog
  readonly #lanes: readonly Lane[]
  readonly #options: PumpOptions
  readonly #unsubscribe: (() => void)[]
  #underWay = 0
  #isGathering = false
  #lastFreshCount = 0
  #isRunning = false
  #isStopped = false

  constructor(log: CommitLog, queues: readonly Queue[], deliver: Deliver, options: PumpOptions) {
    this.#log = log
    this.#lanes = queues.map((queue) => ({ queue, sent: queue.next, underWay: [], fresh: [] }))
    this.queues = queues
    this.deliver = deliver
    this.#options = options
    this.#unsubscribe = queues.map(({ partition }) => log.subscribe(partition, () => this.#run()))
    this.#run()
  }

  get isStopped(): boolean {
    return this.#isStopped
  }

  /** The endpoint went away; whoever finds it again attaches anew, and what was not acknowledged is sent again. */
  stop(): void {
    this.#isStopped = true
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
  }

  /** Takes a message that is about to be written. Unless it goes now, it comes from the log. */
  offer(partition: number, sequenceNumber: number, message: EdgeMessage): void {
    if (this.#isStopped) return
    this.#lanes.find(({ queue }) => queue.partition === partition)?.fresh.push({ sequenceNumber, message })
    if (this.#isGathering) return
    this.#isGathering = true
    const waitMs = gatherFreshMs(this.#lastFreshCount)
    if (waitMs < 1) setImmediate(() => this.#sendFresh())
    else setTimeout(() => this.#sendFresh(), waitMs)
  }

  #sendFresh(): void {
    this.#isGathering = false
    this.#lastFreshCount = 0
    for (const lane of this.#lanes)
      for (const { sequenceNumber, message } of lane.fresh.splice(0)) {
        this.#lastFreshCount++
        const isNext = sequenceNumber === lane.sent && this.#underWay < this.#options.window && !this.#nextLane()
        if (isNext && !this.#isStopped) this.#send(lane, sequenceNumber, message)
      }
  }

  #run(): void {
    if (this.#isRunning || !this.#nextLane()) return
    this.#isRunning = true
    this.#fill()
      .catch(() => this.stop())
      .finally(() => {
        this.#isRunning = false
        this.#run()
      })
  }

  /** Where the most urgent message waits, if the window has room for it. */
  #nextLane(): Lane | undefined {
    if (this.#isStopped || this.#underWay >= this.#options.window) return undefined
    return this.#lanes.find(({ queue, sent }) => this.#log.info(queue.partition).endSequence > sent)
  }

  async #fill(): Promise<void> {
    for (let lane = this.#nextLane(); lane; lane = this.#nextLane()) {
      const count = this.#options.window - this.#underWay
      const records = await this.#log.read(lane.queue.partition, lane.sent, { count, bytes: 1024 * 1024 })
      if (this.#isStopped) return
      for (const { sequenceNumber, payload } of records) this.#send(lane, sequenceNumber, decodeEdgeMessage(payload))
    }
  }

  #send(lane: Lane, sequenceNumber: number, content: EdgeMessage): void {
    const message = { sequenceNumber, isDone: false }
    lane.sent = sequenceNumber + 1
    lane.underWay.push(message)
    this.#underWay++
    this.#deliverUnlessExpired(content).then(
      () => {
        message.isDone = true
        this.#underWay--
        if (this.#isStopped) return
        while (lane.underWay[0]?.isDone) lane.queue.next = lane.underWay.shift()!.sequenceNumber + 1
        this.#run()
      },
      () => this.stop(),
    )
  }

  async #deliverUnlessExpired(message: EdgeMessage): Promise<void> {
    if (message.expiresMs <= this.#options.nowMs()) this.#options.onExpired()
    else await this.deliver(message)
  }
}
