/** A partition's log in memory: what a fleet sent, and a reader of it as the hot path wants one. */
import type { LoggedMessage } from '../../cloud-functions/hot-path/fold.ts'
import type { LogReader } from '../../cloud-functions/hot-path/log-reader.ts'
import { createPlant, mixedMachines } from '../../device-sim/plant.ts'
import type { PlantOptions } from '../../device-sim/plant.ts'

export type LogOptions = Partial<PlantOptions> & {
  readonly seconds: number
  readonly stepS?: number
  readonly startMs?: number
}

/** Every machine sends all its signals as one stamped JSON message a step. */
export function plantLog({
  machines = mixedMachines(4),
  seed = 'log',
  seconds,
  stepS = 1,
  startMs = 1_700_000_000_000,
  ...options
}: LogOptions): LoggedMessage[] {
  const plant = createPlant({ machines, seed, ...options })
  const seqs = new Map<string, number>()
  const log: LoggedMessage[] = []
  for (let second = stepS; second <= seconds; second += stepS)
    for (const { deviceId, modelId, ...machine } of plant) {
      const { values } = machine.read(second)
      const count = Object.keys(values).length
      if (count === 0) continue
      const seq = seqs.get(deviceId) ?? 1
      seqs.set(deviceId, seq + count)
      const timeMs = startMs + second * 1000
      log.push({
        sequenceNumber: log.length,
        body: Buffer.from(JSON.stringify({ time: timeMs, ...values })),
        contentType: 'application/json',
        contentEncoding: undefined,
        deviceId,
        moduleId: undefined,
        properties: { bootId: 'b1', seq: String(seq), count: String(count), model: modelId },
        arrivedMs: timeMs + 40,
      })
    }
  return log
}

export function readerOf(log: readonly LoggedMessage[]): LogReader {
  return async ({ afterSequence, beforeSequence }, onMessages) => {
    for (let from = afterSequence + 1; from < beforeSequence; from += 100)
      await onMessages(log.slice(from, Math.min(from + 100, beforeSequence)))
  }
}

/** The log in batches of a size. */
export function batchesOf(log: readonly LoggedMessage[], size: number): LoggedMessage[][] {
  return Array.from({ length: Math.ceil(log.length / size) }, (_, index) => log.slice(index * size, (index + 1) * size))
}
