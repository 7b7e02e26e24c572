/** What a reading weighs packed, and what packing and unpacking cost beside `JSON.parse`: nothing filtered, nothing lost. */
import { zlibCompression } from '../../cloud-functions/hot-path/compression.ts'
import { decodePackedBatch, encodePackedBatch } from '../../contract/telemetry/packed-batch.ts'
import type { DeviceBlock } from '../../contract/telemetry/telemetry.ts'
import { createPlant, mixedMachines } from '../../device-sim/plant.ts'
import { randomOf } from '../../device-sim/random.ts'
import { bodyBytesMax } from '../../edge-module/fill-messages.ts'
import { compare, printRow } from '../measure.ts'

const startMs = 1_700_000_000_000

type Sample = {
  readonly deviceId: string
  readonly modelId: string
  readonly timeMs: number
  readonly values: Readonly<Record<string, number>>
  readonly json: string
}

type GrowingSeries = { signal: string; timesMs: number[]; seqs: number[]; values: number[] }

/** Blocks of some samples: a block a device, a series a signal. */
function blocksOf(samples: readonly Sample[]): DeviceBlock[] {
  const devices = new Map<string, { modelId: string; seq: number; series: Map<string, GrowingSeries> }>()
  for (const { deviceId, modelId, timeMs, values } of samples) {
    let device = devices.get(deviceId)
    if (!device) devices.set(deviceId, (device = { modelId, seq: 0, series: new Map() }))
    for (const [signal, value] of Object.entries(values)) {
      let series = device.series.get(signal)
      if (!series) device.series.set(signal, (series = { signal, timesMs: [], seqs: [], values: [] }))
      series.timesMs.push(timeMs)
      series.seqs.push(++device.seq)
      series.values.push(value)
    }
  }
  return [...devices].map(([deviceId, { modelId, seq, series }]) => ({
    deviceId,
    bootId: 'a1b2c3d4',
    modelId,
    fromSeq: 1,
    toSeq: seq,
    receivedSeq: seq,
    series: [...series.values()],
    filtered: 0,
    rejected: [],
  }))
}

/** The comparison's message: temperature, battery, signal strength; 164 bytes of JSON a message. */
function comparisonSamples(devices: number, each: number): Sample[] {
  const random = randomOf('comparison')
  const bases = Array.from({ length: devices }, () => 20 + 5 * random.next())
  return Array.from({ length: devices * each }, (_, index) => {
    const device = index % devices
    const deviceId = `dev-${String(device).padStart(5, '0')}`
    const timeMs = startMs + Math.floor(index / devices) * 1000 + device
    const value = Math.round((bases[device]! + 0.5 * random.normal()) * 1000) / 1000
    const battery = Math.round((3.7 + 0.01 * random.normal()) * 100) / 100
    const rssi = Math.round(-61 + random.normal())
    const json = JSON.stringify({
      deviceId,
      sensorId: 'temperature',
      tsUs: timeMs * 1000,
      seq: index,
      value,
      unit: 'C',
      battery,
      rssi,
      site: 'plant-07',
      fw: '1.4.2',
    })
    return { deviceId, modelId: '', timeMs, values: { temperature: value, battery, rssi }, json }
  })
}

function plantSamples(devices: number, seconds: number): Sample[] {
  const plant = createPlant({ machines: mixedMachines(devices), seed: 'wire' })
  return Array.from({ length: seconds }, (_, second) => second + 1).flatMap((second) =>
    plant.map((machine, index): Sample => {
      const { values } = machine.read(second)
      // No two machines in step, none exactly on its beat.
      const timeMs = startMs + second * 1000 + ((index * 37) % 1000) + ((index * second * 7) % 19)
      return {
        deviceId: machine.deviceId,
        modelId: machine.modelId,
        timeMs,
        values,
        json: JSON.stringify({ time: new Date(timeMs).toISOString(), ...values }),
      }
    }),
  )
}

/** Samples cut into messages of just under the metering unit, as the module fills them. */
function messagesOf(samples: readonly Sample[]): Uint8Array[] {
  const messages: Uint8Array[] = []
  let [from, count] = [0, samples.length]
  while (from < samples.length) {
    const blocks = blocksOf(samples.slice(from, from + count))
    const bytes = encodePackedBatch({ cutAtMs: startMs, blocks }, zlibCompression)
    if (bytes.length > bodyBytesMax && count > 1) {
      count = Math.max(1, Math.floor((count * bodyBytesMax * 0.99) / bytes.length))
      continue
    }
    messages.push(bytes)
    from += count
  }
  return messages
}

export function measureWire(): void {
  const cases = [
    { name: 'comparison, 100 readings of one device', samples: comparisonSamples(1, 100) },
    { name: 'comparison, 100 devices', samples: comparisonSamples(100, 60) },
    { name: 'plant, 24 machines', samples: plantSamples(24, 60) },
    { name: 'plant, 1,000 machines', samples: plantSamples(1_000, 3) },
  ]
  for (const { name, samples } of cases) {
    const signals = samples.reduce((sum, { values }) => sum + Object.keys(values).length, 0)
    const json = samples.reduce((sum, sample) => sum + sample.json.length, 0)
    const packed = messagesOf(samples).reduce((sum, { length }) => sum + length, 0)
    const plain = encodePackedBatch({ cutAtMs: startMs, blocks: blocksOf(samples) }).length
    printRow(
      name,
      `${(packed / samples.length).toFixed(2)} bytes a message of ${(signals / samples.length).toFixed(1)} values (${(packed / signals).toFixed(2)} a value), in units of 4 KB; plain ${(plain / samples.length).toFixed(2)}; JSON ${(json / samples.length).toFixed(0)}`,
    )
  }
  const samples = comparisonSamples(10, 100)
  const readings = samples.length
  const batch = { cutAtMs: startMs, blocks: blocksOf(samples) }
  const [plain, deflated] = [encodePackedBatch(batch), encodePackedBatch(batch, zlibCompression)]
  const ns = compare([
    { name: 'JSON.parse', readings, run: () => samples.forEach(({ json }) => void JSON.parse(json)) },
    { name: 'encode', readings, run: () => void encodePackedBatch(batch) },
    { name: 'decode', readings, run: () => void decodePackedBatch(plain, zlibCompression) },
    { name: 'encode, deflated', readings, run: () => void encodePackedBatch(batch, zlibCompression) },
    { name: 'decode, deflated', readings, run: () => void decodePackedBatch(deflated, zlibCompression) },
  ])
  const parse = ns.get('JSON.parse')!
  const both = (suffix: string) => ns.get(`encode${suffix}`)! + ns.get(`decode${suffix}`)!
  printRow('JSON.parse of one message', `${parse.toFixed(0)} ns`)
  for (const [name, value] of ns)
    if (name !== 'JSON.parse')
      printRow(`packed: ${name}`, `${value.toFixed(0)} ns a message, 1/${(parse / value).toFixed(1)} of JSON.parse`)
  printRow(
    'packed: encode and decode',
    `1/${(parse / both('')).toFixed(1)} of JSON.parse; deflated 1/${(parse / both(', deflated')).toFixed(1)}`,
  )
}
