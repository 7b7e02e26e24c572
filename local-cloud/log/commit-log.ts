/**
 * A durable log of several partitions in one sequence of segment files. An append is acknowledged after fdatasync;
 * appends that arrive while one sync runs share the next (group commit). Only durable records are shown to readers.
 *
 *     record = length:u32 crc:u32 partition:u16 0:u16 enqueuedMs:f64 sequence:f64 payload
 *
 * The CRC covers everything behind it, so a torn tail is found and cut off when the log is opened. A record's offset is
 * its byte position in the whole log: it never changes, also when old segments are deleted.
 */
import { open, mkdir, readdir, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { PartitionIndex } from './partition-index.ts'

const headerBytes = 28
const crcStart = 8
/** Larger than any message of the hub; a length beyond it is damage. */
const recordBytesMax = 8 * 1024 * 1024

export type LogRecord = { readonly sequenceNumber: number; readonly offset: number; readonly enqueuedMs: number; readonly payload: Buffer }
export type Position = { readonly sequenceNumber: number; readonly offset: number; readonly enqueuedMs: number }

export type CommitLogOptions = {
  readonly directory: string
  readonly partitions: number
  readonly segmentBytesMax?: number
  /** Closed segments are deleted, oldest first, while the log is larger or their newest record is older. */
  readonly retention?: { readonly bytes: number; readonly ageMs: number }
  readonly nowMs: () => number
}

type SegmentFile = { readonly start: number; readonly path: string; readonly handle: FileHandle; bytes: number; newestMs: number }
type Pending = {
  readonly record: Buffer
  readonly partition: number
  readonly position: Position
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class CommitLog {
  readonly #options: Required<Omit<CommitLogOptions, 'retention'>> & Pick<CommitLogOptions, 'retention'>
  readonly #segments: SegmentFile[] = []
  readonly #partitions: PartitionIndex[]
  readonly #nextSequence: number[]
  #pending: Pending[] = []
  #flushing: Promise<void> | undefined
  #tail = 0
  #failure: unknown

  private constructor(options: CommitLogOptions) {
    this.#options = { segmentBytesMax: 64 * 1024 * 1024, ...options }
    this.#partitions = Array.from({ length: options.partitions }, () => new PartitionIndex())
    this.#nextSequence = this.#partitions.map(() => 0)
  }

  static async open(options: CommitLogOptions): Promise<CommitLog> {
    const log = new CommitLog(options)
    await mkdir(options.directory, { recursive: true })
    const names = (await readdir(options.directory)).filter((name) => /^\d{16}\.log$/.test(name)).sort()
    for (const name of names) await log.#recover(join(options.directory, name), Number(name.slice(0, 16)))
    if (log.#segments.length === 0) await log.#openSegment(0)
    await log.#applyRetention()
    return log
  }

  get partitionCount(): number {
    return this.#partitions.length
  }

  /** Bytes on disk. */
  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytes, 0)
  }

  /**
   * Appends a record; `build` gets the position it will have. Resolves when it is durable.
   * @throws when the disk refuses: the log then takes nothing more until it is opened again
   */
  append(partition: number, build: (position: Position) => Buffer): Promise<void> {
    if (this.#failure) return Promise.reject(new Error('the log cannot be written, its last write failed', { cause: this.#failure }))
    const position = { sequenceNumber: this.#nextSequence[partition]!++, offset: this.#tail, enqueuedMs: this.#options.nowMs() }
    const record = encodeRecord(partition, position, build(position))
    this.#tail += record.length
    return new Promise((resolve, reject) => {
      this.#pending.push({ record, partition, position, resolve, reject })
      this.#flushing ??= this.#flush()
    })
  }

  async #flush(): Promise<void> {
    // One turn of the event loop, so that messages of one read share a commit.
    await new Promise<void>((resolve) => setImmediate(resolve))
    while (this.#pending.length > 0) {
      const group = this.#pending
      this.#pending = []
      try {
        await this.#write(group)
      } catch (error) {
        this.#failure = error
        for (const { reject } of [...group, ...this.#pending.splice(0)]) reject(error)
      }
    }
    this.#flushing = undefined
  }

  async #write(group: Pending[]): Promise<void> {
    let segment = this.#segments.at(-1)!
    if (segment.bytes >= this.#options.segmentBytesMax) {
      segment = await this.#openSegment(group[0]!.position.offset)
      await this.#applyRetention()
    }
    const bytes = Buffer.concat(group.map(({ record }) => record))
    await segment.handle.write(bytes, 0, bytes.length, segment.bytes)
    await segment.handle.datasync()
    segment.bytes += bytes.length
    segment.newestMs = group.at(-1)!.position.enqueuedMs
    for (const { partition, position, record } of group) this.#partitions[partition]!.add(position, record.subarray(headerBytes))
    for (const { resolve } of group) resolve()
    for (const partition of new Set(group.map(({ partition }) => partition))) this.#partitions[partition]!.notify()
  }

  /** First and last record of a partition; `last` undefined while it is empty. */
  info(partition: number): { beginSequence: number; last: Position | undefined } {
    const index = this.#partitions[partition]!
    return { beginSequence: index.beginSequence, last: index.last() }
  }

  /** Sequence number of the first record at or after an offset, or after a time. */
  sequenceAtOffset(partition: number, offset: number, { inclusive }: { inclusive: boolean }): number {
    return this.#partitions[partition]!.sequenceAtOffset(offset, inclusive)
  }

  sequenceAfterTime(partition: number, timeMs: number): number {
    return this.#partitions[partition]!.sequenceAfterTime(timeMs)
  }

  /** Calls back whenever the partition has grown. @returns what ends that */
  subscribe(partition: number, onGrown: () => void): () => void {
    return this.#partitions[partition]!.subscribe(onGrown)
  }

  /** Durable records from a sequence number on, at least one when there is one. */
  async read(partition: number, fromSequence: number, limits: { count: number; bytes: number }): Promise<LogRecord[]> {
    const index = this.#partitions[partition]!
    const records: LogRecord[] = []
    let bytes = 0
    for (let sequence = Math.max(fromSequence, index.beginSequence); sequence < index.endSequence; sequence++) {
      const position = index.position(sequence)
      const payload = index.cached(sequence) ?? (await this.#readPayload(position.offset))
      records.push({ ...position, payload })
      bytes += payload.length
      if (records.length >= limits.count || bytes >= limits.bytes) break
    }
    return records
  }

  async #readPayload(offset: number): Promise<Buffer> {
    const segment = this.#segments.findLast(({ start }) => start <= offset)
    if (!segment) throw new RangeError(`offset ${offset} has expired`)
    const header = Buffer.alloc(headerBytes)
    await segment.handle.read(header, 0, headerBytes, offset - segment.start)
    const payload = Buffer.alloc(header.readUInt32LE(0))
    await segment.handle.read(payload, 0, payload.length, offset - segment.start + headerBytes)
    return payload
  }

  async #openSegment(start: number): Promise<SegmentFile> {
    const path = join(this.#options.directory, `${String(start).padStart(16, '0')}.log`)
    const handle = await open(path, 'a+')
    // 'a+' creates; positioned writes need 'r+' on Linux, where append mode ignores the position.
    await handle.close()
    const segment = { start, path, handle: await open(path, 'r+'), bytes: 0, newestMs: this.#options.nowMs() }
    this.#segments.push(segment)
    return segment
  }

  async #recover(path: string, start: number): Promise<void> {
    const handle = await open(path, 'r+')
    const contents = await handle.readFile()
    let position = 0
    let newestMs = 0
    while (position < contents.length) {
      const record = decodeRecord(contents, position)
      if (!record || record.partition >= this.#partitions.length) break
      const { partition, sequenceNumber, enqueuedMs, payload } = record
      this.#partitions[partition]!.add({ sequenceNumber, offset: start + position, enqueuedMs }, Buffer.from(payload))
      this.#nextSequence[partition] = sequenceNumber + 1
      newestMs = enqueuedMs
      position += headerBytes + payload.length
    }
    // What follows was never acknowledged: a write that a crash cut short.
    if (position < contents.length) await handle.truncate(position)
    this.#segments.push({ start, path, handle, bytes: position, newestMs })
    this.#tail = start + position
  }

  async #applyRetention(): Promise<void> {
    const { retention, nowMs } = this.#options
    if (!retention) return
    while (this.#segments.length > 1) {
      const oldest = this.#segments[0]!
      if (this.bytes <= retention.bytes && nowMs() - oldest.newestMs <= retention.ageMs) return
      this.#segments.shift()
      const kept = this.#segments[0]!.start
      for (const index of this.#partitions) index.dropBefore(kept)
      await oldest.handle.close()
      await unlink(oldest.path)
    }
  }

  /** Offset of a record, or of where the next one would be written. */
  offsetOf(partition: number, sequenceNumber: number): number {
    const index = this.#partitions[partition]!
    return sequenceNumber >= index.beginSequence && sequenceNumber < index.endSequence ? index.position(sequenceNumber).offset : this.#tail
  }

  /** Deletes closed segments that lie wholly before an offset nobody needs any more. */
  async dropBefore(offset: number): Promise<void> {
    while (this.#segments.length > 1 && this.#segments[1]!.start <= offset) {
      const oldest = this.#segments.shift()!
      for (const index of this.#partitions) index.dropBefore(this.#segments[0]!.start)
      await oldest.handle.close()
      await unlink(oldest.path)
    }
  }

  async close(): Promise<void> {
    await this.#flushing
    for (const { handle } of this.#segments.splice(0)) await handle.close()
  }
}

function encodeRecord(partition: number, { sequenceNumber, enqueuedMs }: Position, payload: Buffer): Buffer {
  const record = Buffer.allocUnsafe(headerBytes + payload.length)
  record.writeUInt32LE(payload.length, 0)
  record.writeUInt16LE(partition, 8)
  record.writeUInt16LE(0, 10)
  record.writeDoubleLE(enqueuedMs, 12)
  record.writeDoubleLE(sequenceNumber, 20)
  payload.copy(record, headerBytes)
  record.writeUInt32LE(crc32(record.subarray(crcStart)), 4)
  return record
}

function decodeRecord(contents: Buffer, position: number) {
  if (position + headerBytes > contents.length) return undefined
  const length = contents.readUInt32LE(position)
  const end = position + headerBytes + length
  if (length > recordBytesMax || end > contents.length) return undefined
  if (crc32(contents.subarray(position + crcStart, end)) !== contents.readUInt32LE(position + 4)) return undefined
  return {
    partition: contents.readUInt16LE(position + 8),
    enqueuedMs: contents.readDoubleLE(position + 12),
    sequenceNumber: contents.readDoubleLE(position + 20),
    payload: contents.subarray(position + headerBytes, end),
  }
}
