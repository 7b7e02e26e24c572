/** Devices that give trouble, and why: told by diagnostics and reported health. */
export type Trouble = { readonly deviceId: string; readonly reason: string; count: number; lastMs: number }

const troublesMax = 100

export class Troubles {
  readonly #known = new Map<string, Trouble>()

  note(deviceId: string, reason: string, nowMs: number): void {
    const key = `${deviceId}\n${reason}`
    const known = this.#known.get(key)
    if (known) {
      known.count++
      known.lastMs = nowMs
      return
    }
    const oldest = this.#known.keys().next().value
    if (this.#known.size >= troublesMax && oldest !== undefined) this.#known.delete(oldest)
    this.#known.set(key, { deviceId, reason, count: 1, lastMs: nowMs })
  }

  since(fromMs: number): Trouble[] {
    return [...this.#known.values()].filter(({ lastMs }) => lastMs >= fromMs)
  }
}
