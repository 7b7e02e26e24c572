/** What a child says, in a file and one older file of the same length at most. A disk that takes no more costs lines, and nothing else. */
import { mkdir, open, rename } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Writable } from 'node:stream'

export class LogFile extends Writable {
  readonly #path: string
  readonly #bytesMax: number
  #handle: FileHandle | undefined
  #bytes = 0

  constructor(path: string, bytesMax: number) {
    super()
    this.#path = path
    this.#bytesMax = bytesMax
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#append(chunk).then(done, async () => {
      await this.#close()
      done()
    })
  }

  override _final(done: () => void): void {
    void this.#close().then(done)
  }

  async #append(chunk: Buffer): Promise<void> {
    const handle = (this.#handle ??= await this.#open())
    if (this.#bytes > 0 && this.#bytes + chunk.length > this.#bytesMax) {
      await this.#close()
      await rename(this.#path, `${this.#path}.old`)
      return this.#append(chunk)
    }
    await handle.appendFile(chunk)
    this.#bytes += chunk.length
  }

  async #open(): Promise<FileHandle> {
    await mkdir(dirname(this.#path), { recursive: true })
    const handle = await open(this.#path, 'a')
    this.#bytes = (await handle.stat()).size
    return handle
  }

  async #close(): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    await handle?.close().catch(() => {})
  }
}
