/** All that the hot path knows of one device: a fold of the log, kept in memory and snapshotted as bytes. */
import { z } from 'zod'
import { ByteReader, ByteWriter } from '../../contract/telemetry/varint.ts'
import { newDeviceWatch } from '../../detection/watch-state.ts'
import type { DeviceWatch } from '../../detection/watch-state.ts'
import { readWatch, writeWatch } from '../../detection/watch-bytes.ts'
import { newAccount } from './device-account.ts'
import type { DeviceAccount } from './device-account.ts'
import { newDeviceClock } from './device-clock.ts'
import type { DeviceClock } from './device-clock.ts'
import { decodeSegment, encodeSegment } from './open-segment.ts'
import type { Segment } from './open-segment.ts'
import { newOpenRollups } from './roll-up.ts'
import type { OpenRollups } from './roll-up.ts'
import { decodeBuckets, encodeBuckets } from './bucket.ts'

export type DeviceState = {
  readonly deviceId: string
  modelId: string
  /** Sequence number of the last message folded in: what makes folding it again a no-op. */
  appliedSequence: number
  readonly account: DeviceAccount
  readonly watch: DeviceWatch
  segment: Segment | undefined
  readonly rollups: OpenRollups
  readonly clock: DeviceClock
  readonly latest: Map<string, { timeMs: number; value: number }>
  lastSeenMs: number
  /** The longest pause between two messages that is usual for it; it forgets slowly. */
  usualGapMs: number
  /** The edge device whose module brought its last readings; empty when it speaks for itself. */
  gatewayId: string
}

export function newDeviceState(deviceId: string): DeviceState {
  return {
    deviceId,
    modelId: '',
    appliedSequence: -1,
    account: newAccount(),
    watch: newDeviceWatch(deviceId),
    segment: undefined,
    rollups: newOpenRollups(),
    clock: newDeviceClock(),
    latest: new Map(),
    lastSeenMs: 0,
    usualGapMs: 0,
    gatewayId: '',
  }
}

/** Shorter pauses say nothing about a device's habits. */
const gapMsMin = 15_000

/** What the pauses between messages are like. One ten times as long as any before is an outage until it comes again. */
export function noteArrival(state: DeviceState, arrivedMs: number): void {
  const gapMs = arrivedMs - state.lastSeenMs
  const isFirst = state.lastSeenMs === 0
  state.lastSeenMs = Math.max(state.lastSeenMs, arrivedMs)
  if (isFirst || gapMs <= 0) return
  const usualMs = Math.max(gapMsMin, state.usualGapMs)
  const share = gapMs > usualMs * 10 ? 1 / 8 : gapMs >= usualMs ? 1 : 1 / 64
  state.usualGapMs = Math.round(Math.max(gapMsMin, usualMs + (gapMs - usualMs) * share))
}

const snapshotVersion = 5

const SnapshotHeader = z.object({
  deviceId: z.string(),
  modelId: z.string(),
  appliedSequence: z.number(),
  lastSeenMs: z.number(),
  usualGapMs: z.number(),
  gatewayId: z.string(),
  hoursUpToMs: z.number(),
  daysUpToMs: z.number(),
  clock: z.object({
    offsetMs: z.number(),
    leastDelayMs: z.number().nullable(),
    previousDelayMs: z.number().nullable(),
    epochStartMs: z.number(),
  }),
  account: z.object({
    boots: z.array(z.tuple([z.string(), z.object({ appliedSeq: z.number(), receivedSeq: z.number() })])),
    forgottenSeqs: z.number(),
    stored: z.number(),
    filtered: z.number(),
    deadLettered: z.number(),
    expired: z.number(),
    duplicates: z.number(),
  }),
  latest: z.array(z.tuple([z.string(), z.object({ timeMs: z.number(), value: z.number() })])),
})

/** Header as JSON, then the open segment, then the watch: bit for bit. */
export function encodeSnapshot(state: DeviceState): Uint8Array {
  const { deviceId, modelId, appliedSequence, lastSeenMs, usualGapMs, gatewayId, account, clock, watch, segment, rollups, latest } = state
  // Equal states give equal bytes: the order of names is fixed here.
  const header: z.infer<typeof SnapshotHeader> = {
    deviceId,
    modelId,
    appliedSequence,
    lastSeenMs,
    usualGapMs,
    gatewayId,
    hoursUpToMs: rollups.hoursUpToMs,
    daysUpToMs: rollups.daysUpToMs,
    clock,
    account: { ...account, boots: [...account.boots] },
    latest: [...latest],
  }
  const writer = new ByteWriter()
  writer.uint(snapshotVersion)
  writer.text(JSON.stringify(header))
  writer.bytes(segment ? encodeSegment(segment) : new Uint8Array())
  writer.bytes(encodeBuckets(rollups.hours, 0))
  writer.bytes(encodeBuckets(rollups.days, 0))
  writeWatch(writer, watch)
  return writer.finish()
}

/** A snapshot that is damaged or from another version. The state must be rebuilt from the log. */
export class UnreadableSnapshotError extends Error {
  override readonly name = 'UnreadableSnapshotError'
}

export function decodeSnapshot(bytes: Uint8Array): DeviceState {
  try {
    const reader = new ByteReader(bytes)
    const version = reader.uint()
    if (version !== snapshotVersion) throw new RangeError(`a snapshot of version ${version}, this program reads ${snapshotVersion}`)
    const { hoursUpToMs, daysUpToMs, account: stored, ...header } = SnapshotHeader.parse(JSON.parse(reader.text()))
    const segmentBytes = reader.take(reader.count())
    const segment = segmentBytes.length > 0 ? decodeSegment(segmentBytes) : undefined
    const hours = decodeBuckets(reader.take(reader.count()), 0)
    const days = decodeBuckets(reader.take(reader.count()), 0)
    const rollups: OpenRollups = { hours, days, hoursUpToMs, daysUpToMs }
    const account = { ...stored, boots: new Map(stored.boots) }
    return { ...header, account, latest: new Map(header.latest), segment, rollups, watch: readWatch(reader, header.deviceId) }
  } catch (error) {
    throw new UnreadableSnapshotError('the snapshot cannot be read', { cause: error })
  }
}
