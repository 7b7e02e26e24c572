/**
 * The whole pipeline on one virtual clock: the cores of devices, edge modules, hub, hot path and alerting, joined by
 * arrays. Half of the machines stand behind gateways, whose modules filter and pack; the others send to the hub.
 */
import { createHash } from 'node:crypto'
import { foldAlert } from '../../cloud-functions/alerting/alert-life.ts'
import { zlibCompression } from '../../cloud-functions/hot-path/compression.ts'
import { ledgerOf } from '../../cloud-functions/hot-path/device-account.ts'
import { foldMessage, newPartitionState, noEffects } from '../../cloud-functions/hot-path/fold.ts'
import type { LoggedMessage } from '../../cloud-functions/hot-path/fold.ts'
import type { Alert, AlertEvent } from '../../contract/alert.ts'
import { edgeAlertsContentType, encodeEdgeAlerts } from '../../contract/edge-alerts.ts'
import { addLedgers } from '../../contract/ledger.ts'
import type { LedgerCounts } from '../../contract/ledger.ts'
import type { TelemetryMessage } from '../../contract/telemetry/decode.ts'
import { packedBatchContentType } from '../../contract/telemetry/packed-batch.ts'
import type { PlannedFault } from '../../device-sim/faults/fault.ts'
import { createPlant } from '../../device-sim/plant.ts'
import type { PlannedMachine } from '../../device-sim/plant.ts'
import { applyDesired, defaultConfiguration } from '../../edge-module/configuration.ts'
import { newEdgeState } from '../../edge-module/edge-devices.ts'
import { EdgeCore } from '../../edge-module/edge-core.ts'
import { MessageFiller } from '../../edge-module/fill-messages.ts'

export type PlantDayOptions = {
  readonly machines: readonly PlannedMachine[]
  readonly seed: string
  readonly hours: number
  readonly stepS: number
  readonly faults?: readonly PlannedFault[]
  /** Machines behind gateways; the others send by themselves. */
  readonly gateways?: number
  readonly startMs?: number
}

export type PlantDay = {
  readonly messages: number
  readonly readings: number
  /** In the order in which they were found out. */
  readonly events: readonly AlertEvent[]
  readonly alerts: readonly Alert[]
  readonly ledger: LedgerCounts
  /** Of the events, to the byte. */
  readonly hash: string
}

const partitions = 4
/** On the way to the hub. */
const latencyMs = 35

export function simulatePlantDay(options: PlantDayOptions): PlantDay {
  const { machines, seed, hours, stepS, faults = [], gateways = 2, startMs = 1_700_000_000_000 } = options
  const plant = createPlant({ machines, seed, faults })
  const hub = new Hub()
  const edges = Array.from({ length: gateways }, (_, index) => new Gateway(`gateway-${index}`, hub))
  const edgeOf = new Map(machines.map(({ deviceId }, index) => [deviceId, edges[index % (2 * gateways)]]))
  const seqs = new Map<string, number>()
  let readings = 0
  for (let second = stepS; second <= hours * 3600; second += stepS) {
    const nowMs = startMs + second * 1000
    for (const machine of plant) {
      const { deviceId, modelId } = machine
      const { values } = machine.read(second)
      const count = Object.keys(values).length
      if (count === 0) continue
      readings += count
      const seq = seqs.get(deviceId) ?? 1
      seqs.set(deviceId, seq + count)
      const message: TelemetryMessage = {
        body: Buffer.from(JSON.stringify({ time: nowMs, ...values })),
        contentType: 'application/json',
        contentEncoding: undefined,
        deviceId,
        moduleId: undefined,
        properties: { bootId: 'b1', seq: String(seq), count: String(count), model: modelId },
        arrivedMs: nowMs + latencyMs,
      }
      const edge = edgeOf.get(deviceId)
      if (edge) edge.take(message)
      else hub.take(message)
    }
    for (const edge of edges) edge.cut(nowMs)
  }
  return hub.close(readings)
}

/** Puts messages into the log of their device's partition and folds them as they come. */
class Hub {
  readonly #partitions = Array.from({ length: partitions }, newPartitionState)
  readonly #events: AlertEvent[] = []
  #messages = 0

  take(message: TelemetryMessage): void {
    this.#messages++
    const name = message.deviceId ?? ''
    const partition = this.#partitions[Buffer.from(name).reduce((sum, byte) => sum + byte, 0) % partitions]!
    const logged: LoggedMessage = { ...message, sequenceNumber: partition.appliedSequence + 1 }
    const effects = noEffects()
    foldMessage(partition, logged, zlibCompression, effects)
    for (const { event } of effects.alertEvents) this.#events.push(event)
  }

  close(readings: number): PlantDay {
    const events = this.#events
    const histories = new Map<string, AlertEvent[]>()
    for (const event of events) histories.set(event.alertId, [...(histories.get(event.alertId) ?? []), event])
    const accounts = this.#partitions.flatMap(({ devices }) => [...devices.values()].map(({ account }) => ledgerOf(account)))
    return {
      messages: this.#messages,
      readings,
      events,
      alerts: [...histories.values()].flatMap((history) => foldAlert(history) ?? []),
      ledger: addLedgers(accounts),
      hash: createHash('sha256').update(JSON.stringify(events)).digest('hex'),
    }
  }
}

/** An edge module without its disk: what it sends goes to the hub at once. */
class Gateway {
  readonly #core = new EdgeCore(newEdgeState('edge'), zlibCompression)
  readonly #filler = new MessageFiller(zlibCompression)
  readonly #hub: Hub
  readonly #deviceId: string

  constructor(deviceId: string, hub: Hub) {
    this.#deviceId = deviceId
    this.#hub = hub
    this.#core.configure(applyDesired(defaultConfiguration, { maxIntervalMs: 600_000 }).configuration)
  }

  take(message: TelemetryMessage): void {
    const { alerts } = this.#core.add(message)
    if (alerts.length > 0) this.#send(encodeEdgeAlerts(alerts), edgeAlertsContentType, message.arrivedMs)
  }

  cut(nowMs: number): void {
    const { roughBytes, isEmpty } = this.#core.batch
    if (isEmpty) return
    for (const body of this.#filler.encode(this.#core.cut(nowMs), roughBytes)) this.#send(body, packedBatchContentType, nowMs)
  }

  #send(body: Uint8Array, contentType: string, nowMs: number): void {
    const arrivedMs = nowMs + latencyMs
    this.#hub.take({
      body,
      contentType,
      contentEncoding: undefined,
      deviceId: this.#deviceId,
      moduleId: 'edge-module',
      properties: {},
      arrivedMs,
    })
  }
}
