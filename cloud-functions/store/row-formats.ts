/** Readings as files that other programs read: CSV (RFC 4180), NDJSON, Parquet. */
import { parquetWriteBuffer } from 'hyparquet-writer'
import { z } from 'zod'
import { csvLine } from './csv.ts'
import type { ReadingRow } from './reading-rows.ts'

export const RowFormat = z.enum(['csv', 'ndjson', 'parquet'])
export type RowFormat = z.infer<typeof RowFormat>

export const contentTypes: Record<RowFormat, string> = {
  csv: 'text/csv; charset=utf-8',
  ndjson: 'application/x-ndjson',
  parquet: 'application/vnd.apache.parquet',
}

const header = 'device,signal,time,value,boot,seq\n'

/** The file's first bytes; Parquet has its own. */
export function textHeader(format: 'csv' | 'ndjson'): string {
  return format === 'csv' ? header : ''
}

export function textRow(format: 'csv' | 'ndjson', { deviceId, signal, timeMs, value, bootId, seq }: ReadingRow): string {
  const time = new Date(timeMs).toISOString()
  return format === 'csv'
    ? csvLine([deviceId, signal, time, value, bootId, seq])
    : `${JSON.stringify({ device: deviceId, signal, time, value, boot: bootId, seq })}\n`
}

/** Columns `device`, `signal`, `time` (timestamp, ms), `value`, `boot`, `seq`; Snappy. */
export function parquetOf(rows: readonly ReadingRow[]): Uint8Array {
  return new Uint8Array(
    parquetWriteBuffer({
      columnData: [
        { name: 'device', data: rows.map(({ deviceId }) => deviceId), type: 'STRING' },
        { name: 'signal', data: rows.map(({ signal }) => signal), type: 'STRING' },
        { name: 'time', data: rows.map(({ timeMs }) => new Date(timeMs)), type: 'TIMESTAMP' },
        { name: 'value', data: Float64Array.from(rows, ({ value }) => value), type: 'DOUBLE' },
        { name: 'boot', data: rows.map(({ bootId }) => bootId), type: 'STRING' },
        { name: 'seq', data: rows.map(({ seq }) => BigInt(seq)), type: 'INT64' },
      ],
    }),
  )
}
