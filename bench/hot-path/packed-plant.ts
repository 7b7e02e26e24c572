/** Packed batches of a simulated plant, as edge modules send them: so many machines, all signals once a second, a message filled. */
import { zlibCompression } from '../../cloud-functions/hot-path/compression.ts'
import { encodePackedBatch } from '../../contract/telemetry/packed-batch.ts'
import type { DeviceBlock } from '../../contract/telemetry/telemetry.ts'
import { createPlant, mixedMachines } from '../../device-sim/plant.ts'
import type { PlannedFault } from '../../device-sim/faults/fault.ts'

export type PackedMessage = { readonly body: Uint8Array; readonly readings: number; readonly newestMs: number }

/** Readings of one machine over so many seconds in a block, some machines a message. */
export function* packedPlant(options: {
  readonly machines: number
  readonly seconds: number
  readonly secondsPerBatch: number
  readonly machinesPerMessage: number
  readonly startMs: number
  readonly faults?: readonly PlannedFault[]
}): Generator<PackedMessage> {
  const { machines, seconds, secondsPerBatch, machinesPerMessage, startMs, faults = [] } = options
  const plant = createPlant({ machines: mixedMachines(machines), seed: 'packed', faults })
  const seqs = new Map<string, number>()
  for (let from = 0; from < seconds; from += secondsPerBatch) {
    const blocks = plant.map((machine): DeviceBlock => {
      const fromSeq = seqs.get(machine.deviceId) ?? 1
      let seq = fromSeq
      const columns = new Map<string, { timesMs: number[]; seqs: number[]; values: number[] }>()
      for (let second = from + 1; second <= from + secondsPerBatch; second++)
        for (const [signal, value] of Object.entries(machine.read(second).values)) {
          const series = columns.get(signal) ?? { timesMs: [], seqs: [], values: [] }
          columns.set(signal, series)
          series.timesMs.push(startMs + second * 1000)
          series.seqs.push(seq++)
          series.values.push(value)
        }
      seqs.set(machine.deviceId, seq)
      const series = [...columns].map(([signal, columnsOf]) => ({ signal, ...columnsOf }))
      return {
        deviceId: machine.deviceId,
        bootId: 'b',
        modelId: machine.modelId,
        fromSeq,
        toSeq: seq - 1,
        receivedSeq: seq - 1,
        series,
        filtered: 0,
        rejected: [],
      }
    })
    const newestMs = startMs + (from + secondsPerBatch) * 1000
    for (let at = 0; at < blocks.length; at += machinesPerMessage) {
      const part = blocks.slice(at, at + machinesPerMessage)
      const readings = part.reduce((sum, { fromSeq, toSeq }) => sum + toSeq - fromSeq + 1, 0)
      yield { body: encodePackedBatch({ cutAtMs: newestMs, blocks: part }, zlibCompression), readings, newestMs }
    }
  }
}
