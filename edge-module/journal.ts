/**
 * Messages taken but not yet handed on. Each is written to the journal before it is acknowledged, by a synchronous
 * write: what has left the process survives its end by `kill -9`; a timer syncs it to the disk for a loss of power.
 *
 *     entry = length:u32 crc:u32 header-length:u32 header(JSON) body
 */
import { closeSync, fdatasync, mkdirSync, openSync, readdirSync, readFileSync, truncateSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { z } from 'zod'

const JournalHeader = z.object({
  deviceId: z.string(),
  contentType: z.string().optional(),
  contentEncoding: z.string().optional(),
  properties: z.record(z.string(), z.string()),
  arrivedMs: z.number(),
})

export type JournalMessage = z.infer<typeof JournalHeader> & { readonly body: Uint8Array }
/** `position` is where the next entry begins. */
export type JournalEntry = { readonly message: JournalMessage; readonly position: number }

const entryHeaderBytes = 12
const entryBytesMax = 1024 * 1024
const fileBytesMaxAtMost = 16 * 1024 * 1024
const syncEveryMs = 50

type JournalFile = { readonly start: number; readonly path: string; bytes: number }

/** The journal holds as much as it may. Taking no more is the only honest answer: the sender keeps it. */
export class JournalFullError extends Error {
  override readonly name = 'JournalFullError'
}

export class Journal {
  readonly #directory: string
  readonly #bytesMax: number
  readonly #fileBytesMax: number
  readonly #files: JournalFile[] = []
  readonly #syncing: NodeJS.Timeout
  #descriptor: number
  #isDirty = false

  /** @param bytesMax of all files together */
  constructor(directory: string, bytesMax: number) {
    this.#directory = directory
    this.#bytesMax = bytesMax
    // Space comes back a file at a time, so several files must fit.
    this.#fileBytesMax = Math.min(fileBytesMaxAtMost, bytesMax / 8)
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
    this.#descriptor = openSync(this.#files.at(-1)!.path, 'a')
    this.#syncing = setInterval(() => this.#sync(), syncEveryMs)
    this.#syncing.unref()
  }

  get end(): number {
    const last = this.#files.at(-1)!
    return last.start + last.bytes
  }

  get bytes(): number {
    return this.#files.reduce((sum, file) => sum + file.bytes, 0)
  }

  /** @returns the position behind the entry @throws JournalFullError, or what the disk says */
  append({ body, ...header }: JournalMessage): number {
    if (this.bytes >= this.#bytesMax) throw new JournalFullError(`the journal holds ${this.bytes} bytes, its limit is ${this.#bytesMax}`)
    const json = Buffer.from(JSON.stringify(header))
    const entry = Buffer.allocUnsafe(entryHeaderBytes + json.length + body.length)
    entry.writeUInt32LE(entry.length, 0)
    entry.writeUInt32LE(json.length, 8)
    json.copy(entry, entryHeaderBytes)
    entry.set(body, entryHeaderBytes + json.length)
    entry.writeUInt32LE(crc32(entry.subarray(8)), 4)
    let file = this.#files.at(-1)!
    if (file.bytes >= this.#fileBytesMax) {
      closeSync(this.#descriptor)
      file = this.#fileAt(this.end)
      this.#files.push(file)
      this.#descriptor = openSync(file.path, 'a')
    }
    writeSync(this.#descriptor, entry)
    file.bytes += entry.length
    this.#isDirty = true
    return this.end
  }

  /** Entries from a position on, oldest first. */
  *read(from: number): Generator<JournalEntry> {
    for (const { start, path, bytes } of this.#files) {
      if (start + bytes <= from) continue
      const contents = readFileSync(path)
      let offset = Math.max(0, from - start)
      while (offset < bytes) {
        const length = contents.readUInt32LE(offset)
        const bodyStart = offset + entryHeaderBytes + contents.readUInt32LE(offset + 8)
        const header = JournalHeader.parse(JSON.parse(contents.subarray(offset + entryHeaderBytes, bodyStart).toString()))
        offset += length
        yield { message: { ...header, body: contents.subarray(bodyStart, offset) }, position: start + offset }
      }
    }
  }

  /** Deletes files that lie wholly before a position. */
  dropBefore(position: number): void {
    while (this.#files.length > 1 && this.#files[1]!.start <= position) unlinkSync(this.#files.shift()!.path)
  }

  #fileAt(start: number): JournalFile {
    const path = join(this.#directory, `${String(start).padStart(16, '0')}.journal`)
    closeSync(openSync(path, 'a'))
    return { start, path, bytes: 0 }
  }

  #sync(): void {
    if (!this.#isDirty) return
    this.#isDirty = false
    fdatasync(this.#descriptor, () => {})
  }

  close(): void {
    clearInterval(this.#syncing)
    closeSync(this.#descriptor)
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
