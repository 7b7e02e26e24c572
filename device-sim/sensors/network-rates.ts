/** Traffic from what the interfaces have counted: bytes since each came up, by its name. */
export type NetworkCounters = ReadonlyMap<string, { readonly received: number; readonly sent: number }>

export class NetworkRates {
  #last: { readonly counters: NetworkCounters; readonly readMs: number } | undefined

  /** kB/s since the last call, of the interfaces that counted on; undefined where there is nothing to compare with. */
  since(counters: NetworkCounters, nowMs: number): { receivedKbPerS: number; sentKbPerS: number } | undefined {
    const last = this.#last
    this.#last = { counters, readMs: nowMs }
    if (!last || nowMs <= last.readMs) return undefined
    let [received, sent, known] = [0, 0, 0]
    for (const [name, now] of counters) {
      const before = last.counters.get(name)
      // One that was replugged counts from zero again.
      if (!before || now.received < before.received || now.sent < before.sent) continue
      received += now.received - before.received
      sent += now.sent - before.sent
      known++
    }
    const ms = nowMs - last.readMs
    return known === 0 ? undefined : { receivedKbPerS: received / ms, sentKbPerS: sent / ms }
  }
}
