/**
 * The hot path's core: folds one message of a partition into the states of its devices and says what follows from it.
 * Pure: the same messages give the same states and effects, whatever the batches they arrived in.
 */
import type { DetectedEvent } from '../../contract/alert.ts'
import { deviceModel } from '../../contract/device-model.ts'
import type { DeviceModel } from '../../contract/device-model.ts'
import { decodeEdgeAlerts, edgeAlertsContentType } from '../../contract/edge-alerts.ts'
import { errorText } from '../../contract/error-text.ts'
import { unknownDeviceId } from '../../contract/unknown-device.ts'
import { decodeTelemetry, previewProperty, rejectedAtEdge, stampedRange } from '../../contract/telemetry/decode.ts'
import type { TelemetryMessage } from '../../contract/telemetry/decode.ts'
import { DeadLetterReason, MalformedTelemetryError } from '../../contract/telemetry/malformed.ts'
import { telemetryLimits } from '../../contract/telemetry/telemetry.ts'
import type { Compression, DeviceBlock, Series } from '../../contract/telemetry/telemetry.ts'
import { inModelUnits } from '../../contract/units.ts'
import { watchEdgeEvent } from '../../detection/edge-incidents.ts'
import { watchBlock } from '../../detection/watch-block.ts'
import { appliedSeq, bookBlock, bookDeadLetter } from './device-account.ts'
import { repairTimes } from './device-clock.ts'
import { newDeviceState, noteArrival } from './device-state.ts'
import type { DeviceState } from './device-state.ts'
import { addFiltered, addReading, isFull, noteOffset, openSegment } from './open-segment.ts'
import type { Segment } from './open-segment.ts'
import { rollUp } from './roll-up.ts'
import type { Rollup } from './roll-up.ts'

export type LoggedMessage = TelemetryMessage & {
  /** Position in the partition's log. */
  readonly sequenceNumber: number
}

export type DeadLetter = {
  readonly sequenceNumber: number
  readonly deviceId: string
  readonly reason: DeadLetterReason
  readonly detail: string
  readonly arrivedMs: number
  readonly contentType: string
  readonly body: Uint8Array
}

export type Effects = {
  readonly closedSegments: { readonly deviceId: string; readonly segment: Segment; readonly rollups: readonly Rollup[] }[]
  readonly alertEvents: { readonly sequenceNumber: number; readonly event: DetectedEvent }[]
  readonly deadLetters: DeadLetter[]
  readonly touchedDevices: Set<string>
}

export function noEffects(): Effects {
  return { closedSegments: [], alertEvents: [], deadLetters: [], touchedDevices: new Set() }
}

export type PartitionState = {
  /** Sequence number of the last message folded in; -1 before the first. */
  appliedSequence: number
  /** When the hub took it. */
  appliedMs: number
  readonly devices: Map<string, DeviceState>
}

export function newPartitionState(): PartitionState {
  return { appliedSequence: -1, appliedMs: 0, devices: new Map() }
}

/** Boot name under which the hub path numbers the readings of devices that stamp nothing. */
const unstampedBoot = 'unstamped'

export function foldMessage(partition: PartitionState, message: LoggedMessage, compression: Compression, effects: Effects): void {
  if (message.sequenceNumber <= partition.appliedSequence) return
  partition.appliedSequence = message.sequenceNumber
  partition.appliedMs = message.arrivedMs
  const rejectedDevice = message.moduleId !== undefined ? message.properties[rejectedAtEdge.device] : undefined
  if (typeof rejectedDevice === 'string') {
    // Its readings are accounted for in the edge's next batch; here only its content is kept.
    setAside(
      effects,
      message,
      rejectedDevice,
      DeadLetterReason.catch('not-telemetry').parse(message.properties[rejectedAtEdge.reason]),
      'set aside at the edge',
    )
    return
  }
  try {
    if (message.contentType === edgeAlertsContentType) return foldEdgeAlerts(partition, message, effects)
    const blocks = decodeTelemetry(message, compression)
    if (message.moduleId !== undefined && message.properties[previewProperty] !== undefined) return foldPreview(partition, blocks, effects)
    const ahead = devicesAhead(partition, blocks, message.sequenceNumber)
    for (const block of blocks) if (!ahead.has(block.deviceId)) foldBlock(partition, message, block, effects)
  } catch (error) {
    const isMalformed = error instanceof MalformedTelemetryError
    const reason = isMalformed ? error.reason : 'processing-failed'
    setAside(effects, message, message.deviceId ?? unknownDeviceId, reason, errorText(error))
    bookUndecoded(partition, message, effects)
  }
}

/** Alerts that an edge module raised before its filter: they join what is open here, or open it. */
function foldEdgeAlerts(partition: PartitionState, message: LoggedMessage, effects: Effects): void {
  if (message.moduleId === undefined) throw new MalformedTelemetryError('foreign-device', `'${message.deviceId}' is no edge module`)
  const { events } = decodeEdgeAlerts(message.body)
  const { sequenceNumber } = message
  const ahead = devicesAhead(partition, events, sequenceNumber)
  for (const { deviceId, signal, event } of events) {
    if (ahead.has(deviceId)) continue
    const device = deviceOf(partition, deviceId)
    device.appliedSequence = sequenceNumber
    if (event.kind === 'raised' && device.modelId === '') device.modelId = event.modelId
    for (const joined of watchEdgeEvent(device.watch, event, signal)) effects.alertEvents.push({ sequenceNumber, event: joined })
    effects.touchedDevices.add(deviceId)
  }
}

/** What the newest readings are, told ahead of a backlog that will bring them again: nothing is stored or judged. */
function foldPreview(partition: PartitionState, blocks: readonly DeviceBlock[], effects: Effects): void {
  for (const { deviceId, modelId, series } of blocks) {
    const device = deviceOf(partition, deviceId)
    if (modelId !== '') device.modelId = modelId
    for (const { signal, timesMs, values } of series) {
      const [timeMs, value] = [timesMs.at(-1), values.at(-1)]
      if (timeMs === undefined || value === undefined || timeMs <= (device.latest.get(signal)?.timeMs ?? Number.NEGATIVE_INFINITY)) continue
      device.latest.set(signal, { timeMs, value })
      effects.touchedDevices.add(deviceId)
    }
  }
}

/**
 * After a crash between two rows of a snapshot, some devices are ahead of their partition. Asked before the first block
 * is folded: one message may hold several blocks of a device, from two of its boots.
 */
function devicesAhead(partition: PartitionState, parts: readonly { readonly deviceId: string }[], sequenceNumber: number): Set<string> {
  return new Set(
    parts.map(({ deviceId }) => deviceId).filter((deviceId) => (partition.devices.get(deviceId)?.appliedSequence ?? -1) >= sequenceNumber),
  )
}

function setAside(effects: Effects, message: LoggedMessage, deviceId: string, reason: DeadLetterReason, detail: string): void {
  const { sequenceNumber, arrivedMs, contentType, body } = message
  effects.deadLetters.push({ sequenceNumber, deviceId, reason, detail, arrivedMs, contentType: contentType ?? '', body })
}

function bookUndecoded(partition: PartitionState, message: LoggedMessage, effects: Effects): void {
  const device = deviceOf(partition, message.deviceId ?? unknownDeviceId)
  if (message.sequenceNumber <= device.appliedSequence) return
  device.appliedSequence = message.sequenceNumber
  noteArrival(device, message.arrivedMs)
  const range = stampedRange(message.properties) ?? { bootId: unstampedBoot, seq: appliedSeq(device.account, unstampedBoot) + 1, count: 1 }
  bookDeadLetter(device.account, range)
  effects.touchedDevices.add(device.deviceId)
}

function foldBlock(partition: PartitionState, message: LoggedMessage, decoded: DeviceBlock, effects: Effects): void {
  const device = deviceOf(partition, decoded.deviceId)
  device.appliedSequence = message.sequenceNumber
  noteArrival(device, message.arrivedMs)
  device.gatewayId = message.moduleId === undefined ? '' : (message.deviceId ?? '')
  if (decoded.modelId !== '') device.modelId = decoded.modelId
  effects.touchedDevices.add(device.deviceId)

  const numbered = decoded.bootId === '' ? numberUnstamped(decoded, appliedSeq(device.account, unstampedBoot)) : decoded
  const possible = repairTimes(device.clock, numbered, message.arrivedMs)
  const model = deviceModel(device.modelId)
  const { block, crowded } = withinSignals(device, model, {
    ...possible,
    series: possible.series.map((series) => inModelUnits(series, model)),
  })
  const { appliedBeforeSeq } = bookBlock(device.account, block)
  if (block.toSeq <= appliedBeforeSeq) return
  if (crowded.length > 0) {
    const detail = `more than ${telemetryLimits.signalsPerDeviceMax} signals: ${crowded.slice(0, 3).join(', ')}`
    setAside(effects, message, device.deviceId, 'too-many-signals', detail)
  }
  const isWholeNew = block.fromSeq > appliedBeforeSeq
  for (const series of block.series)
    keepReadings(device, series, { block, appliedBeforeSeq, isWholeNew, arrivedMs: message.arrivedMs }, effects)
  const afterSeq = Math.max(appliedBeforeSeq, block.fromSeq - 1)
  const isJudged = block.isJudged === true && message.moduleId !== undefined
  const events = watchBlock(device.watch, block.series, { bootId: block.bootId, afterSeq, model, nowMs: message.arrivedMs, isJudged })
  for (const event of events) effects.alertEvents.push({ sequenceNumber: message.sequenceNumber, event })
}

/**
 * A schema that changes for ever ends here: all that is known of a device fits into one row. What its model names has room;
 * readings of further signals are booked as set aside.
 */
function withinSignals(device: DeviceState, model: DeviceModel | undefined, block: DeviceBlock): { block: DeviceBlock; crowded: string[] } {
  let room = telemetryLimits.signalsPerDeviceMax - device.latest.size
  const crowded = new Set<string>()
  for (const { signal } of block.series) if (!device.latest.has(signal) && !model?.signals[signal] && room-- <= 0) crowded.add(signal)
  if (crowded.size === 0) return { block, crowded: [] }
  // Recalled readings stand in the account of what the edge held back, and stay there.
  const rejected = block.series
    .filter(({ signal }) => crowded.has(signal))
    .flatMap(({ seqs }) =>
      seqs.filter((seq) => seq >= block.fromSeq).map((seq) => ({ seq, count: 1, reason: 'too-many-signals' as const })),
    )
  const series = block.series.filter(({ signal }) => !crowded.has(signal))
  return { block: { ...block, series, rejected: [...block.rejected, ...rejected] }, crowded: [...crowded] }
}

type BlockContext = {
  readonly block: DeviceBlock
  readonly appliedBeforeSeq: number
  readonly isWholeNew: boolean
  readonly arrivedMs: number
}

function keepReadings(
  device: DeviceState,
  { signal, timesMs, seqs, values, filtered }: Series,
  { block, appliedBeforeSeq, isWholeNew, arrivedMs }: BlockContext,
  effects: Effects,
): void {
  let latestMs = device.latest.get(signal)?.timeMs ?? Number.NEGATIVE_INFINITY
  let latestAt = -1
  for (let i = 0; i < values.length; i++) {
    const seq = seqs[i]!
    const isRecalled = seq < block.fromSeq
    if (isRecalled ? !isWholeNew : seq <= appliedBeforeSeq) continue
    const timeMs = timesMs[i]!
    const segment = segmentFor(device, block.bootId, seq, arrivedMs, effects)
    noteOffset(segment, seq, device.clock.offsetMs)
    addReading(segment, signal, timeMs, seq, values[i]!)
    if (isRecalled && timeMs <= latestMs) continue
    latestMs = timeMs
    latestAt = i
  }
  if (latestAt >= 0) device.latest.set(signal, { timeMs: latestMs, value: values[latestAt]! })
  // A block that came in part before has told of these already.
  if (filtered && isWholeNew) addFiltered(segmentFor(device, block.bootId, block.fromSeq, arrivedMs, effects), signal, filtered)
}

/** The open segment, a new one when the boot changed or the old one is full. */
function segmentFor(device: DeviceState, bootId: string, seq: number, nowMs: number, effects: Effects): Segment {
  const { segment } = device
  if (segment && segment.bootId === bootId && !isFull(segment, nowMs)) return segment
  if (segment) effects.closedSegments.push({ deviceId: device.deviceId, segment, rollups: rollUp(device.rollups, segment) })
  return (device.segment = openSegment(bootId, seq, nowMs))
}

/** Gives the readings of a device that stamps nothing the next seqs of a boot of its own. */
function numberUnstamped(block: DeviceBlock, applied: number): DeviceBlock {
  const series = block.series.map((columns) => ({ ...columns, seqs: columns.seqs.map((seq) => seq + applied) }))
  return { ...block, bootId: unstampedBoot, series, fromSeq: applied + 1, toSeq: applied + block.toSeq, receivedSeq: applied + block.toSeq }
}

function deviceOf(partition: PartitionState, deviceId: string): DeviceState {
  let device = partition.devices.get(deviceId)
  if (!device) partition.devices.set(deviceId, (device = newDeviceState(deviceId)))
  return device
}
