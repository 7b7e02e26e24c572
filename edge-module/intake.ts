/**
 * Takes messages from the gateway: journal first, then acknowledge. What the journal has no room for waits here,
 * unacknowledged, and the gateway keeps it.
 */
import { join } from 'node:path'
import type iot from 'azure-iot-device'
import { z } from 'zod'
import { Journal } from '../journal/journal.ts'
import type { TelemetryMessage } from '../contract/telemetry/decode.ts'

const JournalHeader = z.object({
  deviceId: z.string(),
  contentType: z.string().optional(),
  contentEncoding: z.string().optional(),
  properties: z.record(z.string(), z.string()),
  arrivedMs: z.number(),
})
type JournalHeader = z.infer<typeof JournalHeader>

export type TakenMessage = { readonly message: TelemetryMessage; /** Behind it, in the journal. */ readonly position: number }

export type IntakeOptions = {
  readonly directory: string
  readonly bytesMax: number
  readonly nowMs: () => number
  /** Acknowledges to the gateway. */
  readonly complete: (message: iot.Message) => void
  /** A message is in the journal's hands, not necessarily on disk yet. */
  readonly onTaken: (taken: TakenMessage) => void
  readonly onTrouble: (reason: 'journal-full' | 'disk', error: Error | undefined) => void
}

export class Intake {
  readonly #options: IntakeOptions
  readonly #journal: Journal<JournalHeader>
  /** Taken, not yet on disk; in order. */
  readonly #unacknowledged: { readonly message: iot.Message; readonly position: number }[] = []
  /** Came while the journal was full. The gateway's window bounds them. */
  readonly #refused: iot.Message[] = []
  readonly #waiting: (() => void)[] = []
  #isFull = false

  constructor(options: IntakeOptions) {
    this.#options = options
    this.#journal = new Journal({
      directory: join(options.directory, 'journal'),
      bytesMax: options.bytesMax,
      header: JournalHeader,
      onCommitted: (position) => this.#acknowledge(position),
      onTrouble: (error) => options.onTrouble('disk', error),
    })
  }

  get start(): number {
    return this.#journal.start
  }

  get committed(): number {
    return this.#journal.committed
  }

  /** Behind the last message taken, on disk or not. */
  get end(): number {
    return this.#journal.end
  }

  get bytes(): number {
    return this.#journal.bytes
  }

  /** Resolves when more is on disk. */
  progress(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  get isFull(): boolean {
    return this.#isFull
  }

  take(message: iot.Message): void {
    if (this.#refused.length > 0 || this.#journal.isFull) {
      this.#refused.push(message)
      if (!this.#isFull) this.#options.onTrouble('journal-full', new Error(`the journal holds ${this.#journal.bytes} bytes`))
      this.#isFull = true
      return
    }
    const header = headerOf(message, this.#options.nowMs())
    const body = message.getBytes()
    const position = this.#journal.append(header, body)
    this.#unacknowledged.push({ message, position })
    this.#options.onTaken({ message: telemetryOf(header, body), position })
  }

  /** Messages on disk from a position on. */
  *read(from: number): Generator<TakenMessage, undefined> {
    for (const { header, body, position } of this.#journal.read(from)) yield { message: telemetryOf(header, body), position }
    return undefined
  }

  /** Everything before the position has gone its way. */
  release(position: number): void {
    this.#journal.dropBefore(position)
    if (!this.#isFull || this.#journal.isFull) return
    this.#isFull = false
    this.#options.onTrouble('journal-full', undefined)
    for (const message of this.#refused.splice(0)) this.take(message)
  }

  #acknowledge(position: number): void {
    const { complete } = this.#options
    let count = 0
    while (count < this.#unacknowledged.length && this.#unacknowledged[count]!.position <= position)
      complete(this.#unacknowledged[count++]!.message)
    this.#unacknowledged.splice(0, count)
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  close(): Promise<void> {
    return this.#journal.close()
  }
}

function headerOf(message: iot.Message, arrivedMs: number): JournalHeader {
  const properties: Record<string, string> = {}
  for (let index = 0; index < message.properties.count(); index++) {
    const { key, value } = message.properties.getItem(index)
    properties[key] = value
  }
  // edgeHub tells the sender it authenticated as system properties.
  const { '$.cdid': deviceId = '', '$.cmid': _module, ...application } = properties
  const { contentType, contentEncoding } = message as { contentType?: string; contentEncoding?: string }
  return {
    deviceId,
    ...(contentType === undefined ? {} : { contentType }),
    ...(contentEncoding === undefined ? {} : { contentEncoding }),
    properties: application,
    arrivedMs,
  }
}

function telemetryOf({ deviceId, contentType, contentEncoding, properties, arrivedMs }: JournalHeader, body: Uint8Array): TelemetryMessage {
  return { body, contentType, contentEncoding, deviceId, moduleId: undefined, properties, arrivedMs }
}
