/** Ratios within one run: CPU time, rounds in turn, medians. Absolute figures hold for the machine they were taken on. */
import { cpus } from 'node:os'

const rounds = 7
const roundMs = 150

export type Candidate = {
  readonly name: string
  /** Does the work once. */ readonly run: () => void
  /** Readings of one run. */ readonly readings: number
}

/** Of ascending values. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!
}

/** CPU nanoseconds a reading of each candidate, the median of interleaved rounds. */
export function compare(candidates: readonly Candidate[]): Map<string, number> {
  const samples = new Map(candidates.map(({ name }) => [name, [] as number[]]))
  for (const { run } of candidates) run()
  for (let round = 0; round < rounds; round++) {
    for (const { name, run, readings } of candidates) {
      const startedMs = performance.now()
      const startedCpu = process.cpuUsage()
      let runs = 0
      while (performance.now() - startedMs < roundMs) {
        run()
        runs++
      }
      const { user, system } = process.cpuUsage(startedCpu)
      samples.get(name)!.push(((user + system) * 1000) / (runs * readings))
    }
  }
  return new Map([...samples].map(([name, values]) => [name, median(values)]))
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!
}

export function printHeader(title: string): void {
  process.stdout.write(
    `\n${title}\n${new Date().toISOString().slice(0, 10)}, Node ${process.versions.node}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}\n`,
  )
}

export function printRow(name: string, figure: string): void {
  process.stdout.write(`  ${name.padEnd(46)} ${figure}\n`)
}
