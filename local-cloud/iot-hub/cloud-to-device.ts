/**
 * Messages from the cloud to one device: they wait on disk until the device has taken them, at most fifty, in order;
 * each is delivered ten times at most and has a time to live; the sender may ask what became of it
 * (iot-hub-devguide-messages-c2d.md).
 */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import { DocumentStore } from '../log/document-store.ts'

const StoredMessage = z.object({
  deviceId: z.string(),
  generationId: z.string(),
  enqueuedMs: z.number(),
  expiresMs: z.number(),
  deliveryCount: z.number(),
  ack: z.enum(['none', 'positive', 'negative', 'full']),
  system: z.array(z.tuple([z.string(), z.string()])),
  application: z.array(z.tuple([z.string(), z.string()])),
  body: z.base64(),
})
export type CloudToDeviceMessage = z.infer<typeof StoredMessage>

export type FeedbackStatus = 'Success' | 'Expired' | 'DeliveryCountExceeded' | 'Rejected' | 'Purged'

export type CloudToDeviceOptions = {
  readonly nowMs: () => number
  /** Feedback that the sender asked for. */
  readonly onFeedback: (message: CloudToDeviceMessage, status: FeedbackStatus) => void
}

export const cloudToDeviceLimits = {
  pendingMax: 50,
  bodyBytesMax: 64 * 1024,
  timeToLiveMs: 3_600_000,
  timeToLiveMaxMs: 2 * 86_400_000,
  deliveriesMax: 10,
  lockMs: 60_000,
} as const

/** 403004: the device has fifty messages waiting. Trying again later can help. */
export class DeviceQueueFullError extends Error {
  override readonly name = 'DeviceQueueFullError'
}

type Entry = { readonly key: string; message: CloudToDeviceMessage; lock: { readonly token: string; readonly untilMs: number } | undefined }

export class CloudToDevice {
  readonly #store: DocumentStore<CloudToDeviceMessage>
  readonly #options: CloudToDeviceOptions
  readonly #queues = new Map<string, Entry[]>()
  #next = 0

  private constructor(store: DocumentStore<CloudToDeviceMessage>, options: CloudToDeviceOptions) {
    this.#store = store
    this.#options = options
    for (const [key, message] of store.entries()) {
      this.#queueOf(message.deviceId).push({ key, message, lock: undefined })
      this.#next = Math.max(this.#next, Number(key) + 1)
    }
  }

  static async open(directory: string, options: CloudToDeviceOptions): Promise<CloudToDevice> {
    const store = await DocumentStore.open(join(directory, 'cloud-to-device.ndjson'), (value) => StoredMessage.parse(value))
    return new CloudToDevice(store, options)
  }

  pendingCount(deviceId: string): number {
    return this.#queues.get(deviceId)?.length ?? 0
  }

  /** Resolves when the message is durable. @throws DeviceQueueFullError */
  async enqueue(message: CloudToDeviceMessage): Promise<void> {
    const queue = this.#queueOf(message.deviceId)
    if (queue.length >= cloudToDeviceLimits.pendingMax)
      throw new DeviceQueueFullError(`'${message.deviceId}' has ${cloudToDeviceLimits.pendingMax} messages waiting`)
    const entry: Entry = { key: String(this.#next++), message, lock: undefined }
    queue.push(entry)
    await this.#store.set(entry.key, message)
  }

  /**
   * The oldest message that nobody holds, locked. `forever` is for a connection whose end gives it back; otherwise the
   * lock ends by itself after a minute.
   */
  take(deviceId: string, { forever = false } = {}): { readonly message: CloudToDeviceMessage; readonly token: string } | undefined {
    this.expire(deviceId)
    const nowMs = this.#options.nowMs()
    const entry = this.#queues.get(deviceId)?.find(({ lock }) => lock === undefined || lock.untilMs <= nowMs)
    if (!entry) return undefined
    entry.lock = { token: randomUUID(), untilMs: forever ? Infinity : nowMs + cloudToDeviceLimits.lockMs }
    entry.message = { ...entry.message, deliveryCount: entry.message.deliveryCount + 1 }
    // Only a count: should it be lost, the message is delivered once more.
    this.#store.set(entry.key, entry.message).catch(() => {})
    return { message: entry.message, token: entry.lock.token }
  }

  /** @returns false when the lock is not held (any more): 412002 DeviceMessageLockLost */
  async settle(deviceId: string, token: string, outcome: 'complete' | 'reject' | 'abandon'): Promise<boolean> {
    const nowMs = this.#options.nowMs()
    const entry = this.#queues.get(deviceId)?.find(({ lock }) => lock?.token === token && lock.untilMs > nowMs)
    if (!entry) return false
    entry.lock = undefined
    if (outcome === 'complete') await this.#end(entry, 'Success')
    else if (outcome === 'reject') await this.#end(entry, 'Rejected')
    else if (entry.message.deliveryCount >= cloudToDeviceLimits.deliveriesMax) await this.#end(entry, 'DeliveryCountExceeded')
    return true
  }

  /** Removes all messages of a device. @returns how many there were */
  async purge(deviceId: string): Promise<number> {
    const entries = [...(this.#queues.get(deviceId) ?? [])]
    await Promise.all(entries.map((entry) => this.#end(entry, 'Purged')))
    return entries.length
  }

  /** Removes what has outlived its time, of one device or of all. */
  expire(deviceId?: string): void {
    const nowMs = this.#options.nowMs()
    const queues = deviceId === undefined ? [...this.#queues.values()] : [this.#queues.get(deviceId) ?? []]
    for (const queue of queues)
      for (const entry of queue.filter(({ message, lock }) => message.expiresMs <= nowMs && lock === undefined))
        void this.#end(entry, 'Expired')
  }

  async #end(entry: Entry, status: FeedbackStatus): Promise<void> {
    const { deviceId, ack } = entry.message
    const rest = (this.#queues.get(deviceId) ?? []).filter((other) => other !== entry)
    if (rest.length > 0) this.#queues.set(deviceId, rest)
    else this.#queues.delete(deviceId)
    const isWanted = ack === 'full' || (status === 'Success' ? ack === 'positive' : ack === 'negative')
    if (isWanted) this.#options.onFeedback(entry.message, status)
    await this.#store.delete(entry.key)
  }

  #queueOf(deviceId: string): Entry[] {
    const known = this.#queues.get(deviceId)
    if (known) return known
    const queue: Entry[] = []
    this.#queues.set(deviceId, queue)
    return queue
  }

  close(): Promise<void> {
    return this.#store.close()
  }
}
