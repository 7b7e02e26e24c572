/**
 * Messages on disk between two processes: what is appended is committed together with all that came meanwhile, by one
 * write that returns when the disk has it, and only then acknowledged. Positions rise for ever; space comes
 * back a file at a time.
 *
 *     entry = length:u32 crc:u32 header-length:u32 header(JSON) body
 */
import { closeSync, constants, mkdirSync, openSync, readdirSync, readFileSync, truncateSync, unlinkSync } from 'node:fs'
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { z } from 'zod'
import { durableFlag, syncFolder, written } from './durable-file.ts'

/** `position` is where the next entry begins. */
export type JournalEntry<Header> = { readonly header: Header; readonly body: Uint8Array; readonly position: number }

export type JournalOptions<Header> = {
  readonly directory: string
  /** Of all files together. */
  readonly bytesMax: number
  /** Of one file: space comes back a file at a time. */
  readonly fileBytesMax?: number
  readonly header: z.ZodType<Header>
  /** Everything before the position is on disk. */
  readonly onCommitted: (position: number) => void
  /** The disk refuses, or takes again (undefined). Nothing is acknowledged in between; the journal tries on by itself. */
  readonly onTrouble: (error: Error | undefined) => void
}

const entryHeaderBytes = 12
const entryBytesMax = 1024 * 1024
const fileBytesMaxAtMost = 16 * 1024 * 1024
/** How long an entry waits for others before it is written. Beside a disk's own millisecond this is little. */
const gatherMs = 10
const retryMs = 500

type JournalFile = { readonly start: number; readonly path: string; bytes: number }

/** The journal holds as much as it may. Taking no more is the only honest answer: the sender keeps it. */
export class JournalFullError extends Error {
  override readonly name = 'JournalFullError'
}

export class Journal<Header> {
  readonly #options: JournalOptions<Header>
  readonly #fileBytesMax: number
  readonly #files: JournalFile[] = []
  /** Appended, not yet on disk. */
  #pending: Buffer[] = []
  #pendingBytes = 0
  #handle: FileHandle | undefined
  #committing: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #trouble: Error | undefined
  #isClosed = false

  constructor(options: JournalOptions<Header>) {
    const { directory, bytesMax } = options
    this.#options = options
    // Space comes back a file at a time, so several files must fit.
    this.#fileBytesMax = Math.min(options.fileBytesMax ?? fileBytesMaxAtMost, bytesMax / 8)
    mkdirSync(directory, { recursive: true })
    for (const name of readdirSync(directory)
      .filter((file) => /^\d{16}\.journal$/.test(file))
      .sort()) {
      const path = join(directory, name)
      const contents = readFileSync(path)
      const end = validEnd(contents)
      // A write that a crash cut short was never acknowledged.
      if (end < contents.length) truncateSync(path, end)
      this.#files.push({ start: Number(name.slice(0, 16)), path, bytes: end })
    }
    if (this.#files.length === 0) this.#files.push(this.#fileAt(0))
  }

  /** Behind the last entry on disk. */
  get committed(): number {
    const last = this.#files.at(-1)!
    return last.start + last.bytes
  }

  /** Behind the last entry appended. */
  get end(): number {
    return this.committed + this.#pendingBytes
  }

  get start(): number {
    return this.#files[0]!.start
  }

  /** Bytes kept, those not yet written included. */
  get bytes(): number {
    return this.#pendingBytes + this.#files.reduce((sum, file) => sum + file.bytes, 0)
  }

  get isFull(): boolean {
    return this.bytes >= this.#options.bytesMax
  }

  /** @returns the position behind the entry, which is on disk when `onCommitted` has told so @throws JournalFullError */
  append(header: Header, body: Uint8Array): number {
    if (this.isFull) throw new JournalFullError(`the journal holds ${this.bytes} bytes, its limit is ${this.#options.bytesMax}`)
    const json = Buffer.from(JSON.stringify(header))
    const entry = Buffer.allocUnsafe(entryHeaderBytes + json.length + body.length)
    entry.writeUInt32LE(entry.length, 0)
    entry.writeUInt32LE(json.length, 8)
    json.copy(entry, entryHeaderBytes)
    entry.set(body, entryHeaderBytes + json.length)
    entry.writeUInt32LE(crc32(entry.subarray(8)), 4)
    this.#pending.push(entry)
    this.#pendingBytes += entry.length
    if (!this.#committing) this.#timer ??= setTimeout(() => this.#commit(), gatherMs)
    return this.end
  }

  #commit(): void {
    this.#timer = undefined
    this.#committing ??= this.#write()
      .then(
        () => this.#settle(undefined),
        (error: Error) => this.#settle(error),
      )
      .finally(() => {
        this.#committing = undefined
        if (this.#pending.length > 0 && !this.#isClosed)
          this.#timer ??= setTimeout(() => this.#commit(), this.#trouble ? retryMs : gatherMs)
      })
  }

  #settle(error: Error | undefined): void {
    if (error?.message !== this.#trouble?.message) this.#options.onTrouble(error)
    this.#trouble = error
    if (!error) this.#options.onCommitted(this.committed)
  }

  async #write(): Promise<void> {
    let file = this.#files.at(-1)!
    if (file.bytes >= this.#fileBytesMax) {
      await this.#handle?.close()
      this.#handle = undefined
      file = this.#fileAt(file.start + file.bytes)
      this.#files.push(file)
    }
    const entries = this.#pending.length
    const bytes = entries === 1 ? this.#pending[0]! : Buffer.concat(this.#pending)
    try {
      this.#handle ??= await open(file.path, constants.O_WRONLY | constants.O_CREAT | durableFlag)
      let taken = 0
      while (taken < bytes.length) taken += (await this.#handle.write(bytes, taken, bytes.length - taken, file.bytes + taken)).bytesWritten
      await written(this.#handle)
    } catch (error) {
      // What was written of it is cut off by the next write, or by the check at the next start.
      await this.#handle?.close().catch(() => {})
      this.#handle = undefined
      throw error
    }
    file.bytes += bytes.length
    this.#pendingBytes -= bytes.length
    this.#pending.splice(0, entries)
  }

  /** Entries on disk from a position on, oldest first. */
  *read(from: number): Generator<JournalEntry<Header>> {
    for (const { start, path, bytes } of [...this.#files]) {
      if (start + bytes <= from) continue
      const contents = readFileSync(path)
      let offset = Math.max(0, from - start)
      while (offset < bytes) {
        const length = contents.readUInt32LE(offset)
        const bodyStart = offset + entryHeaderBytes + contents.readUInt32LE(offset + 8)
        const header = this.#options.header.parse(JSON.parse(contents.subarray(offset + entryHeaderBytes, bodyStart).toString()))
        offset += length
        yield { header, body: contents.subarray(bodyStart, offset), position: start + offset }
      }
    }
  }

  /** Deletes files that lie wholly before a position. */
  dropBefore(position: number): void {
    while (this.#files.length > 1 && this.#files[1]!.start <= position) unlinkSync(this.#files.shift()!.path)
  }

  /** Where the second file begins: what `dropBefore` would free next. Undefined while there is one file. */
  get nextFileStart(): number | undefined {
    return this.#files[1]?.start
  }

  #fileAt(start: number): JournalFile {
    const { directory } = this.#options
    const path = join(directory, `${String(start).padStart(16, '0')}.journal`)
    closeSync(openSync(path, 'a'))
    // The name must outlive a loss of power, too.
    syncFolder(directory)
    return { start, path, bytes: 0 }
  }

  /** Writes what is pending, if the disk takes it. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.#committing
    if (this.#pending.length > 0 && !this.#trouble) {
      this.#commit()
      await this.#committing
    }
    await this.#handle?.close()
  }
}

function validEnd(contents: Buffer): number {
  let offset = 0
  while (offset + entryHeaderBytes <= contents.length) {
    const length = contents.readUInt32LE(offset)
    if (length < entryHeaderBytes || length > entryBytesMax || offset + length > contents.length) break
    if (crc32(contents.subarray(offset + 8, offset + length)) !== contents.readUInt32LE(offset + 4)) break
    offset += length
  }
  return offset
}
