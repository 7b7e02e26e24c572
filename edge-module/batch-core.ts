/**
 * The module's core: folds messages into a growing batch, filter by filter, and says what to send when it is cut.
 * Pure and deterministic: the same messages in the same order give the same batch, which is what lets a crashed module
 * go on from its journal without losing or counting anything twice.
 */
import { z } from 'zod'
import { deviceModel } from '../contract/device-model.ts'
import { decodeTelemetry, stampedRange } from '../contract/telemetry/decode.ts'
import type { TelemetryMessage } from '../contract/telemetry/decode.ts'
import { MalformedTelemetryError } from '../contract/telemetry/malformed.ts'
import type { PackedBatch } from '../contract/telemetry/packed-batch.ts'
import type { Compression, DeviceBlock, FilteredSummary, RejectedRange, Series } from '../contract/telemetry/telemetry.ts'
import { applyDeadband, newDeadband } from './deadband.ts'
import type { DeadbandState } from './deadband.ts'

export const FilterSettings = z.object({
  /** Multiplies the deadbands of the device models; 0 passes everything. */
  deadbandFactor: z.number().min(0).max(1000).default(1),
  maxIntervalMs: z.number().min(1000).max(86_400_000).default(15_000),
})
export type FilterSettings = z.infer<typeof FilterSettings>

/** What outlives a batch, as plain data: it is kept beside the journal. */
const SignalMemory = z.object({ lastPassed: z.object({ timeMs: z.number(), value: z.number() }).optional() })
const DeviceMemory = z.object({
  bootId: z.string(),
  modelId: z.string(),
  /** Highest seq taken of this boot; also numbers the readings of devices that stamp nothing. */
  appliedSeq: z.number(),
  signals: z.record(z.string(), SignalMemory),
})
export const CoreMemory = z.object({ devices: z.record(z.string(), DeviceMemory) })
export type CoreMemory = z.infer<typeof CoreMemory>
type DeviceMemory = z.infer<typeof DeviceMemory>

type OpenBlock = {
  bootId: string
  modelId: string
  fromSeq: number
  toSeq: number
  series: Map<string, OpenSeries>
  rejected: RejectedRange[]
}
type OpenSeries = { timesMs: number[]; seqs: number[]; values: number[]; filtered: FilteredSummary | undefined }

/** A message that could not be decoded, to be passed on for inspection. */
export type RejectedMessage = {
  readonly deviceId: string
  readonly reason: string
  readonly detail: string
  readonly body: Uint8Array
  readonly contentType: string | undefined
}

export class BatchCore {
  readonly #memory: CoreMemory
  readonly #compression: Compression
  /** Under this boot id the edge numbers readings of devices that stamp nothing. */
  readonly #unstampedBoot: string
  #blocks: { deviceId: string; block: OpenBlock }[] = []
  #current = new Map<string, OpenBlock>()
  readingsTaken = 0

  constructor(memory: CoreMemory, { compression, unstampedBoot }: { compression: Compression; unstampedBoot: string }) {
    this.#memory = memory
    this.#compression = compression
    this.#unstampedBoot = unstampedBoot
  }

  /** @returns the message itself when it is to be set aside */
  add(message: TelemetryMessage, settings: FilterSettings): RejectedMessage | undefined {
    const deviceId = message.deviceId ?? ''
    try {
      for (const block of decodeTelemetry(message, this.#compression)) this.#addBlock(block, settings)
      return undefined
    } catch (error) {
      if (!(error instanceof MalformedTelemetryError)) throw error
      this.#reject(deviceId, message, error.reason)
      return { deviceId, reason: error.reason, detail: error.message, body: message.body, contentType: message.contentType }
    }
  }

  #addBlock(decoded: DeviceBlock, settings: FilterSettings): void {
    const bootId = decoded.bootId === '' ? this.#unstampedBoot : decoded.bootId
    const device = this.#deviceOf(decoded.deviceId, bootId)
    if (decoded.modelId !== '') device.modelId = decoded.modelId
    const shift = decoded.bootId === '' ? device.appliedSeq : 0
    const [fromSeq, toSeq] = [decoded.fromSeq + shift, decoded.toSeq + shift]
    // A device that lost its connection before the acknowledgement sends again.
    if (toSeq <= device.appliedSeq) return
    const block = this.#blockOf(decoded.deviceId, device, Math.max(fromSeq, device.appliedSeq + 1))
    const model = deviceModel(device.modelId)
    for (const { signal, timesMs, seqs, values } of decoded.series) {
      const memory = (device.signals[signal] ??= {})
      let state: DeadbandState = memory.lastPassed ? { lastPassed: memory.lastPassed } : newDeadband
      const series = seriesOf(block, signal)
      const deadband = { width: (model?.signals[signal]?.deadband ?? 0) * settings.deadbandFactor, maxIntervalMs: settings.maxIntervalMs }
      for (let i = 0; i < values.length; i++) {
        const seq = seqs[i]! + shift
        if (seq <= device.appliedSeq) continue
        const reading = { timeMs: timesMs[i]!, value: values[i]! }
        const result = applyDeadband(state, reading, deadband)
        state = result.state
        this.readingsTaken++
        if (result.passed) {
          series.timesMs.push(reading.timeMs)
          series.seqs.push(seq)
          series.values.push(reading.value)
        } else {
          series.filtered = addFiltered(series.filtered, reading)
        }
      }
      if (state.lastPassed) memory.lastPassed = { ...state.lastPassed }
    }
    block.toSeq = toSeq
    device.appliedSeq = toSeq
  }

  #reject(deviceId: string, message: TelemetryMessage, reason: string): void {
    if (deviceId === '') return
    const stamped = stampedRange(message.properties)
    const device = this.#deviceOf(deviceId, stamped?.bootId ?? this.#unstampedBoot)
    const range = stamped ?? { seq: device.appliedSeq + 1, count: 1 }
    const toSeq = range.seq + range.count - 1
    if (toSeq <= device.appliedSeq) return
    const block = this.#blockOf(deviceId, device, Math.max(range.seq, device.appliedSeq + 1))
    block.rejected.push({ seq: range.seq, count: range.count, reason })
    block.toSeq = toSeq
    device.appliedSeq = toSeq
    this.readingsTaken += range.count
  }

  #deviceOf(deviceId: string, bootId: string): DeviceMemory {
    const known = this.#memory.devices[deviceId]
    if (known?.bootId === bootId) return known
    // A new boot counts from 1 again. The machine did not change, so its filters go on.
    return (this.#memory.devices[deviceId] = { bootId, modelId: known?.modelId ?? '', appliedSeq: 0, signals: known?.signals ?? {} })
  }

  /** The block that takes the device's next readings; a hole in its seqs, or a new boot, begins a new one. */
  #blockOf(deviceId: string, { bootId, modelId, appliedSeq }: DeviceMemory, fromSeq: number): OpenBlock {
    const current = this.#current.get(deviceId)
    if (current && current.bootId === bootId && fromSeq === appliedSeq + 1) {
      current.modelId = modelId
      return current
    }
    const block: OpenBlock = { bootId, modelId, fromSeq, toSeq: fromSeq - 1, series: new Map(), rejected: [] }
    this.#current.set(deviceId, block)
    this.#blocks.push({ deviceId, block })
    return block
  }

  get isEmpty(): boolean {
    return this.#blocks.length === 0
  }

  /**
   * Ends the batch and begins the next.
   * @param receivedSeqs per device, the highest seq that has arrived behind those in the batch
   */
  cut(nowMs: number, receivedSeqs: ReadonlyMap<string, { bootId: string; seq: number }>): { batch: PackedBatch; memory: CoreMemory } {
    const blocks = this.#blocks.map(({ deviceId, block }): DeviceBlock => {
      const received = receivedSeqs.get(deviceId)
      const isLast = this.#current.get(deviceId) === block
      return {
        deviceId,
        bootId: block.bootId,
        modelId: block.modelId,
        fromSeq: block.fromSeq,
        toSeq: block.toSeq,
        receivedSeq: isLast && received?.bootId === block.bootId ? Math.max(block.toSeq, received.seq) : block.toSeq,
        series: [...block.series].map(
          ([signal, { timesMs, seqs, values, filtered }]): Series => ({ signal, timesMs, seqs, values, ...(filtered ? { filtered } : {}) }),
        ),
        rejected: block.rejected,
      }
    })
    this.#blocks = []
    this.#current = new Map()
    this.readingsTaken = 0
    return { batch: { cutAtMs: nowMs, blocks }, memory: this.#memory }
  }
}

function seriesOf(block: OpenBlock, signal: string): OpenSeries {
  let series = block.series.get(signal)
  if (!series) block.series.set(signal, (series = { timesMs: [], seqs: [], values: [], filtered: undefined }))
  return series
}

function addFiltered(summary: FilteredSummary | undefined, { timeMs, value }: { timeMs: number; value: number }): FilteredSummary {
  if (!summary) return { count: 1, min: value, max: value, mean: value, lastTimeMs: timeMs }
  const count = summary.count + 1
  return {
    count,
    min: Math.min(summary.min, value),
    max: Math.max(summary.max, value),
    mean: summary.mean + (value - summary.mean) / count,
    lastTimeMs: Math.max(summary.lastTimeMs, timeMs),
  }
}
