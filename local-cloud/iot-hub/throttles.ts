/**
 * The throttles and quotas of a tier (iot-hub-devguide-quotas-throttling.md). An operation over its rate waits in a queue
 * first, as the service shapes traffic; when the queue is full it is refused (429).
 */
export const tiers = {
  F1: { messagesPerDay: 8_000, meterBytes: 512, sendsPerSecond: 100, sendsPerSecondAndUnit: 12, connectsPerSecond: 100 },
  S1: { messagesPerDay: 400_000, meterBytes: 4096, sendsPerSecond: 100, sendsPerSecondAndUnit: 12, connectsPerSecond: 100 },
  S2: { messagesPerDay: 6_000_000, meterBytes: 4096, sendsPerSecond: 120, sendsPerSecondAndUnit: 120, connectsPerSecond: 120 },
  S3: { messagesPerDay: 300_000_000, meterBytes: 4096, sendsPerSecond: 6_000, sendsPerSecondAndUnit: 6_000, connectsPerSecond: 6_000 },
} as const
export type Tier = keyof typeof tiers

export type ThrottledOperation = 'send' | 'connect' | 'twin-read' | 'twin-update' | 'registry' | 'query' | 'method'

export type Throttling = { readonly tier: Tier; readonly units: number }

/** What to do with an operation: at once, after a wait, or not at all. */
export type Permit =
  | { readonly kind: 'go' }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'refuse'; readonly code: string }

/** Seconds of work that may wait before the service refuses. */
const queueSeconds = 5

export class Throttles {
  readonly #settings: Throttling | undefined
  readonly #nowMs: () => number
  /** For each operation, the time at which its next one is due. */
  readonly #dueMs = new Map<ThrottledOperation, number>()
  #day = -1
  #messagesToday = 0

  /** @param settings undefined throttles nothing */
  constructor(settings: Throttling | undefined, nowMs: () => number) {
    this.#settings = settings
    this.#nowMs = nowMs
  }

  get areOn(): boolean {
    return this.#settings !== undefined
  }

  /** @param bytes of a message, for the daily quota */
  permit(operation: ThrottledOperation, bytes = 0): Permit {
    const settings = this.#settings
    if (!settings) return { kind: 'go' }
    const nowMs = this.#nowMs()
    if (operation === 'send' && !this.#countMessage(settings, bytes, nowMs)) return { kind: 'refuse', code: '403002 IotHubQuotaExceeded' }
    const intervalMs = 1000 / ratePerSecond(operation, settings)
    // A second's worth may come at once.
    const dueMs = Math.max(this.#dueMs.get(operation) ?? 0, nowMs - 1000) + intervalMs
    if (dueMs - nowMs > queueSeconds * 1000)
      return { kind: 'refuse', code: operation === 'send' ? '429002 ThrottleBacklogLimitExceeded' : '429001 ThrottlingException' }
    this.#dueMs.set(operation, dueMs)
    return dueMs <= nowMs ? { kind: 'go' } : { kind: 'wait', ms: dueMs - nowMs }
  }

  #countMessage({ tier, units }: Throttling, bytes: number, nowMs: number): boolean {
    const day = Math.floor(nowMs / 86_400_000)
    if (day !== this.#day) [this.#day, this.#messagesToday] = [day, 0]
    const { messagesPerDay, meterBytes } = tiers[tier]
    const metered = Math.max(1, Math.ceil(bytes / meterBytes))
    if (this.#messagesToday + metered > messagesPerDay * units) return false
    this.#messagesToday += metered
    return true
  }
}

function ratePerSecond(operation: ThrottledOperation, { tier, units }: Throttling): number {
  const rates = tiers[tier]
  const isLarge = tier === 'S3'
  switch (operation) {
    case 'send':
      return Math.max(rates.sendsPerSecond, rates.sendsPerSecondAndUnit * units)
    case 'connect':
      return Math.max(rates.connectsPerSecond, rates.sendsPerSecondAndUnit * units)
    case 'twin-read':
      return isLarge ? 500 * units : tier === 'S2' ? Math.max(100, 10 * units) : 100
    case 'twin-update':
      return isLarge ? 250 * units : tier === 'S2' ? Math.max(50, 5 * units) : 50
    case 'registry':
      return ((isLarge ? 5_000 : 100) * units) / 60
    case 'query':
      return ((isLarge ? 1_000 : 20) * units) / 60
    case 'method':
      // 160 KB a second in 4 KB meters, 480 KB on S2, 24 MB on S3.
      return (isLarge ? 6_000 : tier === 'S2' ? 120 : 40) * units
  }
}
