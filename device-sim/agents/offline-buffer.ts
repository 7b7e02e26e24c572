/**
 * What an agent measured and has not yet been acknowledged, on disk, within a limit in bytes. Readings are numbered when
 * they are taken, so that a program that was killed sends the same numbers again. When there is no more room the oldest
 * give way, and a statement says which: they are expired, not lost.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { Journal, JournalFullError } from '../../journal/journal.ts'
import type { JournalEntry } from '../../journal/journal.ts'
import type { Sample } from '../telemetry-stamp.ts'

const Header = z.object({ bootId: z.string(), seq: z.number().int().positive(), count: z.number().int().positive(), timeMs: z.number() })
type Header = z.infer<typeof Header>
const Values = z.record(z.string(), z.number())

const ExpiredRange = z.object({ bootId: z.string(), seq: z.number(), count: z.number() }).readonly()
export type ExpiredRange = z.infer<typeof ExpiredRange>
const Position = z.object({ position: z.number(), expired: z.array(ExpiredRange) })

/** What to send next: samples of one boot, or a statement of what expired. */
export type NextMessage =
  | {
      readonly kind: 'samples'
      readonly bootId: string
      readonly firstSeq: number
      readonly readings: number
      readonly samples: readonly Sample[]
      readonly position: number
    }
  | { readonly kind: 'expired'; readonly range: ExpiredRange }

export type OfflineBufferOptions = {
  readonly directory: string
  readonly bytesMax: number
  readonly bootId: string
  readonly onTrouble: (error: Error | undefined) => void
}

const samplesPerMessage = 60
const aheadMax = 1_000

export class OfflineBuffer {
  readonly #options: OfflineBufferOptions
  readonly #journal: Journal<Header>
  readonly #positionFile: string
  #nextSeq = 1
  /** Everything before it is acknowledged. */
  #position: number
  #expired: ExpiredRange[]
  #waiting: (() => void)[] = []
  #ahead: JournalEntry<Header>[] = []

  constructor(options: OfflineBufferOptions) {
    this.#options = options
    this.#journal = new Journal({
      directory: join(options.directory, 'buffer'),
      bytesMax: options.bytesMax,
      // Small: a message is read from one of them at a time.
      fileBytesMax: 1_048_576,
      header: Header,
      onCommitted: () => this.#wake(),
      onTrouble: options.onTrouble,
    })
    this.#positionFile = join(options.directory, 'buffer-position.json')
    const stored = readPosition(this.#positionFile)
    this.#position = Math.max(this.#journal.start, Math.min(stored?.position ?? 0, this.#journal.committed))
    this.#expired = stored?.expired ?? this.#beforeJournal()
  }

  /** Nobody knows any more what was given up: what is not here is said to be, and counts where it has not arrived. */
  #beforeJournal(): ExpiredRange[] {
    for (const { header } of this.#journal.read(this.#position))
      return header.seq > 1 ? [{ bootId: header.bootId, seq: 1, count: header.seq - 1 }] : []
    return []
  }

  get bytes(): number {
    return this.#journal.bytes
  }

  /** Numbers a sample and keeps it. @returns how many readings it holds */
  add({ timeMs, values }: Sample): number {
    const count = Object.keys(values).length
    if (count === 0) return 0
    const header: Header = { bootId: this.#options.bootId, seq: this.#nextSeq, count, timeMs }
    const body = Buffer.from(JSON.stringify(values))
    try {
      this.#journal.append(header, body)
    } catch (error) {
      if (!(error instanceof JournalFullError)) throw error
      this.#expireOldest()
      this.#journal.append(header, body)
    }
    this.#nextSeq += count
    return count
  }

  /** Gives up the oldest file; what of it was not acknowledged is remembered as expired. */
  #expireOldest(): void {
    const end = this.#journal.nextFileStart
    // One file alone cannot be given up: the limit is several files by design, so this is not reached in practice.
    if (end === undefined) return
    for (const { header, position } of this.#journal.read(this.#position)) {
      if (position > end) break
      const last = this.#expired.at(-1)
      // Never changed in place: the last one may be on its way.
      if (last && last.bootId === header.bootId && last.seq + last.count === header.seq)
        this.#expired[this.#expired.length - 1] = { ...last, count: last.count + header.count }
      else this.#expired.push({ bootId: header.bootId, seq: header.seq, count: header.count })
    }
    this.#moveTo(end)
    // The statement before the deed: a crash in between states what is still there, and then it is known as said twice.
    this.#save()
    this.#journal.dropBefore(end)
  }

  /** The oldest that is on disk and not acknowledged, undefined when there is none. */
  next(): NextMessage | undefined {
    const range = this.#expired[0]
    if (range) return { kind: 'expired', range }
    this.#readAhead()
    const first = this.#ahead[0]
    if (!first) return undefined
    const { bootId, seq: firstSeq } = first.header
    const isOther = this.#ahead.findIndex(({ header }) => header.bootId !== bootId)
    const entries = this.#ahead.slice(0, Math.min(samplesPerMessage, isOther < 0 ? this.#ahead.length : isOther))
    return {
      kind: 'samples',
      bootId,
      firstSeq,
      readings: entries.reduce((sum, { header }) => sum + header.count, 0),
      samples: entries.map(({ header, body }) => ({
        timeMs: header.timeMs,
        values: Values.parse(JSON.parse(Buffer.from(body).toString())),
      })),
      position: entries.at(-1)!.position,
    }
  }

  /** A file of the journal is read as a whole: many entries at once. */
  #readAhead(): void {
    if (this.#ahead.length > 0) return
    for (const entry of this.#journal.read(this.#position)) if (this.#ahead.push(entry) >= aheadMax) return
  }

  /** The hub has it. */
  acknowledged(message: NextMessage): void {
    if (message.kind === 'expired') this.#expired = this.#expired.flatMap((range) => restOf(range, message.range))
    else this.#moveTo(message.position)
    this.#save()
    this.#journal.dropBefore(this.#position)
  }

  #moveTo(position: number): void {
    this.#position = Math.max(this.#position, position)
    this.#ahead = this.#ahead.filter((entry) => entry.position > this.#position)
  }

  /** Resolves when there may be something to send. */
  async more(signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.next()) return
    await new Promise<void>((resolve) => {
      const wake = () => {
        signal.removeEventListener('abort', wake)
        resolve()
      }
      this.#waiting.push(wake)
      signal.addEventListener('abort', wake)
    })
  }

  /** Resolves when everything added so far is on disk. */
  async written(): Promise<void> {
    const { end } = this.#journal
    while (this.#journal.committed < end) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  /** Not synced, for the sake of memory cards: what a loss of power takes back, or all of it, is sent again under the same numbers. */
  #save(): void {
    writeFileSync(
      `${this.#positionFile}.new`,
      JSON.stringify({ position: this.#position, expired: this.#expired } satisfies z.infer<typeof Position>),
    )
    renameSync(`${this.#positionFile}.new`, this.#positionFile)
  }

  close(): Promise<void> {
    return this.#journal.close()
  }
}

/** What has expired since a statement was sent. */
function restOf(range: ExpiredRange, told: ExpiredRange): ExpiredRange[] {
  if (range.bootId !== told.bootId || range.seq !== told.seq) return [range]
  return range.count > told.count ? [{ ...range, seq: range.seq + told.count, count: range.count - told.count }] : []
}

/** @returns undefined when there is none, or a loss of power has left nothing of it */
function readPosition(path: string): z.infer<typeof Position> | undefined {
  try {
    return Position.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch (error) {
    if (error instanceof z.ZodError || error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
