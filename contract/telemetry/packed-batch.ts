/**
 * The packed batch: what the edge sends upstream. Many devices in one message, columns per signal, what was
 * filtered summed up beside what passed; deflated only when that is smaller; version byte first, CRC-32 last.
 *
 *     version:1 flags:1 body crc32:4        flags bit 0: the body is deflated (raw); bit 1: all blocks are judged
 *     body  = cutAtMs, words…, blocks…      words are the names that stand in the blocks, each once
 *     block = deviceId, word bootId, word modelId, fromSeq, toSeq-fromSeq, receivedSeq-toSeq, filtered, series…, rejected…
 */
import { crc32 } from './crc32.ts'
import { filteredFlag, readColumns, readValues, writeColumns, writeValues } from './columns.ts'
import { MalformedTelemetryError } from './malformed.ts'
import { readingCount, telemetryLimits } from './telemetry.ts'
import type { Compression, DeviceBlock, FilteredSummary, RejectedRange, Series } from './telemetry.ts'
import { ByteReader, ByteWriter } from './varint.ts'

export const packedBatchContentType = 'application/vnd.millwright.packed'
const version = 2
const deflatedFlag = 1
const judgedFlag = 2
const headBytes = 2
const frameBytes = headBytes + 4

export type PackedBatch = {
  /** The edge's clock when it closed the batch, milliseconds. */
  readonly cutAtMs: number
  readonly blocks: readonly DeviceBlock[]
}

/** @param compression without it the body stays plain: larger by about a half, and several times cheaper to write and read */
export function encodePackedBatch(batch: PackedBatch, compression?: Pick<Compression, 'deflateRaw'>): Uint8Array {
  const { cutAtMs, blocks } = batch
  const words = wordsOf(batch)
  const flags = blocks.length > 0 && blocks.every((block) => block.isJudged) ? judgedFlag : 0
  const writer = scratch
  writeHead(writer, flags)
  writer.uint(cutAtMs)
  writer.uint(words.size)
  for (const word of words.keys()) writer.text(word)
  writer.uint(blocks.length)
  for (const block of blocks) writeBlock(writer, block, words, cutAtMs)
  if (compression) {
    const deflated = compression.deflateRaw(writer.view(headBytes))
    if (deflated.length < writer.length - headBytes) {
      writeHead(writer, flags | deflatedFlag)
      writer.raw(deflated)
    }
  }
  writer.uint32(crc32(writer.view()))
  return writer.finish()
}

/** One for all batches: they are written in one go each. */
const scratch = new ByteWriter()

function writeHead(writer: ByteWriter, flags: number): void {
  writer.clear()
  writer.byte(version)
  writer.byte(flags)
}

/** Every name of the blocks but the device's own, with its place. */
function wordsOf({ blocks }: PackedBatch): Map<string, number> {
  const words = new Map<string, number>()
  for (const { bootId, modelId, series, rejected } of blocks) {
    addWord(words, bootId)
    addWord(words, modelId)
    for (const { signal } of series) addWord(words, signal)
    for (const { reason } of rejected) addWord(words, reason)
  }
  return words
}

function addWord(words: Map<string, number>, word: string): void {
  if (!words.has(word)) words.set(word, words.size)
}

/** Whether bytes of an unnamed type look like one: JSON begins with a character, not with a version. */
export function isPackedBatch(bytes: Uint8Array): boolean {
  return bytes[0] === version
}

/** @throws MalformedTelemetryError for anything but an undamaged batch within the limits. */
export function decodePackedBatch(bytes: Uint8Array, compression: Compression): PackedBatch {
  if (bytes.length < frameBytes) throw new MalformedTelemetryError('malformed-batch', `only ${bytes.length} bytes`)
  if (bytes[0] !== version) {
    throw new MalformedTelemetryError('malformed-batch', `version ${bytes[0]} of the packed batch, this program reads ${version}`)
  }
  const end = bytes.length - 4
  const expected = new DataView(bytes.buffer, bytes.byteOffset).getUint32(end, true)
  if (crc32(bytes, end) !== expected) throw new MalformedTelemetryError('malformed-batch', 'the checksum does not match')
  const body = bytes.subarray(headBytes, end)
  const plain = bytes[1]! & deflatedFlag ? inflate(body, compression) : body
  const isJudged = (bytes[1]! & judgedFlag) !== 0
  const reader = new ByteReader(plain)
  const cutAtMs = reader.uint()
  const words: string[] = []
  for (let count = reader.count(); count > 0; count--) words.push(reader.text())
  const blocks: DeviceBlock[] = []
  let readings = 0
  for (let count = reader.count(); count > 0; count--) {
    const read = readBlock(reader, words, cutAtMs)
    const block = isJudged ? { ...read, isJudged } : read
    readings += readingCount(block)
    if (readings > telemetryLimits.readingsMax)
      throw new MalformedTelemetryError('too-large', `more than ${telemetryLimits.readingsMax} readings`)
    blocks.push(block)
  }
  if (reader.remaining > 0) throw new MalformedTelemetryError('malformed-batch', `${reader.remaining} bytes after the last block`)
  return { cutAtMs, blocks }
}

function inflate(body: Uint8Array, compression: Compression): Uint8Array {
  try {
    return compression.inflateRaw(body, telemetryLimits.inflatedBytesMax)
  } catch (error) {
    throw new MalformedTelemetryError('malformed-batch', 'the deflated body cannot be inflated within its limit', { cause: error })
  }
}

function writeBlock(writer: ByteWriter, block: DeviceBlock, words: ReadonlyMap<string, number>, baseTimeMs: number): void {
  writer.text(block.deviceId)
  writer.uint(words.get(block.bootId)!)
  writer.uint(words.get(block.modelId)!)
  writer.uint(block.fromSeq)
  writer.uint(block.toSeq + 1 - block.fromSeq)
  writer.uint(block.receivedSeq - block.toSeq)
  writer.uint(block.filtered)
  writer.uint(block.series.length)
  let previousTimesMs: readonly number[] | undefined
  for (const series of block.series) {
    writer.uint(words.get(series.signal)!)
    writeColumns(writer, series, { timeMs: baseTimeMs, seq: block.fromSeq, previousTimesMs }, series.filtered ? filteredFlag : 0)
    if (series.filtered) writeFiltered(writer, series.filtered, baseTimeMs)
    previousTimesMs = series.timesMs
  }
  writer.uint(block.rejected.length)
  for (const range of block.rejected) {
    writer.uint(range.seq)
    writer.uint(range.count)
    writer.uint(words.get(range.reason)!)
  }
}

function writeFiltered(writer: ByteWriter, { count, min, max, mean, lastTimeMs }: FilteredSummary, baseTimeMs: number): void {
  writer.uint(count)
  writer.int(lastTimeMs - baseTimeMs)
  writeValues(writer, [min, max, mean])
}

function readBlock(reader: ByteReader, words: readonly string[], baseTimeMs: number): DeviceBlock {
  const deviceId = reader.text()
  const bootId = readWord(reader, words)
  const modelId = readWord(reader, words)
  const fromSeq = reader.uint()
  const toSeq = fromSeq + reader.uint() - 1
  const receivedSeq = toSeq + reader.uint()
  const filtered = reader.uint()
  const series: Series[] = []
  let previousTimesMs: readonly number[] | undefined
  for (let count = reader.count(); count > 0; count--) {
    const signal = readWord(reader, words)
    if (signal.length > telemetryLimits.signalNameCharsMax)
      throw new MalformedTelemetryError('malformed-batch', 'a signal name is too long')
    const { flags, timesMs, seqs, values } = readColumns(reader, { timeMs: baseTimeMs, seq: fromSeq, previousTimesMs })
    previousTimesMs = timesMs
    series.push(
      flags & filteredFlag
        ? { signal, timesMs, seqs, values, filtered: readFiltered(reader, baseTimeMs) }
        : { signal, timesMs, seqs, values },
    )
  }
  const rejected: RejectedRange[] = []
  for (let count = reader.count(); count > 0; count--) {
    rejected.push({ seq: reader.uint(), count: reader.uint(), reason: readWord(reader, words) })
  }
  return { deviceId, bootId, modelId, fromSeq, toSeq, receivedSeq, series, filtered, rejected }
}

function readWord(reader: ByteReader, words: readonly string[]): string {
  const text = words[reader.uint()]
  if (text === undefined) throw new MalformedTelemetryError('malformed-batch', 'a name is missing')
  return text
}

function readFiltered(reader: ByteReader, baseTimeMs: number): FilteredSummary {
  const count = reader.uint()
  const lastTimeMs = baseTimeMs + reader.int()
  const [min, max, mean] = readValues(reader, 3) as [number, number, number]
  return { count, min, max, mean, lastTimeMs }
}
