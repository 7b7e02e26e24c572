/**
 * The limits of Azure Tables, checked before Azurite, which is laxer: what passes here passes there
 * (scalability-targets.md; Understanding the Table service data model).
 */

export const tableLimits = {
  batchOperations: 100,
  batchBytes: 4 * 1024 * 1024,
  entityBytes: 1024 * 1024,
  /** PartitionKey, RowKey and Timestamp count. */
  properties: 255,
  propertyBytes: 64 * 1024,
  keyBytes: 1024,
} as const

/** Why a request breaks a limit; `index` is the operation's place in a batch. */
export type TableLimitBreach = { readonly code: string; readonly message: string; readonly index?: number }

type Entity = Record<string, unknown>
type Operation = { readonly partitionKey: string | undefined; readonly rowKey: string | undefined; readonly entity: Entity | undefined }

export function checkTableRequest(request: { method: string; path: string; body: Buffer }): TableLimitBreach | undefined {
  if (request.method === 'GET' || request.method === 'HEAD' || request.path.includes('/Tables')) return undefined
  if (!request.path.includes('$batch')) return checkOperation(operationOf(request.path, request.body.toString()))
  if (request.body.length > tableLimits.batchBytes)
    return { code: 'RequestBodyTooLarge', message: `a batch is limited to ${tableLimits.batchBytes} bytes`, index: 0 }
  const operations = operationsOf(request.body.toString())
  if (operations.length > tableLimits.batchOperations)
    return {
      code: 'InvalidInput',
      message: 'The batch request operation exceeds the maximum 100 changes per change set.',
      index: tableLimits.batchOperations,
    }
  const [first] = operations
  const rows = new Set<string>()
  for (const [index, operation] of operations.entries()) {
    if (operation.partitionKey !== first!.partitionKey)
      return {
        code: 'CommandsInBatchActOnDifferentPartitions',
        message: 'All commands in a batch must operate on same entity group.',
        index,
      }
    if (operation.rowKey !== undefined && rows.has(operation.rowKey))
      return { code: 'InvalidDuplicateRow', message: 'The batch request contains multiple changes with same row key.', index }
    if (operation.rowKey !== undefined) rows.add(operation.rowKey)
    const breach = checkOperation(operation)
    if (breach) return { ...breach, index }
  }
  return undefined
}

function checkOperation({ partitionKey, rowKey, entity }: Operation): TableLimitBreach | undefined {
  for (const key of [partitionKey, rowKey]) {
    if (key === undefined) continue
    if (Buffer.byteLength(key, 'utf16le') > tableLimits.keyBytes)
      return { code: 'KeyValueTooLarge', message: `a key is limited to ${tableLimits.keyBytes} bytes` }
    // oxlint-disable-next-line no-control-regex -- these are what the service forbids
    if (/[/\\#?\u0000-\u001f\u007f-\u009f]/.test(key))
      return { code: 'OutOfRangeInput', message: `the key '${key.slice(0, 60)}' has a character that keys must not have` }
  }
  return entity && checkEntity(entity)
}

function checkEntity(entity: Entity): TableLimitBreach | undefined {
  const names = Object.keys(entity).filter((name) => !name.includes('odata.') && !/^(PartitionKey|RowKey|Timestamp)$/.test(name))
  if (names.length > tableLimits.properties - 3)
    return {
      code: 'TooManyProperties',
      message: `The entity contains more properties than allowed: ${names.length + 3} of ${tableLimits.properties}.`,
    }
  let bytes = 4 + 2 * (String(entity.PartitionKey ?? '').length + String(entity.RowKey ?? '').length)
  for (const name of names) {
    const size = valueBytes(entity[name], entity[`${name}@odata.type`])
    if (size > tableLimits.propertyBytes)
      return {
        code: 'PropertyValueTooLarge',
        message: `The property '${name}' exceeds the maximum size of ${tableLimits.propertyBytes} bytes.`,
      }
    bytes += 8 + 2 * name.length + size
  }
  if (bytes > tableLimits.entityBytes)
    return { code: 'EntityTooLarge', message: `The entity is larger than the maximum allowed size (1MB): ${bytes} bytes.` }
  return undefined
}

function valueBytes(value: unknown, type: unknown): number {
  if (value === null || value === undefined) return 0
  if (typeof value === 'boolean') return 1
  if (typeof value === 'number') return 8
  const text = String(value)
  if (type === 'Edm.Binary') return Math.floor((text.replace(/=+$/, '').length * 3) / 4)
  if (type === 'Edm.Guid') return 16
  return type === 'Edm.Int64' || type === 'Edm.DateTime' || type === 'Edm.Double' ? 8 : 2 * text.length
}

/** `…/table(PartitionKey='a',RowKey='b')`, or the keys of the entity. */
function operationOf(path: string, body: string): Operation {
  const entity = entityOf(body)
  const keys = /\(PartitionKey='((?:[^']|'')*)',\s*RowKey='((?:[^']|'')*)'\)/.exec(decoded(path))
  const unescape = (text: string | undefined) => text?.replaceAll("''", "'")
  const text = (value: unknown) => (typeof value === 'string' ? value : undefined)
  return {
    partitionKey: unescape(keys?.[1]) ?? text(entity?.PartitionKey),
    rowKey: unescape(keys?.[2]) ?? text(entity?.RowKey),
    entity,
  }
}

function operationsOf(batch: string): Operation[] {
  return batch
    .split(/^(?=(?:POST|PUT|MERGE|PATCH|DELETE) \S+ HTTP\/1\.1\r?$)/m)
    .slice(1)
    .map((part) => {
      const path = /^\S+ (\S+)/.exec(part)?.[1] ?? ''
      const start = /\r?\n\r?\n/.exec(part)
      return operationOf(path, start ? part.slice(start.index).split(/\r?\n--/)[0]! : '')
    })
}

function entityOf(body: string): Entity | undefined {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Entity) : undefined
  } catch {
    return undefined
  }
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

/** The answer of the service to a breach: for a batch, a batch whose one part is the error. */
export function breachAnswer(
  { code, message, index }: TableLimitBreach,
  isBatch: boolean,
): { status: number; headers: Record<string, string>; body: Buffer } {
  const value = isBatch && index !== undefined ? `${index}:${message}` : message
  const error = JSON.stringify({ 'odata.error': { code, message: { lang: 'en-US', value } } })
  const contentType = 'application/json;odata=minimalmetadata;streaming=true;charset=utf-8'
  if (!isBatch) return { status: 400, headers: { 'content-type': contentType }, body: Buffer.from(error) }
  const [batch, changes] = ['batchresponse_limits', 'changesetresponse_limits']
  const lines = [
    `--${batch}`,
    `Content-Type: multipart/mixed; boundary=${changes}`,
    '',
    `--${changes}`,
    'Content-Type: application/http',
    'Content-Transfer-Encoding: binary',
    '',
    'HTTP/1.1 400 Bad Request',
    'X-Content-Type-Options: nosniff',
    'DataServiceVersion: 3.0;',
    `Content-Type: ${contentType}`,
    '',
    error,
    `--${changes}--`,
    `--${batch}--`,
    '',
  ]
  return { status: 202, headers: { 'content-type': `multipart/mixed; boundary=${batch}` }, body: Buffer.from(lines.join('\r\n')) }
}
