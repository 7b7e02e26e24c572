/**
 * Telemetry as any existing device sends it: an object of numbers with an optional time, or an array of such.
 * Objects inside are flattened with dots (`machine.temperature`); text, booleans and nulls are not readings.
 */
import { MalformedTelemetryError } from './malformed.ts'
import type { Series } from './telemetry.ts'
import { telemetryLimits } from './telemetry.ts'

/** Names under which devices put the time of a reading. */
const timeKeys = new Set(['time', 'timestamp', 'ts', 'timeCreated', 'eventTime'])
const depthMax = 4
const nonFiniteText = /^[+-]?(nan|inf(inity)?)$/i

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** Parses bytes as JSON. @throws MalformedTelemetryError */
export function parseJson(body: Uint8Array): unknown {
  let text: string
  try {
    text = utf8.decode(body)
  } catch (error) {
    throw new MalformedTelemetryError('not-json', 'the body is not UTF-8', { cause: error })
  }
  try {
    return JSON.parse(text)
  } catch (error) {
    // Many languages print a float's NaN into their "JSON": say so, because it is a sensor problem, not a format problem.
    if (/[[:,]\s*[+-]?(NaN|nan|Infinity|inf)\s*[\],}]/.test(text)) {
      throw new MalformedTelemetryError('not-finite', 'a value is NaN or infinite', { cause: error })
    }
    throw new MalformedTelemetryError('not-json', `the body is not JSON: ${text.slice(0, 80)}`, { cause: error })
  }
}

/**
 * Readings of a JSON message, numbered from `firstSeq` in the order they stand in the body.
 * @param arrivedMs the time of readings that carry none
 */
export function decodeJsonTelemetry(body: Uint8Array, { firstSeq, arrivedMs }: { firstSeq: number; arrivedMs: number }): Series[] {
  const parsed = parseJson(body)
  const rows = Array.isArray(parsed) ? parsed : [parsed]
  const collector = new SeriesCollector(firstSeq)
  for (const row of rows) {
    if (!isObject(row))
      throw new MalformedTelemetryError('not-telemetry', `expected an object of numbers, got ${JSON.stringify(row)?.slice(0, 80)}`)
    collectNumbers(row, timeOf(row) ?? arrivedMs, '', collector, 1)
  }
  if (collector.count === 0) throw new MalformedTelemetryError('not-telemetry', 'the message holds no number')
  return collector.finish()
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function timeOf(row: Record<string, unknown>): number | undefined {
  for (const key of timeKeys) {
    const value = row[key]
    if (value === undefined || value === null) continue
    const time = typeof value === 'number' ? epochToMs(value) : typeof value === 'string' ? Date.parse(value) : Number.NaN
    // 1970 and 2200: beyond these a clock or a unit is wrong, not merely late.
    if (!(time > 0 && time < 7_258_118_400_000)) {
      throw new MalformedTelemetryError('impossible-time', `'${key}' is ${JSON.stringify(value)}`)
    }
    return Math.round(time)
  }
  return undefined
}

/** Devices send seconds, milliseconds or microseconds; their magnitudes do not overlap for dates after 1973. */
export function epochToMs(epoch: number): number {
  if (epoch > 1e14) return epoch / 1000
  return epoch > 1e11 ? epoch : epoch * 1000
}

function collectNumbers(row: Record<string, unknown>, timeMs: number, prefix: string, collector: SeriesCollector, depth: number): void {
  for (const [key, value] of Object.entries(row)) {
    if (prefix === '' && timeKeys.has(key)) continue
    if (typeof value === 'number') {
      collector.add(prefix + key, timeMs, value)
    } else if (typeof value === 'string' && nonFiniteText.test(value)) {
      throw new MalformedTelemetryError('not-finite', `'${prefix}${key}' is ${value}`)
    } else if (isObject(value) && depth < depthMax) {
      collectNumbers(value, timeMs, `${prefix}${key}.`, collector, depth + 1)
    }
  }
}

type GrowingSeries = { signal: string; timesMs: number[]; seqs: number[]; values: number[]; unit?: string }

/** Sorts readings into series while numbering them in the order they come. */
export class SeriesCollector {
  readonly #series = new Map<string, GrowingSeries>()
  readonly #firstSeq: number
  count = 0

  constructor(firstSeq: number) {
    this.#firstSeq = firstSeq
  }

  /** A signal that changes its unit within one message is as many series. */
  add(signal: string, timeMs: number, value: number, unit?: string): void {
    if (!Number.isFinite(value)) throw new MalformedTelemetryError('not-finite', `'${signal.slice(0, 80)}' is ${value}`)
    if (signal.length === 0 || signal.length > telemetryLimits.signalNameCharsMax) {
      throw new MalformedTelemetryError('not-telemetry', `a signal name has ${signal.length} characters`)
    }
    if (this.count >= telemetryLimits.readingsMax)
      throw new MalformedTelemetryError('too-large', `more than ${telemetryLimits.readingsMax} readings`)
    const key = unit === undefined ? signal : `${signal}\n${unit}`
    let series = this.#series.get(key)
    if (!series) this.#series.set(key, (series = { signal, timesMs: [], seqs: [], values: [], ...(unit === undefined ? {} : { unit }) }))
    series.timesMs.push(timeMs)
    series.seqs.push(this.#firstSeq + this.count++)
    series.values.push(value)
  }

  finish(): Series[] {
    return [...this.#series.values()]
  }
}
