/** How the module is, as a reported property: when it changes for better or worse at once, otherwise now and then. */
import type { Diagnostics } from './edge-module.ts'

export type HealthOptions = {
  readonly diagnostics: () => Diagnostics
  readonly report: (properties: { health: Record<string, unknown> }) => void
  readonly nowMs: () => number
}

const everyMs = 60_000
/** Troubles that come and go are told once in this time. */
const notOftenerThanMs = 5_000
/** A twin has 32 KB; a few names tell enough. */
const troublesMax = 10

export class HealthReporter {
  readonly #options: HealthOptions
  readonly #troubles = new Map<string, string>()
  readonly #timer: NodeJS.Timeout
  #soon: NodeJS.Timeout | undefined

  constructor(options: HealthOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.#tell(), everyMs)
    this.#timer.unref()
    this.#tell()
  }

  trouble(reason: string, error: Error | undefined): void {
    if (error) this.#troubles.set(reason, error.message)
    else this.#troubles.delete(reason)
    this.#soon ??= setTimeout(() => this.#tell(), notOftenerThanMs)
  }

  #tell(): void {
    clearTimeout(this.#soon)
    this.#soon = undefined
    const { diagnostics, report, nowMs } = this.#options
    const { devices, readingsTaken, journal, troubles, uptimeS } = diagnostics()
    const worst = troubles.sort((a, b) => b.count - a.count).slice(0, troublesMax)
    report({
      health: {
        status: this.#troubles.size > 0 ? 'failing' : worst.length > 0 ? 'degraded' : 'ok',
        at: new Date(nowMs()).toISOString(),
        uptimeS,
        devices,
        readingsTaken,
        journalBytes: journal.bytes,
        unfoldedBytes: journal.unfoldedBytes,
        reasons: [...this.#troubles].map(([reason, detail]) => `${reason}: ${detail}`),
        // An array is replaced whole: devices that are fine again leave no trace in the twin.
        devicesInTrouble: worst.map(({ deviceId, reason, count }) => ({ deviceId, reason, count })),
      },
    })
  }

  stop(): void {
    clearInterval(this.#timer)
    clearTimeout(this.#soon)
  }
}
