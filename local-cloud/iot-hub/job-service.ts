/**
 * Jobs: a method or a twin change for every device of a query, at a time, with a result for each; and bulk import and
 * export of identities through a blob container.
 */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import { DocumentStore } from '../log/document-store.ts'
import { lookUp, parseCondition } from '../query/expression.ts'
import { HubError } from './hub-errors.ts'
import type { IotHub } from './iot-hub.ts'
import { BulkOperations } from './rest/identities.ts'
import type { Identities } from './rest/identities.ts'
import { MethodBody, TwinBody } from './rest/twins.ts'
import type { Twins } from './rest/twins.ts'

const jobId = z.string().regex(/^[A-Za-z0-9\-:.+%_#*?!(),=@;$']{1,128}$/)

export const ScheduledJobBody = z.object({
  type: z.enum(['scheduleDeviceMethod', 'scheduleUpdateTwin']),
  cloudToDeviceMethod: MethodBody.optional(),
  updateTwin: TwinBody.optional(),
  queryCondition: z.string(),
  startTime: z.string().optional(),
  maxExecutionTimeInSeconds: z.number().int().positive().max(172_800).default(3_600),
})

export const TransferJobBody = z.object({
  jobId: jobId.optional(),
  type: z.enum(['export', 'import']),
  inputBlobContainerUri: z.url().optional(),
  outputBlobContainerUri: z.url(),
  inputBlobName: z.string().default('devices.txt'),
  outputBlobName: z.string().default('devices.txt'),
  excludeKeysInExport: z.boolean().default(false),
})

const DeviceResult = z.object({
  deviceId: z.string(),
  moduleId: z.string().optional(),
  status: z.enum(['pending', 'running', 'completed', 'failed', 'canceled']),
  startTimeUtc: z.string().optional(),
  endTimeUtc: z.string().optional(),
  lastUpdatedDateTimeUtc: z.string(),
  outcome: z.unknown().optional(),
  error: z.object({ code: z.string(), description: z.string() }).optional(),
})
type DeviceResult = z.infer<typeof DeviceResult>

const Job = z.looseObject({
  jobId: z.string(),
  type: z.string(),
  status: z.enum(['queued', 'scheduled', 'running', 'completed', 'failed', 'cancelled']),
  createdTime: z.string(),
  startTime: z.string(),
  endTime: z.string().optional(),
  failureReason: z.string().optional(),
  request: z.union([ScheduledJobBody, TransferJobBody]),
  devices: z.array(DeviceResult),
})
type Job = z.infer<typeof Job>

/** Devices a job works on at the same time. */
const parallelMax = 10
const jobsKeptMax = 500

export type JobServiceOptions = {
  readonly hub: IotHub
  readonly twins: Twins
  readonly identities: Identities
  readonly nowMs: () => number
  readonly log: (event: string, fields: Record<string, unknown>) => void
}

export class JobService {
  readonly #jobs: DocumentStore<Job>
  readonly #options: JobServiceOptions
  readonly #timers = new Map<string, NodeJS.Timeout>()
  readonly #running = new Set<Promise<void>>()
  #isClosed = false

  private constructor(jobs: DocumentStore<Job>, options: JobServiceOptions) {
    this.#jobs = jobs
    this.#options = options
  }

  static async open(directory: string, options: JobServiceOptions): Promise<JobService> {
    const service = new JobService(await DocumentStore.open(join(directory, 'jobs.ndjson'), (value) => Job.parse(value)), options)
    // What was waiting or under way when the hub stopped goes on; devices that are done are not asked again.
    for (const [, job] of service.#jobs.entries()) if (['queued', 'scheduled', 'running'].includes(job.status)) service.#schedule(job)
    return service
  }

  async create(id: string, body: unknown): Promise<unknown> {
    const request = parse(ScheduledJobBody, body)
    if (request.type === 'scheduleDeviceMethod' && !request.cloudToDeviceMethod)
      throw new HubError('ArgumentInvalid', 'cloudToDeviceMethod is missing')
    if (request.type === 'scheduleUpdateTwin' && !request.updateTwin) throw new HubError('ArgumentInvalid', 'updateTwin is missing')
    targets(request.queryCondition)
    const startMs = request.startTime ? Date.parse(request.startTime) : this.#options.nowMs()
    if (!Number.isFinite(startMs)) throw new HubError('ArgumentInvalid', `'${request.startTime}' is no time`)
    return this.#start(parse(jobId, id), request, startMs)
  }

  async createTransfer(body: unknown): Promise<unknown> {
    const request = parse(TransferJobBody, body)
    if (request.type === 'import' && !request.inputBlobContainerUri)
      throw new HubError('ArgumentInvalid', 'inputBlobContainerUri is missing')
    return this.#start(request.jobId ?? randomUUID(), request, this.#options.nowMs())
  }

  async #start(id: string, request: Job['request'], startMs: number): Promise<unknown> {
    if (this.#jobs.get(id)) throw new HubError('JobAlreadyExists', `there is a job '${id}' already`)
    for (const [old, { status }] of this.#jobs.entries()) {
      if (this.#jobs.size < jobsKeptMax) break
      if (['completed', 'failed', 'cancelled'].includes(status)) void this.#jobs.delete(old)
    }
    const nowMs = this.#options.nowMs()
    const job: Job = {
      jobId: id,
      type: request.type,
      status: startMs > nowMs ? 'scheduled' : 'queued',
      createdTime: new Date(nowMs).toISOString(),
      startTime: new Date(startMs).toISOString(),
      request,
      devices: [],
    }
    await this.#jobs.set(id, job)
    this.#schedule(job)
    return view(job)
  }

  get(id: string): unknown {
    return view(this.#require(id))
  }

  async cancel(id: string): Promise<unknown> {
    const job = this.#require(id)
    clearTimeout(this.#timers.get(id))
    if (['completed', 'failed', 'cancelled'].includes(job.status)) return view(job)
    return view(await this.#change(job, { status: 'cancelled', endTime: this.#time() }))
  }

  list(filter: { type?: string | undefined; status?: string | undefined }): unknown[] {
    const matches = (wanted: string | undefined, value: string) => wanted === undefined || wanted.toLowerCase() === value.toLowerCase()
    return [...this.#jobs.entries()]
      .map(([, job]) => job)
      .filter((job) => matches(filter.type, job.type) && matches(filter.status, job.status))
      .map(view)
  }

  /** `devices.jobs`: one document a device and job. */
  *documents(): Generator<Record<string, unknown>> {
    for (const [, job] of this.#jobs.entries())
      for (const { outcome, ...result } of job.devices)
        yield {
          jobId: job.jobId,
          jobType: job.type,
          ...result,
          createdDateTimeUtc: job.createdTime,
          ...(outcome === undefined ? {} : { outcome }),
        }
  }

  #schedule(job: Job): void {
    const wait = Math.max(Date.parse(job.startTime) - this.#options.nowMs(), 0)
    // setTimeout takes at most 2^31 ms; a job may be a month away.
    const timer = setTimeout(
      () => {
        this.#timers.delete(job.jobId)
        const current = this.#jobs.get(job.jobId)
        if (!current || current.status === 'cancelled' || this.#isClosed) return
        if (wait > 2 ** 31 - 1) return this.#schedule(current)
        const run = this.#run(current)
          .catch((error: unknown) => this.#change(current, { status: 'failed', failureReason: String(error), endTime: this.#time() }))
          .then(() => {})
          .finally(() => this.#running.delete(run))
        this.#running.add(run)
      },
      Math.min(wait, 2 ** 31 - 1),
    )
    this.#timers.set(job.jobId, timer)
  }

  async #run(job: Job): Promise<void> {
    await this.#change(job, { status: 'running' })
    const { request } = job
    if ('queryCondition' in request) await this.#runScheduled(job, request)
    else await this.#transfer(request)
    const current = this.#jobs.get(job.jobId)!
    if (current.status === 'running') await this.#change(current, { status: 'completed', endTime: this.#time() })
  }

  async #runScheduled(job: Job, request: z.infer<typeof ScheduledJobBody>): Promise<void> {
    const { hub } = this.#options
    const isTarget = targets(request.queryCondition)
    const done = new Set(job.devices.filter(({ status }) => status === 'completed' || status === 'failed').map(({ deviceId }) => deviceId))
    const waiting = [...this.#options.twins.documents('devices')]
      .filter(isTarget)
      .map(({ deviceId }) => deviceId)
      .filter((id) => !done.has(id))
    const results = new Map(job.devices.map((result) => [result.deviceId, result]))
    const deadlineMs = this.#options.nowMs() + request.maxExecutionTimeInSeconds * 1000
    const work = async (): Promise<void> => {
      for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
        const identity = hub.registry.get(id)
        if (!identity || this.#jobs.get(job.jobId)?.status !== 'running' || this.#isClosed) continue
        const startTimeUtc = this.#time()
        const result = await this.#ask(async () => {
          if (this.#options.nowMs() > deadlineMs) throw new HubError('GatewayTimeout', 'the job ran out of time')
          if (request.cloudToDeviceMethod)
            return { deviceMethodResponse: await this.#options.twins.call(identity, request.cloudToDeviceMethod) }
          await this.#options.twins.patch(identity, request.updateTwin!, { replace: false })
          return undefined
        })
        const endTimeUtc = this.#time()
        results.set(id, { deviceId: id, ...result, startTimeUtc, endTimeUtc, lastUpdatedDateTimeUtc: endTimeUtc })
        await this.#change(this.#jobs.get(job.jobId)!, { devices: [...results.values()] })
      }
    }
    await Promise.all(Array.from({ length: parallelMax }, work))
  }

  async #ask(act: () => Promise<unknown>): Promise<Pick<DeviceResult, 'status' | 'outcome' | 'error'>> {
    try {
      const outcome = await act()
      return { status: 'completed', ...(outcome === undefined ? {} : { outcome }) }
    } catch (error) {
      return {
        status: 'failed',
        error: { code: error instanceof HubError ? String(error.errorCode) : '500001', description: (error as Error).message },
      }
    }
  }

  async #transfer(request: z.infer<typeof TransferJobBody>): Promise<void> {
    const { hub, identities } = this.#options
    // Loaded by the few hubs that need it: it costs a third of a second of every start.
    const { ContainerClient } = await import('@azure/storage-blob')
    const output = new ContainerClient(request.outputBlobContainerUri)
    if (request.type === 'export') {
      const lines = [...hub.registry.devices()].map((device) => {
        const { authentication, ...rest } = identities.view(device)
        return JSON.stringify({
          id: device.deviceId,
          eTag: device.etag,
          ...rest,
          ...(request.excludeKeysInExport ? {} : { authentication }),
        })
      })
      const text = lines.join('\n')
      await output.getBlockBlobClient(request.outputBlobName).upload(text, Buffer.byteLength(text))
      return
    }
    const bytes = await new ContainerClient(request.inputBlobContainerUri!).getBlobClient(request.inputBlobName).downloadToBuffer()
    const operations = BulkOperations.parse(
      bytes
        .toString()
        .split('\n')
        .filter((line) => line.trim() !== '')
        .map((line) => JSON.parse(line) as unknown),
    )
    const errors: unknown[] = []
    for (const operation of operations) {
      const error = await identities.applyOperation(operation)
      if (error) errors.push(error)
    }
    const report = errors.map((error) => JSON.stringify(error)).join('\n')
    if (errors.length > 0) await output.getBlockBlobClient('importErrors.log').upload(report, Buffer.byteLength(report))
  }

  async #change(job: Job, change: Partial<Job>): Promise<Job> {
    const changed = { ...(this.#jobs.get(job.jobId) ?? job), ...change }
    await this.#jobs.set(job.jobId, changed)
    return changed
  }

  #require(id: string): Job {
    const job = this.#jobs.get(id)
    if (!job) throw new HubError('JobNotFound', `there is no job '${id}'`)
    return job
  }

  #time(): string {
    return new Date(this.#options.nowMs()).toISOString()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const timer of this.#timers.values()) clearTimeout(timer)
    await Promise.all(this.#running)
    await this.#jobs.close()
  }
}

function parse<Schema extends z.ZodType>(schema: Schema, value: unknown): z.infer<Schema> {
  const parsed = schema.safeParse(value)
  if (!parsed.success) throw new HubError('ArgumentInvalid', z.prettifyError(parsed.error))
  return parsed.data
}

function targets(condition: string): (document: object) => boolean {
  if (condition.trim() === '*' || condition.trim() === '') return () => true
  const holds = parseCondition(condition, 'document')
  return (document) => holds((path) => lookUp(document, path))
}

function view({ devices, request, ...job }: Job): Record<string, unknown> {
  const count = (status: DeviceResult['status']) => devices.filter((device) => device.status === status).length
  if (!('queryCondition' in request))
    return { ...job, ...request, startTimeUtc: job.startTime, endTimeUtc: job.endTime, progress: job.status === 'completed' ? 100 : 0 }
  return {
    ...request,
    ...job,
    deviceJobStatistics: {
      deviceCount: devices.length,
      failedCount: count('failed'),
      succeededCount: count('completed'),
      runningCount: count('running'),
      pendingCount: count('pending'),
    },
  }
}
