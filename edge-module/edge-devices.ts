/** What the module remembers of the devices behind it: a fold of the journal, kept in memory and snapshotted as bytes. */
import { z } from 'zod'
import { ByteReader, ByteWriter } from '../contract/telemetry/varint.ts'
import { newDeviceWatch } from '../detection/watch-state.ts'
import type { DeviceWatch } from '../detection/watch-state.ts'
import { readWatch, writeWatch } from '../detection/watch-bytes.ts'
import { filterStateLength, newFilterState } from './filters.ts'
import type { FilterState, SignalRule } from './filters.ts'
import { heldBackLength, newHeldBack } from './held-back.ts'
import type { HeldBack } from './held-back.ts'

export type EdgeSignal = {
  readonly filter: FilterState
  /** Held back since the cloud was last told. */
  readonly heldBack: HeldBack
  /** Readings that still pass whatever the filter says. */
  openReadings: number
  /** Looked up when first needed, and again after a change of configuration or model. */
  rule: SignalRule | undefined
}

export type EdgeDevice = {
  readonly deviceId: string
  bootId: string
  modelId: string
  /** Highest seq taken of this boot; also numbers the readings of devices that stamp nothing. */
  appliedSeq: number
  readonly signals: Map<string, EdgeSignal>
  /** Sees every reading. */
  readonly raw: DeviceWatch
  /** Sees what the cloud will see. */
  readonly filtered: DeviceWatch
  /** Readings the device may still send at once, and when that was true: a token bucket. */
  allowance: { readings: number; atMs: number } | undefined
}

export type EdgeState = {
  /** Under this boot id the edge numbers readings of devices that stamp nothing. */
  readonly unstampedBoot: string
  readonly devices: Map<string, EdgeDevice>
}

export function newEdgeState(unstampedBoot: string): EdgeState {
  return { unstampedBoot, devices: new Map() }
}

export function newEdgeDevice(deviceId: string, bootId: string): EdgeDevice {
  return {
    deviceId,
    bootId,
    modelId: '',
    appliedSeq: 0,
    signals: new Map(),
    raw: newDeviceWatch(deviceId),
    filtered: newDeviceWatch(deviceId, { isThinned: true }),
    allowance: undefined,
  }
}

export function newEdgeSignal(): EdgeSignal {
  return { filter: newFilterState(), heldBack: newHeldBack(), openReadings: 0, rule: undefined }
}

const version = 2
const StoredDevice = z.object({
  deviceId: z.string(),
  bootId: z.string(),
  modelId: z.string(),
  appliedSeq: z.number(),
  signals: z.array(z.object({ signal: z.string(), openReadings: z.number() })),
})

export function encodeEdgeState({ unstampedBoot, devices }: EdgeState): Uint8Array {
  const writer = new ByteWriter()
  writer.uint(version)
  writer.text(unstampedBoot)
  writer.uint(devices.size)
  for (const { deviceId, bootId, modelId, appliedSeq, signals, raw, filtered } of devices.values()) {
    const stored: z.infer<typeof StoredDevice> = {
      deviceId,
      bootId,
      modelId,
      appliedSeq,
      signals: [...signals].map(([signal, { openReadings }]) => ({ signal, openReadings })),
    }
    writer.text(JSON.stringify(stored))
    for (const { filter, heldBack } of signals.values()) {
      writer.raw(new Uint8Array(filter.buffer))
      writer.raw(new Uint8Array(heldBack.buffer))
    }
    writeWatch(writer, raw)
    writeWatch(writer, filtered)
  }
  return writer.finish()
}

/** @throws for damaged bytes, or those of another version */
export function decodeEdgeState(bytes: Uint8Array): EdgeState {
  const reader = new ByteReader(bytes)
  const found = reader.uint()
  if (found !== version) throw new RangeError(`a state of version ${found}, this program reads ${version}`)
  const state = newEdgeState(reader.text())
  for (let count = reader.uint(); count > 0; count--) {
    const { signals, ...stored } = StoredDevice.parse(JSON.parse(reader.text()))
    const device: EdgeDevice = {
      ...newEdgeDevice(stored.deviceId, stored.bootId),
      ...stored,
      signals: new Map(
        signals.map(({ signal, openReadings }) => {
          const filter = reader.float64Array(filterStateLength)
          const heldBack = reader.float64Array(heldBackLength)
          return [signal, { filter, heldBack, openReadings, rule: undefined }]
        }),
      ),
      raw: readWatch(reader, stored.deviceId),
      filtered: readWatch(reader, stored.deviceId),
    }
    state.devices.set(device.deviceId, device)
  }
  return state
}
