/**
 * The module's core: folds messages into a growing batch, says at once what is wrong with a machine, and what is to be
 * sent when the batch is cut. Pure and deterministic: the same messages, cut at the same places, leave the same state, which is
 * what lets a module that was killed go on from its journal without losing anything or counting it twice.
 *
 * A filter must never hide an alert. So the detectors of the cloud run here twice: on every reading, and on what the
 * filters let through. While they disagree, or anything is wrong, the filter of that signal stands open.
 */
import { deviceModel } from '../contract/device-model.ts'
import type { DeviceModel } from '../contract/device-model.ts'
import type { EdgeAlertEvent } from '../contract/edge-alerts.ts'
import { decodeTelemetry, stampedRange } from '../contract/telemetry/decode.ts'
import type { TelemetryMessage } from '../contract/telemetry/decode.ts'
import { MalformedTelemetryError } from '../contract/telemetry/malformed.ts'
import type { PackedBatch } from '../contract/telemetry/packed-batch.ts'
import type { Compression, DeviceBlock, Series } from '../contract/telemetry/telemetry.ts'
import { expiredReason, telemetryLimits } from '../contract/telemetry/telemetry.ts'
import { inModelUnits } from '../contract/units.ts'
import { watchReading, watchSilence } from '../detection/device-watch.ts'
import { isQuiet } from '../detection/watch-state.ts'
import { lastReading } from '../detection/recent.ts'
import { watchBlock } from '../detection/watch-block.ts'
import { defaultConfiguration, ruleOf } from './configuration.ts'
import type { Configuration } from './configuration.ts'
import { newEdgeDevice, newEdgeSignal } from './edge-devices.ts'
import type { EdgeDevice, EdgeSignal, EdgeState } from './edge-devices.ts'
import { filterReading, heldReading, newFilterState } from './filters.ts'
import type { HeldReading } from './filters.ts'
import { addSummary, holdBack, takeOverdueStatement, takeStatement } from './held-back.ts'
import { OpenBatch, toDeviceBlock } from './open-batch.ts'
import type { OpenBlock } from './open-batch.ts'
import { Troubles } from './troubles.ts'

export const edgeLimits = {
  signalsPerDevice: telemetryLimits.signalsPerDeviceMax,
  /** Readings that pass after the last sign of trouble. */
  openReadings: 30,
  /** Seconds over which a device's flow is judged. */
  floodWindowS: 10,
  /** An event time so far ahead of its arrival is a wrong clock. */
  clockAheadMs: 60_000,
} as const

/** A message that could not be decoded, to be passed on for inspection. */
export type RejectedMessage = {
  readonly deviceId: string
  readonly reason: string
  readonly detail: string
  readonly body: Uint8Array
  readonly contentType: string | undefined
}

/** What follows from one message at once. */
export type Findings = { readonly alerts: readonly EdgeAlertEvent[]; readonly rejected: RejectedMessage | undefined }

export class EdgeCore {
  readonly state: EdgeState
  readonly troubles = new Troubles()
  readonly #compression: Compression
  readonly #batch = new OpenBatch()
  #configuration: Configuration = defaultConfiguration
  readingsTaken = 0

  constructor(state: EdgeState, compression: Compression) {
    this.state = state
    this.#compression = compression
  }

  configure(configuration: Configuration): void {
    this.#configuration = configuration
    for (const { signals } of this.state.devices.values()) for (const signal of signals.values()) signal.rule = undefined
  }

  get batch(): Pick<OpenBatch, 'isEmpty' | 'readings' | 'roughBytes'> {
    return this.#batch
  }

  add(message: TelemetryMessage): Findings {
    const alerts: EdgeAlertEvent[] = []
    const deviceId = message.deviceId ?? ''
    try {
      const blocks = decodeTelemetry(message, this.#compression)
      // Checked before the first is folded: a message is taken whole or not at all.
      const prepared = blocks.map((block) => this.#inUnits(block))
      let isCrowded = false
      for (const block of prepared) if (this.#addBlock(block, message.arrivedMs, alerts)) isCrowded = true
      return {
        alerts,
        rejected: isCrowded ? rejectedMessage(message, 'too-many-signals', `more than ${edgeLimits.signalsPerDevice}`) : undefined,
      }
    } catch (error) {
      if (!(error instanceof MalformedTelemetryError)) throw error
      this.#reject(deviceId, message, error.reason)
      return { alerts, rejected: rejectedMessage(message, error.reason, error.message) }
    }
  }

  /** Books a message that was kept too long: it is told of, not sent. */
  expire(message: TelemetryMessage): void {
    this.#reject(message.deviceId ?? '', message, expiredReason)
  }

  #inUnits(block: DeviceBlock): DeviceBlock {
    const modelId = block.modelId || (this.state.devices.get(block.deviceId)?.modelId ?? '')
    const model = deviceModel(modelId)
    return model ? { ...block, series: block.series.map((series) => inModelUnits(series, model)) } : block
  }

  /** @returns true when the device has more signals than are kept apart */
  #addBlock(decoded: DeviceBlock, arrivedMs: number, alerts: EdgeAlertEvent[]): boolean {
    const bootId = decoded.bootId === '' ? this.state.unstampedBoot : decoded.bootId
    const device = this.#deviceOf(decoded.deviceId, bootId)
    if (decoded.modelId !== '' && decoded.modelId !== device.modelId) {
      device.modelId = decoded.modelId
      for (const signal of device.signals.values()) signal.rule = undefined
    }
    const shift = decoded.bootId === '' ? device.appliedSeq : 0
    const toSeq = decoded.toSeq + shift
    // A device that lost its connection before the acknowledgement sends again.
    if (toSeq <= device.appliedSeq) return false
    const block = this.#blockOf(device, Math.max(decoded.fromSeq + shift, device.appliedSeq + 1))
    const model = deviceModel(device.modelId)
    const isFlooding = this.#isFlooding(device, toSeq - Math.max(decoded.fromSeq + shift - 1, device.appliedSeq), arrivedMs)
    let isCrowded = false
    for (const series of decoded.series) {
      const signal = this.#signalOf(device, series.signal, model)
      if (signal) this.#addSeries({ device, block, signal, model, shift, arrivedMs, isFlooding }, series, alerts)
      else {
        isCrowded = true
        for (const seq of series.seqs)
          if (seq + shift > device.appliedSeq) this.#batch.reject(block, { seq: seq + shift, count: 1, reason: 'too-many-signals' })
      }
    }
    this.#noteSilence(device, decoded.series, model, arrivedMs, alerts)
    block.filtered += decoded.filtered
    for (const range of decoded.rejected) {
      const seq = Math.max(range.seq + shift, device.appliedSeq + 1)
      const count = range.seq + shift + range.count - seq
      if (count > 0) this.#batch.reject(block, { ...range, seq, count })
    }
    if (isCrowded) this.troubles.note(device.deviceId, 'too-many-signals', arrivedMs)
    block.toSeq = toSeq
    device.appliedSeq = toSeq
    return isCrowded
  }

  #addSeries(
    { device, block, signal, model, shift, arrivedMs, isFlooding }: SeriesContext,
    { signal: name, timesMs, seqs, values, filtered }: Series,
    alerts: EdgeAlertEvent[],
  ): void {
    const series = this.#batch.seriesOf(block, name)
    const rule = (signal.rule ??= ruleOf(this.#configuration, { deviceId: device.deviceId, modelId: device.modelId, signal: name, model }))
    for (let i = 0; i < values.length; i++) {
      const seq = seqs[i]! + shift
      if (seq <= device.appliedSeq) continue
      const timeMs = timesMs[i]!
      const value = values[i]!
      this.readingsTaken++
      if (isFlooding) {
        block.filtered++
        this.#sumUp(block, name, signal, { timeMs, value }, arrivedMs)
        continue
      }
      const events = watchReading(device.raw, { signal: name, bootId: block.bootId, seq, timeMs, value }, model, arrivedMs)
      for (const event of events) alerts.push({ deviceId: device.deviceId, signal: name, event })
      const isUnsure = !isQuiet(device.raw, name)
      if (isUnsure) signal.openReadings = edgeLimits.openReadings
      const before = heldReading(signal.filter)
      const { send, sendHeld } = filterReading(signal.filter, rule, { timeMs, seq, value }, signal.openReadings > 0)
      if (!isUnsure && signal.openReadings > 0) signal.openReadings--
      if (before && sendHeld) this.#batch.pass(series, before.timeMs, before.seq, before.value)
      else if (before) {
        // What a newer reading has taken the place of is no corner; an earlier block may have counted it as held back already.
        if (before.seq >= block.fromSeq) block.filtered++
        this.#sumUp(block, name, signal, before, arrivedMs)
      }
      if (send) this.#batch.pass(series, timeMs, seq, value)
      else if (heldReading(signal.filter)?.seq !== seq) {
        block.filtered++
        this.#sumUp(block, name, signal, { timeMs, value }, arrivedMs)
      }
    }
    const newestMs = timesMs.at(-1)
    if (newestMs !== undefined && newestMs > arrivedMs + edgeLimits.clockAheadMs)
      this.troubles.note(device.deviceId, 'clock-ahead', arrivedMs)
    // A gateway below this one has filtered already: its statement goes on.
    if (filtered) {
      this.#tell(block, name, signal, arrivedMs, takeOverdueStatement)
      addSummary(signal.heldBack, filtered, arrivedMs)
    }
  }

  /** A signal that is no longer sent while its device goes on. */
  #noteSilence(
    device: EdgeDevice,
    series: readonly Series[],
    model: DeviceModel | undefined,
    arrivedMs: number,
    alerts: EdgeAlertEvent[],
  ): void {
    const newestMs = Math.max(...series.map(({ timesMs }) => timesMs.at(-1) ?? Number.NEGATIVE_INFINITY))
    for (const event of watchSilence(device.raw, newestMs, model, arrivedMs)) {
      if (event.kind === 'raised') alerts.push({ deviceId: device.deviceId, signal: event.signal, event })
    }
  }

  /** After a pause what waited is told first, by itself: the evening's values do not belong into the morning's minute. */
  #sumUp(
    block: OpenBlock,
    name: string,
    signal: EdgeSignal,
    { timeMs, value }: Pick<HeldReading, 'timeMs' | 'value'>,
    nowMs: number,
  ): void {
    this.#tell(block, name, signal, nowMs, takeOverdueStatement)
    holdBack(signal.heldBack, timeMs, value, nowMs)
  }

  /** A block tells one statement of a signal; the next one is for the next block. */
  #tell(block: OpenBlock, name: string, { heldBack }: EdgeSignal, nowMs: number, take: typeof takeStatement): void {
    if (block.series.get(name)?.filtered) return
    const statement = take(heldBack, nowMs)
    if (statement) this.#batch.seriesOf(block, name).filtered = statement
  }

  #reject(deviceId: string, message: TelemetryMessage, reason: string): void {
    if (deviceId === '') return
    const stamped = stampedRange(message.properties)
    const device = this.#deviceOf(deviceId, stamped?.bootId ?? this.state.unstampedBoot)
    if (reason !== expiredReason) this.troubles.note(deviceId, reason, message.arrivedMs)
    const range = stamped ?? { seq: device.appliedSeq + 1, count: 1 }
    const toSeq = range.seq + range.count - 1
    if (toSeq <= device.appliedSeq) return
    const fromSeq = Math.max(range.seq, device.appliedSeq + 1)
    const block = this.#blockOf(device, fromSeq)
    this.#batch.reject(block, { seq: fromSeq, count: toSeq - fromSeq + 1, reason })
    block.toSeq = toSeq
    device.appliedSeq = toSeq
  }

  #deviceOf(deviceId: string, bootId: string): EdgeDevice {
    let device = this.state.devices.get(deviceId)
    if (!device) this.state.devices.set(deviceId, (device = newEdgeDevice(deviceId, bootId)))
    if (device.bootId !== bootId) {
      // A new boot counts from 1 again. The machine did not change, so its detectors go on; its curve begins anew.
      this.#endBlock(device)
      device.bootId = bootId
      device.appliedSeq = 0
      for (const { filter, heldBack } of device.signals.values()) {
        const held = heldReading(filter)
        if (held) holdBack(heldBack, held.timeMs, held.value, held.timeMs)
        filter.set(newFilterState())
      }
    }
    return device
  }

  #signalOf(device: EdgeDevice, name: string, model: DeviceModel | undefined): EdgeSignal | undefined {
    let signal = device.signals.get(name)
    if (!signal) {
      if (device.signals.size >= edgeLimits.signalsPerDevice && !model?.signals[name]) return undefined
      device.signals.set(name, (signal = newEdgeSignal()))
    }
    return signal
  }

  #isFlooding(device: EdgeDevice, readings: number, arrivedMs: number): boolean {
    const perS = this.#configuration.readingsPerSMax
    const most = perS * edgeLimits.floodWindowS
    const last = device.allowance ?? { readings: most, atMs: arrivedMs }
    const refilled = Math.min(most, last.readings + (Math.max(0, arrivedMs - last.atMs) * perS) / 1000)
    const isFlooding = refilled < readings
    device.allowance = { readings: isFlooding ? refilled : refilled - readings, atMs: arrivedMs }
    if (isFlooding) this.troubles.note(device.deviceId, 'flood', arrivedMs)
    return isFlooding
  }

  /** The block that takes the device's next readings; a hole in its seqs, or a new boot, begins a new one. */
  #blockOf(device: EdgeDevice, fromSeq: number): OpenBlock {
    const { deviceId, bootId, modelId } = device
    const current = this.#batch.current(deviceId, bootId, fromSeq)
    if (!current) {
      this.#endBlock(device)
      return this.#batch.begin(deviceId, bootId, modelId, fromSeq)
    }
    current.modelId = modelId
    return current
  }

  /** What a swinging door still holds of a block counts as held back; a later block recalls it as a corner, or sums it up. */
  #endBlock(device: EdgeDevice): OpenBlock | undefined {
    const block = this.#batch.current(device.deviceId, device.bootId, device.appliedSeq + 1)
    for (const name of block?.series.keys() ?? []) {
      const held = heldReading(device.signals.get(name)!.filter)
      if (held && held.seq >= block!.fromSeq && held.seq <= block!.toSeq) block!.filtered++
    }
    return block
  }

  /**
   * The newest reading of every signal, to be shown and not counted.
   * @param unfolded messages that are newer than what was folded
   */
  preview(nowMs: number, unfolded: readonly TelemetryMessage[]): PackedBatch {
    const newest = new Map<string, Map<string, { timeMs: number; value: number }>>()
    const note = (deviceId: string, signal: string, timeMs: number, value: number) => {
      let signals = newest.get(deviceId)
      if (!signals) newest.set(deviceId, (signals = new Map()))
      const known = signals.get(signal)
      if (!known || timeMs >= known.timeMs) signals.set(signal, { timeMs, value })
    }
    for (const { deviceId, raw } of this.state.devices.values())
      for (const { signal, recent } of raw.signals.values()) {
        const last = lastReading(recent)
        if (last) note(deviceId, signal, last.timeMs, last.value)
      }
    for (const message of unfolded) {
      try {
        for (const decoded of decodeTelemetry(message, this.#compression))
          for (const { signal, timesMs, values } of this.#inUnits(decoded).series)
            if (values.length > 0) note(decoded.deviceId, signal, timesMs.at(-1)!, values.at(-1)!)
      } catch (error) {
        // It is set aside, with its reason, when its turn comes.
        if (!(error instanceof MalformedTelemetryError)) throw error
      }
    }
    const blocks = [...newest].map(([deviceId, signals]): DeviceBlock => {
      const series = [...signals].map(([signal, { timeMs, value }]): Series => ({ signal, timesMs: [timeMs], seqs: [0], values: [value] }))
      const { modelId = '', bootId = '' } = this.state.devices.get(deviceId) ?? {}
      return { deviceId, bootId, modelId, fromSeq: 1, toSeq: 0, receivedSeq: 0, series, filtered: 0, rejected: [] }
    })
    return { cutAtMs: nowMs, blocks }
  }

  /** Ends the batch and begins the next. What the cloud will make of it is watched here as it will be there. */
  cut(nowMs: number): PackedBatch {
    for (const device of this.state.devices.values()) {
      const block = this.#endBlock(device)
      // Also of signals that this block has nothing of: they may never come again.
      if (block) for (const [name, signal] of device.signals) this.#tell(block, name, signal, nowMs, takeStatement)
    }
    const blocks = this.#batch.take().map(toDeviceBlock)
    for (const block of blocks) {
      const device = this.state.devices.get(block.deviceId)!
      const model = deviceModel(block.modelId)
      watchBlock(device.filtered, block.series, { bootId: block.bootId, afterSeq: block.fromSeq - 1, model, nowMs })
      for (const { signal } of block.series) {
        if (isQuiet(device.filtered, signal) !== isQuiet(device.raw, signal))
          device.signals.get(signal)!.openReadings = edgeLimits.openReadings
      }
    }
    return { cutAtMs: nowMs, blocks }
  }
}

type SeriesContext = {
  readonly device: EdgeDevice
  readonly block: OpenBlock
  readonly signal: EdgeSignal
  readonly model: DeviceModel | undefined
  readonly shift: number
  readonly arrivedMs: number
  readonly isFlooding: boolean
}

function rejectedMessage(message: TelemetryMessage, reason: string, detail: string): RejectedMessage {
  return { deviceId: message.deviceId ?? '', reason, detail, body: message.body, contentType: message.contentType }
}
