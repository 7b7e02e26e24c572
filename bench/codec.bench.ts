/** What a packed reading costs beside JSON: CPU to encode and decode, and bytes on the wire. */
import { zlibCompression } from '../cloud-functions/hot-path/compression.ts'
import { decodePackedBatch, encodePackedBatch } from '../contract/telemetry/packed-batch.ts'
import type { DeviceBlock } from '../contract/telemetry/telemetry.ts'
import { createPlant, mixedMachines } from '../device-sim/plant.ts'
import { compare, printHeader, printRow } from './measure.ts'

const startMs = 1_700_000_000_000
const [devices, seconds] = [24, 10]

/** Ten seconds of a plant, everything passed: the case before any filter. */
function plantBlocks(): { blocks: DeviceBlock[]; messages: string[] } {
  const messages: string[] = []
  const blocks = createPlant({ machines: mixedMachines(devices), seed: 'bench' }).map((machine): DeviceBlock => {
    const series = new Map<string, { signal: string; timesMs: number[]; seqs: number[]; values: number[] }>()
    let seq = 0
    for (let second = 1; second <= seconds; second++) {
      const { values } = machine.read(second)
      messages.push(JSON.stringify({ time: new Date(startMs + second * 1000).toISOString(), ...values }))
      for (const [signal, value] of Object.entries(values)) {
        let columns = series.get(signal)
        if (!columns) series.set(signal, (columns = { signal, timesMs: [], seqs: [], values: [] }))
        columns.timesMs.push(startMs + second * 1000)
        columns.seqs.push(++seq)
        columns.values.push(value)
      }
    }
    return {
      deviceId: machine.deviceId,
      bootId: 'a1b2c3d4',
      modelId: machine.modelId,
      fromSeq: 1,
      toSeq: seq,
      receivedSeq: seq,
      series: [...series.values()],
      filtered: 0,
      rejected: [],
    }
  })
  return { blocks, messages }
}

const { blocks, messages } = plantBlocks()
const readings = blocks.reduce((sum, { toSeq }) => sum + toSeq, 0)
const batch = { cutAtMs: startMs + seconds * 1000, blocks }
const packed = encodePackedBatch(batch, zlibCompression)
const ns = compare([
  { name: 'JSON.parse', readings, run: () => messages.forEach((message) => void JSON.parse(message)) },
  { name: 'decode', readings, run: () => void decodePackedBatch(packed, zlibCompression) },
  { name: 'encode', readings, run: () => void encodePackedBatch(batch, zlibCompression) },
])

printHeader(`Packed batch: ${devices} machines, ${seconds} s, ${readings} readings, nothing filtered`)
printRow('wire, packed', `${(packed.length / readings).toFixed(2)} bytes a reading`)
printRow(
  'wire, JSON, one message a sample',
  `${(messages.reduce((sum, { length }) => sum + length, 0) / readings).toFixed(2)} bytes a reading`,
)
printRow('JSON.parse', `${ns.get('JSON.parse')!.toFixed(0)} ns a reading`)
printRow(
  'packed, decode with checksum and limits',
  `${ns.get('decode')!.toFixed(0)} ns a reading, ${(ns.get('decode')! / ns.get('JSON.parse')!).toFixed(2)} × JSON.parse`,
)
printRow(
  'packed, encode with deflate',
  `${ns.get('encode')!.toFixed(0)} ns a reading, ${(ns.get('encode')! / ns.get('JSON.parse')!).toFixed(2)} × JSON.parse`,
)
