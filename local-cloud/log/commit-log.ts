/**
 * A durable log of several partitions in one sequence of segment files. An append is acknowledged when its write has reached the disk;
 * appends that arrive while one write runs share the next (group commit). Only durable records are shown to readers.
 *
 * A torn tail is found by its CRC and cut off when the log is opened. A record's offset is its byte position in the whole
 * log: it never changes, also when old segments are deleted. Nor is the sequence number of a durable record given twice:
 * `ends.ndjson` holds how far partitions had counted whose records have all gone.
 */
import { constants, ftruncateSync } from 'node:fs'
import { open, mkdir, readdir, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { durableFlag, written } from '../../journal/durable-file.ts'
import { DocumentStore } from './document-store.ts'
import { decodeRecord, headerBytes, payloadIn, writeHeader } from './log-record.ts'
import type { Position, Stretch } from './log-record.ts'
import { PartitionIndex } from './partition-index.ts'

const durable = constants.O_RDWR | durableFlag

const retentionEveryMs = 60_000
const segmentsPerAge = 8

/** Of so many records at once, waiting for more gains little. */
const fullGroupCount = 1_000

/** Large enough for a group of a busy hub, small enough to be let go soon by the cache. */
const arenaBytes = 512 * 1024

/** Under load a commit that waits a moment takes many more records along, which costs each of them less. */
const whenBusy = (lastCount: number) => (lastCount >= 32 ? 1 : 0)

export type LogRecord = { readonly sequenceNumber: number; readonly offset: number; readonly enqueuedMs: number; readonly payload: Buffer }

export type CommitLogOptions = {
  readonly directory: string
  readonly partitions: number
  readonly segmentBytesMax?: number
  /** Closed segments are deleted, oldest first, while the log is larger or their newest record is older. */
  readonly retention?: { readonly bytes: number; readonly ageMs: number }
  /** How long the next commit waits for more records, by how many the last one had. */
  readonly gatherMs?: (lastCount: number) => number
  /** The disk has refused a write: what was not written is void, and its sequence numbers will be given again. */
  readonly onFailure?: (error: unknown) => void
  readonly nowMs: () => number
}

/** A disk that refused is tried again after this long. */
const retryMs = 1_000

/** Older records are read so many bytes at once. */
const stretchBytes = 256 * 1024

type SegmentFile = {
  readonly start: number
  readonly path: string
  readonly handle: FileHandle
  readonly openedMs: number
  bytes: number
  newestMs: number
}
/** A payload that is written straight to where it will lie, when its position is known. */
export type LogEntry = { byteLength(position: Position): number; writeTo(target: Buffer, at: number, position: Position): void }

type Pending = {
  readonly buffer: Buffer
  readonly start: number
  readonly end: number
  readonly partition: number
  readonly position: Position
}
/** Records of one commit. They become durable together, so they share one promise. */
type Group = {
  readonly records: Pending[]
  readonly promise: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class CommitLog {
  readonly #options: Required<Omit<CommitLogOptions, 'retention' | 'onFailure'>> & Pick<CommitLogOptions, 'retention' | 'onFailure'>
  readonly #segments: SegmentFile[] = []
  readonly #partitions: PartitionIndex[]
  readonly #nextSequence: number[]
  readonly #ends: DocumentStore<number>
  /** What was read last of each partition. */
  readonly #stretches: (Stretch | undefined)[] = []
  #group = newGroup()
  #lastGroupCount = 0
  /** Records are encoded one behind the other, so that a group is written as it lies. */
  #arena = Buffer.allocUnsafeSlow(arenaBytes)
  #arenaUsed = 0
  #flushing: Promise<void> | undefined
  #retaining: NodeJS.Timeout | undefined
  #tail = 0
  #failure: { readonly error: unknown; readonly atMs: number } | undefined

  private constructor(options: CommitLogOptions, ends: DocumentStore<number>) {
    this.#options = { segmentBytesMax: 64 * 1024 * 1024, gatherMs: whenBusy, ...options }
    this.#ends = ends
    this.#partitions = Array.from({ length: options.partitions }, () => new PartitionIndex())
    this.#nextSequence = this.#partitions.map(() => 0)
  }

  static async open(options: CommitLogOptions): Promise<CommitLog> {
    await mkdir(options.directory, { recursive: true })
    const ends = await DocumentStore.open(join(options.directory, 'ends.ndjson'), (value) => EndSequence.parse(value))
    const log = new CommitLog(options, ends)
    const names = (await readdir(options.directory)).filter((name) => /^\d{16}\.log$/.test(name)).sort()
    for (const name of names) await log.#recover(join(options.directory, name), Number(name.slice(0, 16)), name === names.at(-1))
    if (log.#segments.length === 0) await log.#openSegment(0)
    for (const [partition, index] of log.#partitions.entries()) {
      index.beginAt(ends.get(String(partition)) ?? 0)
      log.#nextSequence[partition] = index.endSequence
    }
    await log.#applyRetention()
    if (options.retention) {
      log.#retaining = setInterval(() => void log.#applyRetention().catch((error: unknown) => log.#fail(error)), retentionEveryMs)
      log.#retaining.unref()
    }
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
   * Appends a record; the entry is told the position it will have. Resolves when it is durable, with a promise that all records
   * of the same commit share.
   * @throws when the disk refuses; trying again after a second helps once it takes again
   */
  append(partition: number, entry: LogEntry | ((position: Position) => Uint8Array)): Promise<void> {
    if (this.#failure && !this.#tryAgain(this.#failure.atMs))
      return Promise.reject(new Error('the log cannot be written, its last write failed', { cause: this.#failure.error }))
    const position = { sequenceNumber: this.#nextSequence[partition]!, offset: this.#tail, enqueuedMs: this.#options.nowMs() }
    const built = typeof entry === 'function' ? entry(position) : undefined
    const payloadBytes = built ? built.length : (entry as LogEntry).byteLength(position)
    this.#nextSequence[partition]!++
    const length = headerBytes + payloadBytes
    const buffer = this.#reserve(length)
    const start = buffer === this.#arena ? this.#arenaUsed : 0
    if (buffer === this.#arena) this.#arenaUsed += length
    if (built) buffer.set(built, start + headerBytes)
    else (entry as LogEntry).writeTo(buffer, start + headerBytes, position)
    writeHeader(buffer, start, partition, position, payloadBytes)
    this.#tail += length
    const { records, promise } = this.#group
    records.push({ buffer, start, end: start + length, partition, position })
    this.#flushing ??= this.#flush()
    return promise
  }

  #reserve(length: number): Buffer {
    if (length > arenaBytes) return Buffer.allocUnsafeSlow(length)
    if (this.#arenaUsed + length > arenaBytes) {
      this.#arena = Buffer.allocUnsafeSlow(arenaBytes)
      this.#arenaUsed = 0
    }
    return this.#arena
  }

  async #flush(): Promise<void> {
    // One turn of the event loop, so that messages of one read share a commit.
    await new Promise<void>((resolve) => setImmediate(resolve))
    while (this.#group.records.length > 0) {
      const waitMs = this.#options.gatherMs(this.#lastGroupCount)
      if (waitMs > 0 && this.#group.records.length < fullGroupCount) await new Promise((resolve) => setTimeout(resolve, waitMs))
      const group = this.#group
      this.#group = newGroup()
      this.#lastGroupCount = group.records.length
      try {
        await this.#write(group.records)
        group.resolve()
        for (const partition of new Set(group.records.map(({ partition }) => partition))) this.#partitions[partition]!.notify()
      } catch (error) {
        this.#fail(error)
        group.reject(error)
        this.#group.reject(error)
        this.#group = newGroup()
      }
    }
    this.#flushing = undefined
  }

  #fail(error: unknown): void {
    this.#failure = { error, atMs: this.#options.nowMs() }
    this.#options.onFailure?.(error)
  }

  /**
   * What was written in part is cut off, as when the log is opened; numbers and offsets go on behind what is durable.
   * @returns whether the log takes records again
   */
  #tryAgain(failedMs: number): boolean {
    if (this.#flushing || this.#options.nowMs() - failedMs < retryMs) return false
    const { handle, start, bytes } = this.#segments.at(-1)!
    try {
      ftruncateSync(handle.fd, bytes)
    } catch (error) {
      this.#fail(error)
      return false
    }
    this.#tail = start + bytes
    for (const [partition, index] of this.#partitions.entries()) this.#nextSequence[partition] = index.endSequence
    this.#failure = undefined
    return true
  }

  async #write(group: Pending[]): Promise<void> {
    let segment = this.#segments.at(-1)!
    // What is to go by its age goes by segments: none may span much of it.
    const { retention, nowMs } = this.#options
    const isOld = retention !== undefined && segment.bytes > 0 && nowMs() - segment.openedMs > retention.ageMs / segmentsPerAge
    if (segment.bytes >= this.#options.segmentBytesMax || isOld) {
      segment = await this.#openSegment(group[0]!.position.offset)
      await this.#applyRetention()
    }
    let at = segment.bytes
    for (let first = 0; first < group.length; ) {
      const { buffer, start } = group[first]!
      let { end } = group[first]!
      let next = first + 1
      for (; group[next]?.buffer === buffer; next++) end = group[next]!.end
      await segment.handle.write(buffer, start, end - start, at)
      at += end - start
      first = next
    }
    await written(segment.handle)
    segment.bytes = at
    segment.newestMs = group.at(-1)!.position.enqueuedMs
    for (const { partition, position, buffer, start, end } of group)
      this.#partitions[partition]!.add(position, buffer, start + headerBytes, end)
  }

  /** From the first record of a partition to where the next one will be; `last` undefined while it is empty. */
  info(partition: number): { beginSequence: number; endSequence: number; last: Position | undefined } {
    const index = this.#partitions[partition]!
    return { beginSequence: index.beginSequence, endSequence: index.endSequence, last: index.last() }
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
      if (index.isHole(sequence)) continue
      const { offset, enqueuedMs } = index.position(sequence)
      let payload = index.cached(sequence)
      if (!payload) {
        // Older records lie near one another in the file: a stretch is read at once, whatever partitions it holds, and
        // serves the next calls, too.
        const stretch = this.#stretches[partition]
        payload = stretch && payloadIn(stretch, offset)
        if (!payload) {
          const fresh = await this.#readStretch(offset)
          this.#stretches[partition] = fresh
          payload = payloadIn(fresh, offset)
        }
        if (!payload) throw new RangeError(`offset ${offset} cannot be read`)
      }
      records.push({ sequenceNumber: sequence, offset, enqueuedMs, payload })
      bytes += payload.length
      if (records.length >= limits.count || bytes >= limits.bytes) break
    }
    return records
  }

  /** Bytes of the log from an offset on: at least the whole record that begins there. */
  async #readStretch(offset: number): Promise<Stretch> {
    const segment = this.#segments.findLast(({ start }) => start <= offset)
    if (!segment) throw new RangeError(`offset ${offset} has expired`)
    const read = async (length: number): Promise<Stretch> => {
      const bytes = Buffer.allocUnsafe(Math.min(length, segment.bytes - (offset - segment.start)))
      await segment.handle.read(bytes, 0, bytes.length, offset - segment.start)
      return { offset, bytes }
    }
    const stretch = await read(stretchBytes)
    const recordBytes = headerBytes + stretch.bytes.readUInt32LE(0)
    return recordBytes <= stretch.bytes.length ? stretch : read(recordBytes)
  }

  async #openSegment(start: number): Promise<SegmentFile> {
    const path = join(this.#options.directory, `${String(start).padStart(16, '0')}.log`)
    const segment = {
      start,
      path,
      handle: await open(path, durable | constants.O_CREAT),
      openedMs: this.#options.nowMs(),
      bytes: 0,
      newestMs: this.#options.nowMs(),
    }
    this.#segments.push(segment)
    return segment
  }

  /** @param isLast a write of its end may have been cut short; what is wrong in a segment before it is damage, and what follows is kept */
  async #recover(path: string, start: number, isLast: boolean): Promise<void> {
    const handle = await open(path, durable)
    const contents = await handle.readFile()
    let position = 0
    let newestMs = 0
    let openedMs: number | undefined
    while (position < contents.length) {
      const record = decodeRecord(contents, position)
      if (!record || record.partition >= this.#partitions.length) break
      const { partition, sequenceNumber, enqueuedMs, payload } = record
      const copy = Buffer.from(payload)
      this.#partitions[partition]!.add({ sequenceNumber, offset: start + position, enqueuedMs }, copy, 0, copy.length)
      openedMs ??= enqueuedMs
      newestMs = enqueuedMs
      position += headerBytes + payload.length
    }
    // Never acknowledged: a write that a crash cut short.
    if (isLast && position < contents.length) await handle.truncate(position)
    this.#segments.push({ start, path, handle, openedMs: openedMs ?? this.#options.nowMs(), bytes: position, newestMs })
    this.#tail = start + position
  }

  async #applyRetention(): Promise<void> {
    const { retention, nowMs } = this.#options
    if (!retention) return
    while (this.#segments.length > 1) {
      const oldest = this.#segments[0]!
      if (this.bytes <= retention.bytes && nowMs() - oldest.newestMs <= retention.ageMs) return
      await this.#dropOldest()
    }
  }

  async #dropOldest(): Promise<void> {
    const { handle, path } = this.#segments.shift()!
    const kept = this.#segments[0]!.start
    for (const index of this.#partitions) index.dropBefore(kept)
    // A partition that is empty now has its count nowhere else.
    await Promise.all(
      this.#partitions.map(async (index, partition) => {
        const name = String(partition)
        if (index.last() === undefined && this.#ends.get(name) !== index.endSequence) await this.#ends.set(name, index.endSequence)
      }),
    )
    await handle.close()
    await unlink(path)
  }

  /** Offset of a record, or of where the next one would be written. */
  offsetOf(partition: number, sequenceNumber: number): number {
    const index = this.#partitions[partition]!
    return sequenceNumber >= index.beginSequence && sequenceNumber < index.endSequence ? index.position(sequenceNumber).offset : this.#tail
  }

  /** Deletes closed segments that lie wholly before an offset nobody needs any more. */
  async dropBefore(offset: number): Promise<void> {
    while (this.#segments.length > 1 && this.#segments[1]!.start <= offset) await this.#dropOldest()
  }

  async close(): Promise<void> {
    clearInterval(this.#retaining)
    await this.#flushing
    for (const { handle } of this.#segments.splice(0)) await handle.close()
    await this.#ends.close()
  }
}

const EndSequence = z.number().int().nonnegative()

function newGroup(): Group {
  let resolve!: () => void
  let reject!: (error: unknown) => void
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  // A group that fails before anybody has joined it fails for nobody.
  promise.catch(() => {})
  return { records: [], promise, resolve, reject }
}
