/**
 * Small documents that must survive `kill -9`: all in memory, every change a line of JSON in a journal that is synced
 * before the change is acknowledged, rewritten when it is opened and whenever most of its lines are out of date.
 */
import { mkdir, open, readFile, rename, writeFile } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { syncFolder } from '../../journal/durable-file.ts'

export class DocumentStore<Document> {
  readonly #documents: Map<string, Document>
  readonly #path: string
  #file: FileHandle | undefined
  /** Lines in the journal, from the last rewriting on. */
  #linesWritten = 0
  #waiting: { readonly line: string; readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = []
  #flushing: Promise<void> | undefined
  /** The last write failed, and may have left half a line. */
  #isTorn = false

  private constructor(path: string, documents: Map<string, Document>) {
    this.#path = path
    this.#documents = documents
  }

  /** @param parse checks a document read back */
  static async open<Document>(path: string, parse: (value: unknown) => Document): Promise<DocumentStore<Document>> {
    await mkdir(dirname(path), { recursive: true })
    const documents = new Map<string, Document>()
    for (const line of (await readIfThere(path)).split('\n')) {
      if (line === '') continue
      let entry: [string, unknown]
      try {
        entry = JSON.parse(line) as [string, unknown]
      } catch {
        // A line that a crash or a full disk cut short was never acknowledged.
        continue
      }
      if (entry[1] === null) documents.delete(entry[0])
      else documents.set(entry[0], parse(entry[1]))
    }
    await rewrite(path, documents)
    return new DocumentStore(path, documents)
  }

  get(key: string): Document | undefined {
    return this.#documents.get(key)
  }

  entries(): IterableIterator<[string, Document]> {
    return this.#documents.entries()
  }

  get size(): number {
    return this.#documents.size
  }

  /** Readers see the change at once; the promise resolves when it is durable. */
  set(key: string, document: Document): Promise<void> {
    this.#documents.set(key, document)
    return this.#journal(`${JSON.stringify([key, document])}\n`)
  }

  delete(key: string): Promise<void> {
    if (!this.#documents.delete(key)) return Promise.resolve()
    return this.#journal(`${JSON.stringify([key, null])}\n`)
  }

  #journal(line: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ line, resolve, reject })
      this.#flushing ??= this.#flush()
    })
  }

  async #flush(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve))
    while (this.#waiting.length > 0) {
      const group = this.#waiting
      this.#waiting = []
      try {
        const lines = group.map(({ line }) => line).join('')
        this.#file ??= await open(this.#path, 'a')
        await this.#file.appendFile(this.#isTorn ? `\n${lines}` : lines)
        await this.#file.datasync()
        this.#isTorn = false
        this.#linesWritten += group.length
        if (this.#linesWritten > linesMaxAtLeast && this.#linesWritten > 4 * this.#documents.size) await this.#compact()
        for (const { resolve } of group) resolve()
      } catch (error) {
        this.#isTorn = true
        for (const { reject } of group) reject(error)
      }
    }
    this.#flushing = undefined
  }

  /** Changes made while this runs are in the new file already and again in its journal: the same, twice. */
  async #compact(): Promise<void> {
    // Windows renames nothing over a file that is open.
    await this.#file?.close()
    this.#file = undefined
    await rewrite(this.#path, this.#documents)
    this.#linesWritten = 0
  }

  async close(): Promise<void> {
    await this.#flushing
    await this.#file?.close()
  }
}

/** A journal is rewritten when it is longer than this and mostly out of date. */
const linesMaxAtLeast = 2_000

async function rewrite<Document>(path: string, documents: Map<string, Document>): Promise<void> {
  await writeFile(`${path}.new`, [...documents].map((entry) => `${JSON.stringify(entry)}\n`).join(''), { flush: true })
  await rename(`${path}.new`, path)
  syncFolder(dirname(path))
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}
