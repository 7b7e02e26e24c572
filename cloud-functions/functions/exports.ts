/** POST exports, GET exports/{id} and its content; the job behind them; who waits is told by a queue. */
import { randomUUID } from 'node:crypto'
import { app, output } from '@azure/functions'
import { z } from 'zod'
import { endpoint } from '../api/endpoint.ts'
import { Problem } from '../api/problem.ts'
import { RawResponse } from '../api/respond.ts'
import { appFiles, appTables } from '../services.ts'
import { exportFileOf, ExportRequest, ExportStatus, readExport, runExport, writeExport } from '../store/export-store.ts'
import type { ExportJob } from '../store/export-store.ts'
import { contentTypes } from '../store/row-formats.ts'
import hostJson from '../host.json' with { type: 'json' }
import { ExportHint, exportQueue, finishedExportQueue } from './queues.ts'

const connection = 'AzureWebJobsStorage'
/** The queue gives a message up after so many attempts. */
const { maxDequeueCount } = hostJson.extensions.queues
const waiting = output.storageQueue({ queueName: exportQueue, connection })
const finished = output.storageQueue({ queueName: finishedExportQueue, connection })

const ExportView = z
  .object({
    exportId: z.uuid(),
    status: ExportStatus,
    requestedAt: z.string(),
    request: ExportRequest,
    readings: z.number(),
    bytes: z.number(),
    content: z.string().optional().meta({ description: 'where the file is, of one that is finished' }),
    problem: z.string().optional().meta({ description: 'why there is none, of one that failed' }),
  })
  .meta({ id: 'Export' })
type ExportView = z.infer<typeof ExportView>

const addressOf = (exportId: string) => `/api/v1/exports/${exportId}`

endpoint({
  name: 'request-export',
  method: 'POST',
  path: 'exports',
  summary: 'Ask for readings as CSV, NDJSON or Parquet; answered at once with where to look',
  access: 'operator',
  body: ExportRequest,
  response: ExportView,
  status: 202,
  extraOutputs: [waiting],
  handle: async ({ body, context }) => {
    const exportId = randomUUID()
    const job: ExportJob = { exportId, request: body, status: 'waiting', requestedAtMs: Date.now(), readings: 0, bytes: 0, problem: '' }
    await writeExport(await appTables(), job)
    context.extraOutputs.set(waiting, { exportId })
    return new RawResponse({ status: 202, headers: { location: addressOf(exportId), 'retry-after': '2' }, jsonBody: exportView(job) })
  },
})

function exportView(job: ExportJob): ExportView {
  const { exportId, status, readings, bytes, problem, request, requestedAtMs } = job
  return {
    exportId,
    status,
    requestedAt: new Date(requestedAtMs).toISOString(),
    request,
    readings,
    bytes,
    ...(status === 'finished' ? { content: `${addressOf(exportId)}/content` } : {}),
    ...(status === 'failed' ? { problem } : {}),
  }
}

const ExportId = z.uuid()

async function requireExport(exportId: string | undefined): Promise<ExportJob> {
  const job = ExportId.safeParse(exportId).success ? await readExport(await appTables(), exportId!) : undefined
  if (!job) throw new Problem(404, 'No such export', `no export '${exportId}'`)
  return job
}

endpoint({
  name: 'export',
  method: 'GET',
  path: 'exports/{id}',
  summary: 'How far an export is',
  access: 'viewer',
  response: ExportView,
  handle: async ({ params }) => exportView(await requireExport(params.id)),
})

endpoint({
  name: 'export-content',
  method: 'GET',
  path: 'exports/{id}/content',
  summary: 'The file of a finished export',
  access: 'viewer',
  types: Object.values(contentTypes).map((type) => type.split(';')[0]!),
  handle: async ({ params }) => {
    const job = await requireExport(params.id)
    if (job.status !== 'finished') throw new Problem(409, 'Not finished', `export '${job.exportId}' is ${job.status}`)
    const blob = (await appFiles()).exports.getBlockBlobClient(exportFileOf(job))
    return new RawResponse({
      body: await blob.downloadToBuffer(),
      headers: {
        'content-type': contentTypes[job.request.format],
        'content-disposition': `attachment; filename="readings-${job.exportId.slice(0, 8)}.${job.request.format}"`,
      },
    })
  },
})

app.storageQueue('run-export', {
  queueName: exportQueue,
  connection,
  extraOutputs: [finished],
  handler: async (message, context) => {
    const { exportId } = ExportHint.parse(message)
    const tables = await appTables()
    const job = await readExport(tables, exportId)
    // Delivered again after it was done: who waits has been told.
    if (!job || job.status === 'finished' || job.status === 'failed') return
    await writeExport(tables, { ...job, status: 'running' })
    const isLastAttempt = Number(context.triggerMetadata?.dequeueCount) >= maxDequeueCount
    const done = await runExport(tables, (await appFiles()).exports, job, { isLastAttempt })
    await writeExport(tables, done)
    context.extraOutputs.set(finished, exportView(done))
  },
})
