/** Exports: asked for, worked on, finished; one row each, and a file. */
import type { ContainerClient } from '@azure/storage-blob'
import { z } from 'zod'
import { errorText } from '../../contract/error-text.ts'
import { TooManyRowsError, writeRows } from './files.ts'
import { storedReadings } from './reading-rows.ts'
import { bytesFromProperties, bytesToProperties } from './row-bytes.ts'
import { RowFormat } from './row-formats.ts'
import { beforeMs, hasStatus } from './tables.ts'
import type { Tables } from './tables.ts'

export const ExportRequest = z
  .object({
    devices: z.array(z.string().min(1).max(128)).min(1).max(1_000),
    signals: z.array(z.string().min(1).max(128)).max(100).optional(),
    from: z.iso.datetime({ offset: true }),
    to: z.iso.datetime({ offset: true }),
    format: RowFormat,
  })
  .refine(({ from, to }) => Date.parse(from) < Date.parse(to), `'from' must be before 'to'`)
export type ExportRequest = z.infer<typeof ExportRequest>

export const ExportStatus = z.enum(['waiting', 'running', 'finished', 'failed'])
export type ExportJob = {
  readonly exportId: string
  readonly request: ExportRequest
  readonly status: z.infer<typeof ExportStatus>
  readonly requestedAtMs: number
  readonly readings: number
  readonly bytes: number
  readonly problem: string
}

const ExportRow = z.looseObject({
  status: ExportStatus,
  requestedAtMs: z.number(),
  readings: z.number(),
  bytes: z.number(),
  problem: z.string(),
})
const partitionKey = 'export'

export async function writeExport(tables: Tables, { exportId, request, ...job }: ExportJob): Promise<void> {
  // A thousand long names are more than one property holds.
  const asked = bytesToProperties(Buffer.from(JSON.stringify(request)))
  await tables.exports.upsertEntity({ partitionKey, rowKey: exportId, ...asked, ...job }, 'Replace')
}

export async function readExport(tables: Tables, exportId: string): Promise<ExportJob | undefined> {
  try {
    return jobOf(exportId, await tables.exports.getEntity(partitionKey, exportId))
  } catch (error) {
    if (hasStatus(error, 404)) return undefined
    throw error
  }
}

function jobOf(exportId: string, row: Record<string, unknown>): ExportJob {
  const { status, requestedAtMs, readings, bytes, problem } = ExportRow.parse(row)
  const request = ExportRequest.parse(JSON.parse(bytesFromProperties(row).toString()))
  return { exportId, request, status, requestedAtMs, readings, bytes, problem }
}

export const exportFileOf = ({ exportId, request }: ExportJob) => `${exportId}.${request.format}`

/**
 * Writes the file of an export.
 * @returns the job as it ended: an attempt that nobody would repeat says what went wrong
 * @throws when the store fails and there will be another attempt
 */
export async function runExport(
  tables: Tables,
  container: ContainerClient,
  job: ExportJob,
  { isLastAttempt }: { readonly isLastAttempt: boolean },
): Promise<ExportJob> {
  const { devices, signals, from, to, format } = job.request
  const rows = storedReadings(tables, { deviceIds: devices, signals, fromMs: Date.parse(from), toMs: Date.parse(to) })
  try {
    const { rows: readings, bytes } = await writeRows(container, exportFileOf(job), format, rows)
    return { ...job, status: 'finished', readings, bytes }
  } catch (error) {
    // Too many would be too many again.
    if (!isLastAttempt && !(error instanceof TooManyRowsError)) throw error
    return { ...job, status: 'failed', problem: errorText(error) }
  }
}

/** Deletes exports that were asked for before a time, and their files. @returns how many */
export async function deleteExports(tables: Tables, container: ContainerClient, untilMs: number): Promise<number> {
  let deleted = 0
  for await (const row of tables.exports.listEntities({ queryOptions: { filter: beforeMs('requestedAtMs', untilMs) } })) {
    const exportId = row.rowKey!
    // The file first: one without its row would never be found again.
    await container.deleteBlob(exportFileOf(jobOf(exportId, row))).catch((error: unknown) => {
      if (!hasStatus(error, 404)) throw error
    })
    await tables.exports.deleteEntity(partitionKey, exportId)
    deleted++
  }
  return deleted
}
