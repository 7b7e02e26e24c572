/** Numbers every reading of one start of a program: who sent it, in which boot, the how-manieth. */
import { randomUUID } from 'node:crypto'
import { stamp } from '../contract/telemetry/decode.ts'

export type StampedMessage = {
  readonly body: string
  readonly readings: number
  readonly firstSeq: number
  readonly properties: Readonly<Record<string, string>>
}

export type Sample = { readonly timeMs: number; readonly values: Readonly<Record<string, number>> }

export class TelemetryStamp {
  readonly bootId: string
  readonly #modelId: string
  #nextSeq = 1

  constructor(modelId: string, bootId: string = randomUUID().slice(0, 8)) {
    this.#modelId = modelId
    this.bootId = bootId
  }

  /** One message of one or more samples. Calling it publishes, as far as the ledger is concerned: the seqs are used up. */
  message(samples: readonly Sample[]): StampedMessage {
    const rows = samples.map(({ timeMs, values }) => ({ time: new Date(timeMs).toISOString(), ...values }))
    const readings = samples.reduce((count, { values }) => count + Object.keys(values).length, 0)
    const firstSeq = this.#nextSeq
    this.#nextSeq += readings
    const properties = {
      [stamp.bootId]: this.bootId,
      [stamp.seq]: String(firstSeq),
      [stamp.count]: String(readings),
      ...(this.#modelId === '' ? {} : { [stamp.model]: this.#modelId }),
    }
    return { body: JSON.stringify(rows.length === 1 ? rows[0] : rows), readings, firstSeq, properties }
  }
}
