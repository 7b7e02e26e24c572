/**
 * What the edge saves and what it costs in alerts: a plant with faults by chance, judged once without an edge, reading by
 * reading, and once through filter, packed batches and the cloud's own fold. Counts are exact. The bill follows from them.
 */
import { zlibCompression } from '../../cloud-functions/hot-path/compression.ts'
import { foldMessage, newPartitionState, noEffects } from '../../cloud-functions/hot-path/fold.ts'
import type { DetectedEvent } from '../../contract/alert.ts'
import { deviceModel } from '../../contract/device-model.ts'
import { edgeAlertsContentType, encodeEdgeAlerts } from '../../contract/edge-alerts.ts'
import type { TelemetryMessage } from '../../contract/telemetry/decode.ts'
import { packedBatchContentType } from '../../contract/telemetry/packed-batch.ts'
import { watchReading } from '../../detection/device-watch.ts'
import { newDeviceWatch } from '../../detection/watch-state.ts'
import { randomFaults } from '../../device-sim/faults/fault.ts'
import type { PlannedFault } from '../../device-sim/faults/fault.ts'
import { createPlant, mixedMachines } from '../../device-sim/plant.ts'
import { applyDesired, defaultConfiguration } from '../../edge-module/configuration.ts'
import { newEdgeState } from '../../edge-module/edge-devices.ts'
import { EdgeCore } from '../../edge-module/edge-core.ts'
import { MessageFiller, meteringUnitBytes } from '../../edge-module/fill-messages.ts'
import { printRow } from '../measure.ts'

const machines = mixedMachines(Number(process.env.MACHINES ?? 96))
const hours = Number(process.env.HOURS ?? 2)
const seed = 'filtering'
const startMs = 1_700_000_000_000
const faultsPerDay = 12

type Sent = { messages: number; bytes: number; units: number; readings: number; alerts: number }
type Run = { readonly sent: Sent; /** When each device raised an alert. */ readonly raised: Map<string, number[]>; readonly dead: number }

const plantOf = (faults: readonly PlannedFault[]) => createPlant({ machines, seed, faults })

/** Every reading judged as it is: what a filter must not hide. */
function judgedWithoutEdge(faults: readonly PlannedFault[]): Map<string, number[]> {
  const raised = new Map<string, number[]>()
  for (const machine of plantOf(faults)) {
    const watch = newDeviceWatch(machine.deviceId)
    const model = deviceModel(machine.modelId)
    let seq = 0
    for (let second = 1; second <= hours * 3600; second++)
      for (const [signal, value] of Object.entries(machine.read(second).values))
        note(
          raised,
          machine.deviceId,
          watchReading(watch, { signal, bootId: 'b', seq: ++seq, timeMs: second * 1000, value }, model, second * 1000),
          second,
        )
  }
  return raised
}

function note(raised: Map<string, number[]>, deviceId: string, events: readonly DetectedEvent[], second: number): void {
  for (const event of events) if (event.kind === 'raised') raised.set(deviceId, [...(raised.get(deviceId) ?? []), second])
}

function throughEdge(faults: readonly PlannedFault[], desired: Record<string, unknown>, batchS: number): Run {
  const core = new EdgeCore(newEdgeState('edge'), zlibCompression)
  core.configure(applyDesired(defaultConfiguration, desired).configuration)
  const filler = new MessageFiller(zlibCompression)
  const partition = newPartitionState()
  const effects = noEffects()
  const sent: Sent = { messages: 0, bytes: 0, units: 0, readings: 0, alerts: 0 }
  const raised = new Map<string, number[]>()
  let dead = 0
  let second = 0
  const deliver = (body: Uint8Array, contentType: string) => {
    sent.messages++
    sent.bytes += body.length
    sent.units += Math.ceil(body.length / meteringUnitBytes)
    foldMessage(
      partition,
      {
        body,
        contentType,
        contentEncoding: undefined,
        deviceId: 'gw',
        moduleId: 'edge-module',
        properties: {},
        arrivedMs: startMs + second * 1000,
        sequenceNumber: sent.messages,
      },
      zlibCompression,
      effects,
    )
    for (const { event } of effects.alertEvents.splice(0)) if (event.kind === 'raised') note(raised, event.deviceId, [event], second)
    dead += effects.deadLetters.splice(0).length
    effects.closedSegments.splice(0)
  }
  const cut = () => {
    const { roughBytes, isEmpty } = core.batch
    if (!isEmpty) for (const body of filler.encode(core.cut(startMs + second * 1000), roughBytes)) deliver(body, packedBatchContentType)
  }
  const plant = plantOf(faults)
  const seqs = new Map<string, number>()
  for (second = 1; second <= hours * 3600; second++) {
    for (const machine of plant) {
      const { deviceId, modelId } = machine
      const { values } = machine.read(second)
      const count = Object.keys(values).length
      if (count === 0) continue
      const seq = seqs.get(deviceId) ?? 1
      seqs.set(deviceId, seq + count)
      sent.readings += count
      const { alerts } = core.add(messageOf(deviceId, modelId, seq, count, startMs + second * 1000, values))
      sent.alerts += alerts.length
      if (alerts.length > 0) deliver(encodeEdgeAlerts(alerts), edgeAlertsContentType)
      if (filler.isFull(core.batch.roughBytes)) cut()
    }
    if (second % batchS === 0) cut()
  }
  cut()
  return { sent, raised, dead }
}

function messageOf(
  deviceId: string,
  modelId: string,
  seq: number,
  count: number,
  timeMs: number,
  values: Record<string, number>,
): TelemetryMessage {
  return {
    body: Buffer.from(JSON.stringify({ time: new Date(timeMs).toISOString(), ...values })),
    contentType: 'application/json',
    contentEncoding: undefined,
    deviceId,
    moduleId: undefined,
    properties: { bootId: 'b', seq: String(seq), count: String(count), model: modelId },
    arrivedMs: timeMs,
  }
}

/** Faults that raised an alert of their machine between onset and a minute after their end. */
function found(faults: readonly PlannedFault[], raised: ReadonlyMap<string, readonly number[]>): Set<PlannedFault> {
  return new Set(
    faults.filter(({ deviceId, onsetS, endS }) => raised.get(deviceId)?.some((second) => second >= onsetS && second <= endS + 60)),
  )
}

/** Dollars a month; prices and their sources as in docs/EDGE.md. */
function bill({
  messagesPerDay,
  unitsPerDay,
  invocationsPerDay,
  transactionsPerDay,
}: Record<'messagesPerDay' | 'unitsPerDay' | 'invocationsPerDay' | 'transactionsPerDay', number>): number {
  const s1 = Math.ceil(unitsPerDay / 400_000) * 25
  const s3 = Math.ceil(unitsPerDay / 300_000_000) * 2_500
  const functions = 30 * invocationsPerDay * (0.2e-6 + 0.1 * 0.125 * 0.000016)
  const tables = (30 * transactionsPerDay * 0.00036) / 10_000
  return (messagesPerDay > 0 ? Math.min(s1, s3) : 0) + functions + tables
}

export function measureFiltering(): void {
  const faults = randomFaults(plantOf([]), { perDay: faultsPerDay, untilS: hours * 3600, seed })
  const reference = judgedWithoutEdge(faults)
  const plain = throughEdge(faults, { deadbandFactor: 0, maxIntervalMs: 0 }, 1)
  const filtered = throughEdge(faults, {}, 1)
  const frugal = throughEdge(faults, { maxIntervalMs: 60_000 }, 30)
  const withoutEdge = found(faults, reference)
  printRow('plant', `${machines.length} machines, ${hours} h at 1 Hz, ${plain.sent.readings} readings, ${faults.length} labelled faults`)
  printRow('faults found without an edge', `${withoutEdge.size}`)
  for (const [name, run] of [
    ['nothing filtered', plain],
    ['filtered, a batch a second', filtered],
    ['filtered, a batch in thirty seconds', frugal],
  ] as const) {
    const here = found(faults, run.raised)
    const missed = [...withoutEdge].filter((fault) => !here.has(fault)).length
    const { sent } = run
    printRow(
      name,
      `${(sent.bytes / sent.readings).toFixed(2)} bytes a reading, ${(100 * (1 - sent.bytes / plain.sent.bytes)).toFixed(0)} % fewer, ${sent.messages} messages, ${sent.units} units, ${here.size} faults found, ${missed} of those found without an edge missed, ${run.dead} dead letters`,
    )
  }
  const day = 86_400 / (hours * 3600)
  const scale = (1_000 / machines.length) * day
  const naive = 1_000 * 86_400
  const one = bill({ messagesPerDay: naive, unitsPerDay: naive, invocationsPerDay: naive, transactionsPerDay: naive })
  for (const [name, { sent }] of [
    ['filtered, a batch a second', filtered],
    ['filtered, a batch in thirty seconds', frugal],
  ] as const) {
    const ours = bill({
      messagesPerDay: sent.messages * scale,
      unitsPerDay: sent.units * scale,
      // A trigger takes what has come; a batch a second and partition at most.
      invocationsPerDay: Math.min(sent.messages * scale, 86_400 * 4),
      transactionsPerDay: Math.min(sent.messages * scale, 86_400 * 4) * 3,
    })
    printRow(
      `Azure, 1,000 devices at 1 Hz, ${name}`,
      `$${ours.toFixed(0)} a month, 1/${(one / ours).toFixed(0)} of one message a sample ($${one.toFixed(0)})`,
    )
  }
}
