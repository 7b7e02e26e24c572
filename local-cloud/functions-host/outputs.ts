/** Output bindings: what a function returns, written where its binding says. */
import { TableClient } from '@azure/data-tables'
import { EventHubProducerClient } from '@azure/event-hubs'
import { BlobServiceClient } from '@azure/storage-blob'
import { QueueServiceClient } from '@azure/storage-queue'
import type { Binding, FunctionMetadata, InvocationResponse, TypedData } from './core-api.ts'
import { storageRetries } from './storage-retries.ts'

export type OutputSettings = {
  /** A connection string by the name of its app setting. */
  readonly connection: (name: unknown) => string
  /** `%NAME%` replaced by the app setting. */
  readonly resolve: (text: string) => string
}

/** Opens clients once, and closes those that must be closed. */
export class Outputs {
  readonly #settings: OutputSettings
  readonly #opened = new Map<string, Promise<unknown>>()
  readonly #producers: EventHubProducerClient[] = []

  constructor(settings: OutputSettings) {
    this.#settings = settings
  }

  async write({ bindings }: FunctionMetadata, { outputData, returnValue }: InvocationResponse): Promise<void> {
    const named = (outputData ?? []).map(({ name, data }) => ({ binding: bindings[name], data }))
    const returned = Object.entries(bindings).find(([name, { direction }]) => name === '$return' && direction === 'out')?.[1]
    if (returned && returnValue) named.push({ binding: returned, data: returnValue })
    for (const { binding, data } of named) if (binding && binding.type !== 'http') await this.#write(binding, data)
  }

  #write(binding: Binding, data: TypedData): Promise<void> {
    switch (binding.type) {
      case 'queue':
        return this.#toQueue(binding, data)
      case 'blob':
        return this.#toBlob(binding, data)
      case 'table':
        return this.#toTable(binding, data)
      case 'eventHub':
        return this.#toEventHub(binding, data)
      default:
        throw new Error(`an output of type '${binding.type}' is not known to this host: queue, blob, table, eventHub, http`)
    }
  }

  #once<T>(key: string, open: () => Promise<T>): Promise<T> {
    const known = this.#opened.get(key) as Promise<T> | undefined
    if (known) return known
    const opening = open()
    this.#opened.set(key, opening)
    opening.catch(() => this.#opened.delete(key))
    return opening
  }

  async #toQueue(binding: Binding, data: TypedData): Promise<void> {
    const storage = this.#settings.connection(binding.connection)
    const name = this.#settings.resolve(String(binding.queueName))
    const queue = await this.#once(`queue ${storage} ${name}`, async () => {
      const client = QueueServiceClient.fromConnectionString(storage, storageRetries).getQueueClient(name)
      await client.createIfNotExists()
      return client
    })
    for (const text of textsOf(data)) await queue.sendMessage(Buffer.from(text).toString('base64'))
  }

  async #toBlob(binding: Binding, data: TypedData): Promise<void> {
    const storage = this.#settings.connection(binding.connection)
    const [container = '', ...rest] = this.#settings.resolve(String(binding.path)).split('/')
    const client = await this.#once(`blob ${storage} ${container}`, async () => {
      const opened = BlobServiceClient.fromConnectionString(storage, storageRetries).getContainerClient(container)
      await opened.createIfNotExists()
      return opened
    })
    // Parts that only the run knows.
    const path = rest
      .join('/')
      .replaceAll('{rand-guid}', () => crypto.randomUUID())
      .replaceAll('{DateTime}', new Date().toISOString())
    const bytes = data.bytes ? Buffer.from(data.bytes) : Buffer.from(data.string ?? data.json ?? '')
    await client.getBlockBlobClient(path).uploadData(bytes)
  }

  async #toTable(binding: Binding, data: TypedData): Promise<void> {
    const storage = this.#settings.connection(binding.connection)
    const name = this.#settings.resolve(String(binding.tableName))
    const table = await this.#once(`table ${storage} ${name}`, async () => {
      const client = TableClient.fromConnectionString(storage, name, { ...storageRetries, allowInsecureConnection: true })
      await client.createTable()
      return client
    })
    for (const text of textsOf(data)) {
      const { PartitionKey, RowKey, partitionKey, rowKey, ...entity } = JSON.parse(text) as Record<string, unknown>
      const keys = { partitionKey: binding.partitionKey ?? PartitionKey ?? partitionKey, rowKey: binding.rowKey ?? RowKey ?? rowKey }
      if (typeof keys.partitionKey !== 'string' || typeof keys.rowKey !== 'string')
        throw new Error(`an entity for table '${name}' has no PartitionKey or no RowKey`)
      await table.createEntity({ ...entity, partitionKey: keys.partitionKey, rowKey: keys.rowKey })
    }
  }

  async #toEventHub(binding: Binding, data: TypedData): Promise<void> {
    const connection = this.#settings.connection(binding.connection)
    const name = this.#settings.resolve(String(binding.eventHubName))
    const producer = await this.#once(`event-hub ${connection} ${name}`, async () => {
      const client = connection.includes('EntityPath=')
        ? new EventHubProducerClient(connection)
        : new EventHubProducerClient(connection, name)
      this.#producers.push(client)
      return client
    })
    await producer.sendBatch(textsOf(data).map((text) => ({ body: Buffer.from(text) })))
  }

  async close(): Promise<void> {
    await Promise.all(this.#producers.map((producer) => producer.close()))
  }
}

/** The values of an output: an array is several. */
function textsOf(data: TypedData): string[] {
  const plain = data.json ?? data.string
  if (plain === undefined) return data.bytes ? [Buffer.from(data.bytes).toString()] : (data.collectionString?.string ?? [])
  try {
    const value: unknown = JSON.parse(plain)
    if (Array.isArray(value)) return value.map((one) => (typeof one === 'string' ? one : JSON.stringify(one)))
  } catch {
    // Plain text is one message.
  }
  return [plain]
}
