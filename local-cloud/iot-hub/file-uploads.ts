/** File upload: the hub lends a device a blob to write to, and tells back ends when it is done. */
import { randomUUID } from 'node:crypto'
import type { BlobServiceClient } from '@azure/storage-blob'
import { z } from 'zod'
import { parseConnectionString } from '../../contract/connection.ts'
import { HubError } from './hub-errors.ts'
import type { ServiceQueue } from './service-queue.ts'

export const FileUploadRequest = z.looseObject({ blobName: z.string().min(1).max(1024) })
export const FileUploadDone = z.looseObject({
  correlationId: z.string(),
  isSuccess: z.boolean(),
  statusCode: z.number().optional(),
  statusDescription: z.string().optional(),
})

export type FileUploadOptions = {
  /** Connection string of the storage account. */
  readonly storage: string
  readonly container: string
  /** Host under which devices reach blobs over HTTPS, with the account: `localhost:21443/devstoreaccount1`. */
  readonly blobHost: () => string
  readonly notifications: ServiceQueue
  readonly nowMs: () => number
}

const limits = { pendingPerDevice: 10, sasMs: 3_600_000 } as const

type Upload = { readonly deviceId: string; readonly blobName: string; readonly expiresMs: number }

export class FileUploads {
  readonly #options: FileUploadOptions
  #opened: Promise<BlobServiceClient> | undefined
  readonly #pending = new Map<string, Upload>()

  constructor(options: FileUploadOptions) {
    this.#options = options
  }

  /** Loaded with the first upload: the client costs a third of a second. */
  #service(): Promise<BlobServiceClient> {
    return (this.#opened ??= import('@azure/storage-blob').then(({ BlobServiceClient: Client }) =>
      Client.fromConnectionString(this.#options.storage),
    ))
  }

  /** @throws HubError when the device has too many uploads under way */
  async begin(deviceId: string, { blobName }: z.infer<typeof FileUploadRequest>) {
    const { container, blobHost, nowMs } = this.#options
    for (const [id, { expiresMs }] of this.#pending) if (expiresMs < nowMs()) this.#pending.delete(id)
    if ([...this.#pending.values()].filter((upload) => upload.deviceId === deviceId).length >= limits.pendingPerDevice)
      throw new HubError('IotHubQuotaExceeded', `'${deviceId}' has ${limits.pendingPerDevice} uploads under way`)
    await (await this.#service()).getContainerClient(container).createIfNotExists()
    const correlationId = `${nowMs()}_${randomUUID()}`
    const path = `${deviceId}/${blobName}`
    const expiresMs = nowMs() + limits.sasMs
    this.#pending.set(correlationId, { deviceId, blobName: path, expiresMs })
    const { BlobSASPermissions, generateBlobSASQueryParameters, SASProtocol, StorageSharedKeyCredential } =
      await import('@azure/storage-blob')
    const fields = parseConnectionString(this.#options.storage, ['AccountName', 'AccountKey'])
    const credential = new StorageSharedKeyCredential(fields.get('accountname')!, fields.get('accountkey')!)
    const sas = generateBlobSASQueryParameters(
      {
        containerName: container,
        blobName: path,
        permissions: BlobSASPermissions.parse('rw'),
        expiresOn: new Date(expiresMs),
        protocol: SASProtocol.HttpsAndHttp,
      },
      credential,
    )
    return { correlationId, hostName: blobHost(), containerName: container, blobName: path, sasToken: `?${sas.toString()}` }
  }

  /** @throws HubError when there is no such upload of this device */
  async end(deviceId: string, { correlationId, isSuccess }: z.infer<typeof FileUploadDone>): Promise<void> {
    const upload = this.#pending.get(correlationId)
    if (upload?.deviceId !== deviceId) throw new HubError('ArgumentInvalid', `there is no upload '${correlationId}' of '${deviceId}'`)
    this.#pending.delete(correlationId)
    if (!isSuccess) return
    const { container, blobHost, notifications, nowMs } = this.#options
    const blob = (await this.#service()).getContainerClient(container).getBlobClient(upload.blobName)
    const { contentLength = 0, lastModified } = await blob.getProperties()
    await notifications.push({
      deviceId,
      blobUri: `https://${blobHost()}/${container}/${upload.blobName}`,
      blobName: upload.blobName,
      lastUpdatedTime: lastModified?.toISOString() ?? null,
      blobSizeInBytes: contentLength,
      enqueuedTimeUtc: new Date(nowMs()).toISOString(),
    })
  }
}
