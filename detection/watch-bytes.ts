/** A watch as bytes: phases as JSON, detectors bit for bit. What another version wrote is not read: it is learned anew. */
import { z } from 'zod'
import { ByteReader, ByteWriter } from '../contract/telemetry/varint.ts'
import { newDeviceWatch } from './device-watch.ts'
import type { DeviceWatch, SignalWatch } from './device-watch.ts'
import { seriesStateLength } from './series-detector.ts'

export const watchBytesVersion = 2
const stateBytes = seriesStateLength * 8

const StoredSignal = z.object({
  signal: z.string(),
  phase: z.custom<SignalWatch['phase']>((value) => typeof value === 'object' && value !== null && 'kind' in value),
})

export function writeWatch(writer: ByteWriter, watch: DeviceWatch): void {
  writer.uint(watchBytesVersion)
  writer.uint(seriesStateLength)
  writer.text(JSON.stringify(watch.endedEdgeAlerts))
  writer.uint(watch.signals.size)
  for (const { signal, phase, state } of watch.signals.values()) {
    writer.text(JSON.stringify({ signal, phase }))
    writer.raw(new Uint8Array(state.buffer, state.byteOffset, stateBytes))
  }
}

/** @throws RangeError for another version @throws for damaged bytes */
export function readWatch(reader: ByteReader, deviceId: string): DeviceWatch {
  const [version, length] = [reader.uint(), reader.uint()]
  if (version !== watchBytesVersion || length !== seriesStateLength)
    throw new RangeError(`a watch of version ${version}, this program reads ${watchBytesVersion}`)
  const watch = newDeviceWatch(deviceId)
  watch.endedEdgeAlerts.push(...z.array(z.string()).parse(JSON.parse(reader.text())))
  for (let count = reader.uint(); count > 0; count--) {
    const { signal, phase } = StoredSignal.parse(JSON.parse(reader.text()))
    const state = reader.float64Array(seriesStateLength)
    watch.signals.set(signal, { signal, phase, state })
  }
  return watch
}
