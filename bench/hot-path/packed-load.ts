/**
 * Devices that send packed batches of their own readings straight to the hub, each over a connection of its own, at a
 * fixed total rate: every five seconds, or when a batch is full. What the plant said for a while is played forth and back,
 * as its physics would cost more than all that is measured. Now and then the last reading of a batch is far out: its event
 * time is when it was sent.
 */
import mqtt from 'mqtt'
import { zlibCompression } from '../../cloud-functions/hot-path/compression.ts'
import { encodePackedBatch, packedBatchContentType } from '../../contract/telemetry/packed-batch.ts'
import { createPlant } from '../../device-sim/plant.ts'
import { randomOf } from '../../device-sim/random.ts'
import { argumentsOf, say } from '../process.ts'

export type PackedLoadArguments = {
  readonly port: number
  readonly ca: string
  readonly readingsPerS: number
  readonly seconds: number
  readonly clients: readonly { readonly clientId: string; readonly username: string; readonly password: string }[]
}

const { port, ca, readingsPerS, seconds, clients } = await argumentsOf<PackedLoadArguments>()
const random = randomOf('load')
const signalsPerMoment = 5
/** About what fits into a metering unit of 4 KB. */
const momentsPerBatchMax = 800
const momentsPerS = readingsPerS / clients.length / signalsPerMoment
const momentsPerBatch = Math.max(1, Math.min(momentsPerBatchMax, Math.round(5 * momentsPerS)))
const everyMs = (momentsPerBatch / momentsPerS) * 1000
const outlierChance = 0.02

const plant = createPlant({ machines: clients.map(({ clientId }) => ({ deviceId: clientId, kind: 'pump' as const })), seed: 'load' })
const recordedMoments = 4_000
const recordings = plant.map((machine) => {
  const moments = Array.from({ length: recordedMoments }, (_, moment) => Object.entries(machine.read((moment + 1) / momentsPerS).values))
  const signals = moments[0]!.map(([signal], index) => ({ signal, values: moments.map((values) => values[index]![1]) }))
  return { deviceId: machine.deviceId, modelId: machine.modelId, signals, moment: 0, seq: 1, healthyBatches: 0 }
})

const connections = await Promise.all(
  clients.map(({ clientId, username, password }) =>
    mqtt.connectAsync({
      protocol: 'mqtts',
      host: 'localhost',
      port,
      ca,
      clientId,
      username,
      password,
      protocolVersion: 4,
      clean: true,
      keepalive: 120,
    }),
  ),
)
say({ ready: true })

let [sent, acknowledged, outliers] = [0, 0, 0]

/** A device's readings since its last batch, the newest of them now. */
function batchOf(index: number): Uint8Array {
  const device = recordings[index]!
  const { deviceId, modelId, signals, moment, seq: fromSeq } = device
  const nowMs = Date.now()
  const isOutlier = ++device.healthyBatches > 3 && random.next() < outlierChance
  const offsets = Array.from({ length: momentsPerBatch }, (_, offset) => offset)
  const timesMs = offsets.map((offset) => Math.round(nowMs - ((momentsPerBatch - 1 - offset) * everyMs) / momentsPerBatch))
  const played = offsets.map((offset) => {
    const at = (moment + offset) % (2 * recordedMoments)
    return at < recordedMoments ? at : 2 * recordedMoments - 1 - at
  })
  const series = signals.map(({ signal, values }, column) => ({
    signal,
    timesMs,
    seqs: offsets.map((offset) => fromSeq + offset * signals.length + column),
    values: played.map((at) => values[at]!),
  }))
  if (isOutlier) {
    outliers++
    device.healthyBatches = -20
    const flow = series.find(({ signal }) => signal === 'flowM3PerH')!
    flow.values[momentsPerBatch - 1]! += 30
  }
  const count = momentsPerBatch * signals.length
  device.moment += momentsPerBatch
  device.seq += count
  sent += count
  const toSeq = fromSeq + count - 1
  const block = { deviceId, bootId: 'load', modelId, fromSeq, toSeq, receivedSeq: toSeq, series, filtered: 0, rejected: [] }
  return encodePackedBatch({ cutAtMs: nowMs, blocks: [block] }, zlibCompression)
}

const startedMs = performance.now()
let batches = 0
const waiting = new Set<Promise<unknown>>()
await new Promise<void>((resolve) => {
  const timer = setInterval(() => {
    const elapsedMs = performance.now() - startedMs
    const due = Math.floor((Math.min(elapsedMs, seconds * 1000) / everyMs) * clients.length)
    while (batches < due) {
      const index = batches++ % clients.length
      const topic = `devices/${clients[index]!.clientId}/messages/events/%24.ct=${encodeURIComponent(packedBatchContentType)}`
      const published = connections[index]!.publishAsync(topic, Buffer.from(batchOf(index)), { qos: 1 }).then(() => {
        acknowledged++
        waiting.delete(published)
      })
      waiting.add(published)
    }
    if (elapsedMs < seconds * 1000) return
    clearInterval(timer)
    resolve()
  }, 5)
})
await Promise.all(waiting)
say({ readings: sent, batches, acknowledged, outliers })
await Promise.all(connections.map((connection) => connection.endAsync(true)))
process.exit(0)
