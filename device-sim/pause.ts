import { setTimeout as delay } from 'node:timers/promises'

/** Waits, but not beyond the signal: stopping is not an error. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await delay(ms, undefined, { signal }).catch(() => {})
}
