/**
 * Devices that send packed batches of their own readings straight to the hub, each over a connection of its own, at a
 * fixed total rate. Now and then the last reading of a batch is far out: its event time is when it was sent.
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
  /** Each device sends as often. */
  readonly everyMs: number
  readonly clients: readonly { readonly clientId: string; readonly username: string; readonly password: string }[]
}

const { port, ca, readingsPerS, seconds, everyMs, clients } = await argumentsOf<PackedLoadArguments>()
const plant = createPlant({ machines: clients.map(({ clientId }) => ({ deviceId: clientId, kind: 'pump' as const })), seed: 'load' })
const random = randomOf('load')
const signalsPerMoment = 5
const momentsPerBatch = Math.max(1, Math.round((readingsPerS * everyMs) / 1000 / clients.length / signalsPerMoment))
const outlierChance = 0.02

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
const state = plant.map(() => ({ seq: 1, elapsedS: 0, healthyBatches: 0 }))

/** A device's readings since its last batch, the newest of them now. */
function batchOf(index: number): Uint8Array {
  const device = plant[index]!
  const own = state[index]!
  const columns = new Map<string, { timesMs: number[]; seqs: number[]; values: number[] }>()
  const fromSeq = own.seq
  const nowMs = Date.now()
  const isOutlier = ++own.healthyBatches > 3 && random.next() < outlierChance
  for (let moment = 0; moment < momentsPerBatch; moment++) {
    own.elapsedS += everyMs / 1000 / momentsPerBatch
    const timeMs = Math.round(nowMs - ((momentsPerBatch - 1 - moment) * everyMs) / momentsPerBatch)
    for (const [signal, value] of Object.entries(device.read(own.elapsedS).values)) {
      const series = columns.get(signal) ?? { timesMs: [], seqs: [], values: [] }
      columns.set(signal, series)
      series.timesMs.push(timeMs)
      series.seqs.push(own.seq++)
      const isLast = moment === momentsPerBatch - 1 && signal === 'flowM3PerH'
      series.values.push(isOutlier && isLast ? value + 30 : value)
    }
  }
  if (isOutlier) {
    outliers++
    own.healthyBatches = -20
  }
  const series = [...columns].map(([signal, column]) => ({ signal, ...column }))
  sent += own.seq - fromSeq
  const block = {
    deviceId: device.deviceId,
    bootId: 'load',
    modelId: device.modelId,
    fromSeq,
    toSeq: own.seq - 1,
    receivedSeq: own.seq - 1,
    series,
    filtered: 0,
    rejected: [],
  }
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
