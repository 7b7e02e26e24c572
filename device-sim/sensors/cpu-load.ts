import type { CpuInfo } from 'node:os'

/** How busy the processors were, from what they have counted. */
export class CpuLoad {
  #last: { readonly busyMs: number; readonly allMs: number } | undefined

  /** Percent of all cores since the last call, undefined at the first. */
  since(cpus: readonly Pick<CpuInfo, 'times'>[]): number | undefined {
    const last = this.#last
    const idleMs = cpus.reduce((sum, { times }) => sum + times.idle, 0)
    const allMs = cpus.reduce((sum, { times: { user, nice, sys, irq, idle } }) => sum + user + nice + sys + irq + idle, 0)
    this.#last = { busyMs: allMs - idleMs, allMs }
    // A core that was switched off takes its count along.
    if (!last || allMs <= last.allMs || allMs - idleMs < last.busyMs) return undefined
    return Math.min(100, (100 * (allMs - idleMs - last.busyMs)) / (allMs - last.allMs))
  }
}
