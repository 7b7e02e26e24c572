/** Exports: asked for, worked on, finished; one row each. */
import { z } from 'zod'
import { RowFormat } from './row-formats.ts'
import { hasStatus } from './tables.ts'
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
  request: z.string(),
  status: ExportStatus,
  requestedAtMs: z.number(),
  readings: z.number(),
  bytes: z.number(),
  problem: z.string(),
})
const partitionKey = 'export'

export async function writeExport(tables: Tables, { exportId, request, ...job }: ExportJob): Promise<void> {
  await tables.exports.upsertEntity({ partitionKey, rowKey: exportId, request: JSON.stringify(request), ...job }, 'Replace')
}

export async function readExport(tables: Tables, exportId: string): Promise<ExportJob | undefined> {
  try {
    const { request, status, requestedAtMs, readings, bytes, problem } = ExportRow.parse(
      await tables.exports.getEntity(partitionKey, exportId),
    )
    return { exportId, request: ExportRequest.parse(JSON.parse(request)), status, requestedAtMs, readings, bytes, problem }
  } catch (error) {
    if (hasStatus(error, 404)) return undefined
    throw error
  }
}
