/**
 * The blob trigger: each new version of a blob whose path fits the pattern runs the function once. A receipt for each is
 * kept in storage, as the real host does; what fails five times goes to the queue `webjobs-blobtrigger-poison`.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { BlobServiceClient } from '@azure/storage-blob'
import type { BlobItem, ContainerClient } from '@azure/storage-blob'
import { QueueServiceClient } from '@azure/storage-queue'
import type { InvocationRequest, TypedData } from '../core-api.ts'
import { storageRetries } from '../storage-retries.ts'

export type BlobListenerOptions = {
  readonly functionName: string
  readonly storage: string
  /** `container/path/{name}.{ext}` */
  readonly path: string
  readonly bindingName: string
  readonly invoke: (request: InvocationRequest) => Promise<void>
  readonly warn: (text: string) => void
}

const pollMs = 500
const attemptsMax = 5

export async function startBlobListener(options: BlobListenerOptions): Promise<{ stop(): Promise<void> }> {
  const [containerName = '', ...rest] = options.path.split('/')
  const pattern = blobPattern(rest.join('/'))
  const service = BlobServiceClient.fromConnectionString(options.storage, storageRetries)
  const container = service.getContainerClient(containerName)
  const receipts = service.getContainerClient('azure-webjobs-hosts')
  await Promise.all([container.createIfNotExists(), receipts.createIfNotExists()])
  const done = new Set<string>()
  const stopping = new AbortController()
  const running = (async () => {
    while (!stopping.signal.aborted) {
      try {
        for await (const blob of container.listBlobsFlat({ abortSignal: stopping.signal })) {
          const parameters = pattern(blob.name)
          const version = `${blob.name} ${blob.properties.etag}`
          if (!parameters || done.has(version)) continue
          await handle(container, receipts, blob, parameters, options)
          done.add(version)
        }
      } catch (error) {
        if (stopping.signal.aborted) return
        options.warn(`blobs of ${options.path}: ${String(error)}`)
      }
      await delay(pollMs, undefined, { signal: stopping.signal }).catch(() => {})
    }
  })()
  return {
    async stop() {
      stopping.abort()
      await running
    },
  }
}

async function handle(
  container: ContainerClient,
  receipts: ContainerClient,
  blob: BlobItem,
  parameters: Readonly<Record<string, string>>,
  options: BlobListenerOptions,
): Promise<void> {
  const { functionName, bindingName, invoke, warn } = options
  const receipt = receipts.getBlockBlobClient(
    `blobreceipts/millwright/Host.Functions.${functionName}/${blob.properties.etag.replaceAll('"', '')}/${container.containerName}/${blob.name}`,
  )
  if (await receipt.exists()) return
  const client = container.getBlobClient(blob.name)
  for (let attempt = 1; ; attempt++) {
    try {
      const bytes = await client.downloadToBuffer()
      const text = (value: string): TypedData => ({ string: value })
      await invoke({
        inputData: [{ name: bindingName, data: { bytes } }],
        triggerMetadata: {
          BlobTrigger: text(`${container.containerName}/${blob.name}`),
          Uri: { json: JSON.stringify(client.url) },
          Properties: {
            json: JSON.stringify({
              ETag: blob.properties.etag,
              ContentType: blob.properties.contentType,
              Length: bytes.length,
              LastModified: blob.properties.lastModified,
            }),
          },
          Metadata: { json: JSON.stringify(blob.metadata ?? {}) },
          ...Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, text(value)])),
        },
      })
      break
    } catch (error) {
      warn(`blob ${blob.name}, attempt ${attempt}, failed: ${String(error)}`)
      if (attempt < attemptsMax) continue
      const poison = QueueServiceClient.fromConnectionString(options.storage, storageRetries).getQueueClient('webjobs-blobtrigger-poison')
      await poison.createIfNotExists()
      const message = {
        Type: 'BlobTrigger',
        FunctionId: functionName,
        BlobType: 'BlockBlob',
        ContainerName: container.containerName,
        BlobName: blob.name,
        ETag: blob.properties.etag,
      }
      await poison.sendMessage(Buffer.from(JSON.stringify(message)).toString('base64'))
      break
    }
  }
  await receipt.upload('', 0)
}

/** Matches names against `{parameter}` patterns; everything matches an empty one. */
export function blobPattern(pattern: string): (name: string) => Record<string, string> | undefined {
  if (pattern === '') return (name) => ({ name })
  const names: string[] = []
  const source = pattern.replaceAll(/\{([^{}]+)\}|[.*+?^${}()|[\]\\]/g, (text, name?: string) => {
    if (name === undefined) return `\\${text}`
    names.push(name)
    return '(.+)'
  })
  const expression = new RegExp(`^${source}$`)
  return (name) => {
    const match = expression.exec(name)
    return match ? Object.fromEntries(names.map((parameter, index) => [parameter, match[index + 1]!])) : undefined
  }
}
