/**
 * Recorded readings as a file, read and written as a stream: CSV (a time column, columns of numbers, and for several
 * devices a column `device`) or NDJSON (`{"time": …, "device": …, "signal": number, …}` a line).
 */
import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import type { WriteStream } from 'node:fs'
import { pipeline } from 'node:stream'
import { parse } from 'csv-parse'
import { z } from 'zod'
import { errorText } from '../../contract/error-text.ts'
import { epochToMs } from '../../contract/telemetry/json.ts'
import type { Sample } from '../telemetry-stamp.ts'
import { linesOf } from './lines.ts'

/** A file that is no recording. Trying again cannot help. */
export class MalformedRecordingError extends Error {
  override readonly name = 'MalformedRecordingError'
}

/** A sample, and whose: undefined where the recording does not say. */
export type RecordedSample = Sample & { readonly deviceId: string | undefined; readonly modelId: string | undefined }

const timeColumn = /^(timestamp|time|ts|date|datetime)$/i
/** The column that holds the times, by the names that recordings have for it. */
export const timeColumnOf = (names: readonly string[]) => names.find((name) => timeColumn.test(name))
const deviceColumn = /^(device|deviceId|device_id)$/i
const modelColumn = /^(model|modelId)$/i

const isNdjson = (file: string) => /\.(ndjson|jsonl)$/i.test(file)

/** Samples in file order. What is no number is left out; a row without a time stops the reading. @throws MalformedRecordingError */
export async function* readRecording(file: string): AsyncGenerator<RecordedSample> {
  let isEmpty = true
  let rowNumber = isNdjson(file) ? 0 : 1
  for await (const row of isNdjson(file) ? ndjsonRows(file) : csvRows(file, { relax_column_count: true })) {
    rowNumber++
    const names = Object.keys(row)
    const timeName = timeColumnOf(names)
    if (timeName === undefined)
      throw new MalformedRecordingError(`'${file}' line ${rowNumber} has no column named timestamp; it has ${names.join(', ')}`)
    const timeMs = parseTime(String(row[timeName] ?? ''))
    if (timeMs === undefined) throw new MalformedRecordingError(`'${file}' line ${rowNumber}: '${String(row[timeName])}' is no time`)
    const deviceName = names.find((name) => deviceColumn.test(name))
    const modelName = names.find((name) => modelColumn.test(name))
    const values: Record<string, number> = {}
    for (const [name, cell] of Object.entries(row)) {
      const value = cell === '' || cell === null || typeof cell === 'boolean' ? Number.NaN : Number(cell)
      if (name !== timeName && name !== deviceName && name !== modelName && Number.isFinite(value)) values[name] = value
    }
    if (Object.keys(values).length === 0) continue
    isEmpty = false
    yield { timeMs, values, deviceId: textOf(row, deviceName), modelId: textOf(row, modelName) }
  }
  if (isEmpty) throw new MalformedRecordingError(`'${file}' holds no readings: a line has a time and at least one number`)
}

function textOf(row: Record<string, unknown>, name: string | undefined): string | undefined {
  const value = name === undefined ? undefined : row[name]
  return typeof value === 'string' && value !== '' ? value : undefined
}

/**
 * Rows of a CSV file by the names of its first line, which also shows what parts its columns: a comma, a semicolon or a tab.
 * Where it is no comma, numbers may be written with one.
 * @throws what the disk or the format is wrong with, while it is read
 */
export async function* csvRows(
  file: string,
  options: { readonly relax_column_count?: boolean } = {},
): AsyncGenerator<Record<string, string>> {
  const bytes = createReadStream(file)
  await once(bytes, 'readable')
  const start = bytes.read() as Buffer | null
  if (start === null) return
  bytes.unshift(start)
  const delimiter = delimiterOf(start.toString().split('\n', 1)[0]!)
  const cast = delimiter === ',' ? {} : { cast: (cell: string) => (decimalComma.test(cell) ? cell.replace(',', '.') : cell) }
  const rows = parse({ columns: true, skip_empty_lines: true, trim: true, bom: true, delimiter, ...cast, ...options })
  // Whoever reads the rows is told of what goes wrong.
  yield* pipeline(bytes, rows, () => {}) as AsyncIterable<Record<string, string>>
}

const decimalComma = /^[+-]?\d+,\d+$/

function delimiterOf(header: string): string {
  const unquoted = header.replaceAll(/"[^"]*"/g, '')
  const times = (delimiter: string) => unquoted.split(delimiter).length
  return [',', ';', '\t'].reduce((most, delimiter) => (times(delimiter) > times(most) ? delimiter : most))
}

const Row = z.record(z.string(), z.unknown())

async function* ndjsonRows(file: string): AsyncGenerator<Record<string, unknown>> {
  let lineNumber = 0
  for await (const line of linesOf(file)) {
    lineNumber++
    if (line.trim() === '') continue
    const row = Row.safeParse(parsed(line))
    if (!row.success) throw new MalformedRecordingError(`'${file}' line ${lineNumber} is no JSON object: ${line.slice(0, 80)}`)
    yield row.data
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

const isoTime =
  /^(\d{4})[-/](\d\d?)[-/](\d\d?)(?:(?:T|\s+)(\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s*(?:Z|UTC|GMT|([+-]\d\d)(?::?(\d\d))?)?)?$/i

/** ISO 8601 and what databases make of it (`2014-02-14 14:30:00+00`; without a zone it is UTC), or seconds to nanoseconds since 1970. */
export function parseTime(text: string): number | undefined {
  if (/^\d+(\.\d+)?(e\+?\d+)?$/i.test(text)) return Math.round(epochToMs(microseconds(Number(text))))
  const [matched, year = '', month = '', day = '', hour = '00', minute = '00', second = '00', fraction = '', zoneHour, zoneMinute] =
    isoTime.exec(text.trim()) ?? []
  if (matched === undefined) return undefined
  const two = (part: string) => part.padStart(2, '0')
  const zone = zoneHour === undefined ? 'Z' : `${zoneHour}:${zoneMinute ?? '00'}`
  const ms = fraction.slice(0, 3).padEnd(3, '0')
  const timeMs = Date.parse(`${year}-${two(month)}-${two(day)}T${two(hour)}:${minute}:${second}.${ms}${zone}`)
  return Number.isNaN(timeMs) ? undefined : timeMs
}

/** Nanoseconds, as some databases export them, to microseconds; anything less is no nanoseconds of our time. */
const microseconds = (epoch: number) => (epoch > 1e17 ? epoch / 1000 : epoch)

/** Writes a run down as it happens. A slow disk is waited for by the stream; its buffer is the run's own length at most. */
export class RecordingWriter {
  readonly #stream: WriteStream
  readonly #columns: readonly string[] | undefined

  /**
   * @param signals columns of a CSV file; NDJSON needs none
   * @param onError told once when nothing more can be written: the run goes on without its recording
   * @throws Error when there can be no such file
   */
  static async open(file: string, signals: readonly string[], onError: (error: Error) => void): Promise<RecordingWriter> {
    const stream = createWriteStream(file)
    await once(stream, 'open')
    stream.on('error', (error) => onError(new Error(`the recording '${file}' ends here: ${errorText(error)}`)))
    return new RecordingWriter(stream, file, signals)
  }

  private constructor(stream: WriteStream, file: string, signals: readonly string[]) {
    this.#stream = stream
    this.#columns = isNdjson(file) ? undefined : signals
    if (this.#columns) this.#stream.write(`${['timestamp', 'device', 'model', ...this.#columns].map(csvCell).join(',')}\n`)
  }

  write(deviceId: string, modelId: string, { timeMs, values }: Sample): void {
    const time = new Date(timeMs).toISOString()
    const line = this.#columns
      ? [time, csvCell(deviceId), csvCell(modelId), ...this.#columns.map((signal) => values[signal] ?? '')].join(',')
      : JSON.stringify({ time, device: deviceId, ...(modelId === '' ? {} : { model: modelId }), ...values })
    if (this.#stream.writable) this.#stream.write(`${line}\n`)
  }

  async close(): Promise<void> {
    if (this.#stream.closed) return
    const closed = new Promise<void>((done) => this.#stream.once('close', () => done()))
    this.#stream.end()
    await closed
  }
}

function csvCell(text: string): string {
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
