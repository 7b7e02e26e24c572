/** A recorded series as samples: a CSV file with a time column and columns of numbers, read as a stream. */
import { createReadStream } from 'node:fs'
import { parse } from 'csv-parse'
import { epochToMs } from '../../contract/telemetry/json.ts'
import type { Sample } from '../telemetry-stamp.ts'

/** A file that is no recording. Trying again cannot help. */
export class MalformedRecordingError extends Error {
  override readonly name = 'MalformedRecordingError'
}

const timeColumn = /^(timestamp|time|ts|date|datetime)$/i

/** Rows in file order. A cell that is no number is left out; a row without a time stops the reading. */
export async function* readRecording(file: string): AsyncGenerator<Sample> {
  const rows = createReadStream(file).pipe(
    parse({ columns: true, skip_empty_lines: true, trim: true, bom: true, relax_column_count: true }),
  )
  let rowNumber = 1
  for await (const row of rows as AsyncIterable<Record<string, string>>) {
    rowNumber++
    const timeName = Object.keys(row).find((name) => timeColumn.test(name))
    if (timeName === undefined)
      throw new MalformedRecordingError(`'${file}' has no column named timestamp; it has ${Object.keys(row).join(', ')}`)
    const timeMs = parseTime(row[timeName] ?? '')
    if (timeMs === undefined) throw new MalformedRecordingError(`'${file}' line ${rowNumber}: '${row[timeName]}' is no time`)
    const values: Record<string, number> = {}
    for (const [name, text] of Object.entries(row)) {
      const value = Number(text)
      if (name !== timeName && text !== '' && Number.isFinite(value)) values[name] = value
    }
    if (Object.keys(values).length > 0) yield { timeMs, values }
  }
}

/** ISO 8601, `2014-02-14 14:30:00` (taken as UTC), or seconds, milliseconds or microseconds since 1970. */
export function parseTime(text: string): number | undefined {
  if (/^\d+(\.\d+)?$/.test(text)) return Math.round(epochToMs(Number(text)))
  const iso = text.replace(' ', 'T')
  const timeMs = Date.parse(/(Z|[+-]\d\d:?\d\d)$/.test(iso) ? iso : iso.includes('T') ? `${iso}Z` : iso)
  return Number.isNaN(timeMs) ? undefined : timeMs
}
