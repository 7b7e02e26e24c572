/** All that the hot path knows of one device: a fold of the log, kept in memory and snapshotted as bytes. */
import { z } from 'zod'
import { newDeviceWatch } from '../../detection/device-watch.ts'
import type { DeviceWatch, SignalWatch } from '../../detection/device-watch.ts'
import { seriesStateLength } from '../../detection/series-detector.ts'
import { newAccount } from './device-account.ts'
import type { DeviceAccount } from './device-account.ts'
import { decodeSegment, encodeSegment } from './open-segment.ts'
import type { Segment } from './open-segment.ts'

export type DeviceState = {
  readonly deviceId: string
  modelId: string
  /** Sequence number of the last message folded in: what makes folding it again a no-op. */
  appliedSequence: number
  readonly account: DeviceAccount
  readonly watch: DeviceWatch
  segment: Segment | undefined
  readonly latest: Map<string, { timeMs: number; value: number }>
  lastSeenMs: number
}

export function newDeviceState(deviceId: string): DeviceState {
  return {
    deviceId,
    modelId: '',
    appliedSequence: -1,
    account: newAccount(),
    watch: newDeviceWatch(deviceId),
    segment: undefined,
    latest: new Map(),
    lastSeenMs: 0,
  }
}

export const snapshotVersion = 1

const SnapshotHeader = z.object({
  version: z.literal(snapshotVersion),
  seriesStateLength: z.literal(seriesStateLength),
  deviceId: z.string(),
  modelId: z.string(),
  appliedSequence: z.number(),
  lastSeenMs: z.number(),
  account: z.custom<DeviceAccount>((value) => typeof value === 'object' && value !== null && 'boots' in value),
  latest: z.array(z.tuple([z.string(), z.object({ timeMs: z.number(), value: z.number() })])),
  signals: z.array(
    z.object({
      signal: z.string(),
      phase: z.custom<SignalWatch['phase']>((value) => typeof value === 'object' && value !== null && 'kind' in value),
    }),
  ),
  segmentBytes: z.number().int().nonnegative(),
})

/** Header as JSON, then the open segment, then the detectors' states: bit for bit. */
export function encodeSnapshot(state: DeviceState): Uint8Array {
  const segment = state.segment ? encodeSegment(state.segment) : new Uint8Array()
  const signals = [...state.watch.signals.values()]
  const { deviceId, modelId, appliedSequence, lastSeenMs, account } = state
  const header: z.infer<typeof SnapshotHeader> = {
    version: snapshotVersion,
    seriesStateLength,
    deviceId,
    modelId,
    appliedSequence,
    lastSeenMs,
    account,
    latest: [...state.latest],
    signals: signals.map(({ signal, phase }) => ({ signal, phase })),
    segmentBytes: segment.length,
  }
  const headerBytes = new TextEncoder().encode(JSON.stringify(header))
  const stateBytes = seriesStateLength * 8
  const bytes = new Uint8Array(4 + headerBytes.length + segment.length + signals.length * stateBytes)
  new DataView(bytes.buffer).setUint32(0, headerBytes.length, true)
  bytes.set(headerBytes, 4)
  bytes.set(segment, 4 + headerBytes.length)
  let position = 4 + headerBytes.length + segment.length
  for (const { state: series } of signals) {
    bytes.set(new Uint8Array(series.buffer, series.byteOffset, stateBytes), position)
    position += stateBytes
  }
  return bytes
}

/** A snapshot that is damaged or from another version. The state must be rebuilt from the log. */
export class UnreadableSnapshotError extends Error {
  override readonly name = 'UnreadableSnapshotError'
}

export function decodeSnapshot(bytes: Uint8Array): DeviceState {
  try {
    const headerLength = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true)
    const header = SnapshotHeader.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(4, 4 + headerLength))))
    const segmentStart = 4 + headerLength
    let position = segmentStart + header.segmentBytes
    const watch = newDeviceWatch(header.deviceId)
    for (const { signal, phase } of header.signals) {
      const state = new Float64Array(bytes.slice(position, position + seriesStateLength * 8).buffer)
      if (state.length !== seriesStateLength) throw new RangeError('the snapshot ends in the middle')
      watch.signals.set(signal, { signal, phase, state })
      position += seriesStateLength * 8
    }
    const { deviceId, modelId, appliedSequence, lastSeenMs, account } = header
    const segment = header.segmentBytes > 0 ? decodeSegment(bytes.subarray(segmentStart, segmentStart + header.segmentBytes)) : undefined
    return { deviceId, modelId, appliedSequence, lastSeenMs, account, watch, segment, latest: new Map(header.latest) }
  } catch (error) {
    throw new UnreadableSnapshotError('the snapshot cannot be read', { cause: error })
  }
}
