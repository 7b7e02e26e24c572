/** Runs the comparison's load against a pipeline and reads the CPU of its processes, the load generator's excluded. Linux. */
import { setTimeout as delay } from 'node:timers/promises'
import { cpuSeconds, Helper, residentBytes } from '../process.ts'
import type { LoadAlerts, LoadArguments, LoadResult } from './load.ts'

export const devices = 200
export const deviceIdOf = (index: number) => `dev-${String(index).padStart(5, '0')}`
const warmUpS = 30
const measuredS = 15
const drainSMax = 120

export type Pipeline = {
  readonly load: Pick<LoadArguments, 'port' | 'ca' | 'alerts' | 'clients'>
  /** Processes to be counted. */
  readonly pids: () => readonly number[]
  /** Whether all of these readings have come out at the other end. Without it: when its CPU stops growing. */
  readonly isDone?: (result: LoadResult) => boolean | Promise<boolean>
}

export type Run = {
  readonly usPerReading: number
  /** Of each process. */
  readonly parts: readonly number[]
  readonly residentMb: number
  /** From the end of the load to everything being done. */
  readonly drainMs: number
  /** Of the alerts that came by MQTT, ascending. */
  readonly latenciesMs: readonly number[]
}

/** CPU from the end of the warm-up until all is drained. @throws when something was not acknowledged, or not done within two minutes */
export async function runComparison(
  pipeline: Pipeline,
  { perS, readingsPerMessage = 1 }: { perS: number; readingsPerMessage?: number },
): Promise<Run> {
  const { load, pids, isDone } = pipeline
  const helper = new Helper('./comparison/load.ts', {
    ...load,
    perS,
    readingsPerMessage,
    seconds: warmUpS + measuredS,
  } satisfies LoadArguments)
  try {
    await helper.next()
    await delay(warmUpS * 1000)
    const each = () => pids().map((pid) => cpuSeconds(pid))
    const before = each()
    const result = await helper.next<LoadResult>()
    const endedMs = performance.now() - result.drainMs
    if (result.acknowledged < result.sent) throw new Error(`${result.acknowledged} of ${result.sent} messages were acknowledged`)
    const deadlineMs = performance.now() + drainSMax * 1000
    const cpu = await whenDone(each, isDone && (() => isDone(result)), () => {
      if (performance.now() > deadlineMs) throw new Error(`not done ${drainSMax} s after the load of ${JSON.stringify(result)}`)
    })
    const drainMs = isDone ? performance.now() - endedMs : result.drainMs
    helper.tell('alerts')
    const { latenciesMs } = await helper.next<LoadAlerts>()
    const parts = cpu.map((seconds, index) => ((seconds - (before[index] ?? 0)) * 1e6) / (perS * measuredS))
    const residentMb = pids().reduce((sum, pid) => sum + residentBytes(pid), 0) / 1e6
    return { usPerReading: parts.reduce((sum, part) => sum + part, 0), parts, residentMb, drainMs, latenciesMs }
  } finally {
    await helper.stop()
  }
}

/** CPU seconds of each process when what is queued is done, too; without a sign of that when they have stopped growing. */
async function whenDone(
  each: () => number[],
  isDone: (() => boolean | Promise<boolean>) | undefined,
  inTime: () => void,
): Promise<number[]> {
  if (isDone) {
    for (; !(await isDone()); await delay(100)) inTime()
    return each()
  }
  const total = (cpu: readonly number[]) => cpu.reduce((sum, seconds) => sum + seconds, 0)
  let last = each()
  for (let quiet = 0; quiet < 2; ) {
    inTime()
    await delay(1_000)
    const now = each()
    quiet = total(now) - total(last) < 0.05 ? quiet + 1 : 0
    last = now
  }
  return last
}
