/** The analytics store's tables: opened once a process, created when first needed. */
import { RestError, TableClient, TableServiceClient } from '@azure/data-tables'
import type { TransactionAction } from '@azure/data-tables'
import type { StorageConnection } from '../azure-connections.ts'

export const tableNames = [
  'latest',
  'readings',
  'rollups',
  'alerts',
  'alertEvents',
  'outbox',
  'workOrders',
  'plant',
  'usedLinks',
  'deadLetters',
  'exports',
  'hotPathState',
] as const
export type TableName = (typeof tableNames)[number]
export type Tables = Readonly<Record<TableName, TableClient>>

/** Short: whoever calls tries again with what is true by then, and must not wait for a store that is long back. */
const retryOptions = { maxRetries: 4, retryDelayInMs: 200, maxRetryDelayInMs: 2_000 }

/** @param storage a storage account's connection string, Azurite's with its table endpoint over http, or an identity */
export async function openTables(storage: StorageConnection): Promise<Tables> {
  const isString = typeof storage === 'string'
  const options = { allowInsecureConnection: isString && /TableEndpoint=http:/i.test(storage), retryOptions }
  const service = isString
    ? TableServiceClient.fromConnectionString(storage, options)
    : new TableServiceClient(storage.tablesUrl, storage.credential, options)
  const open = (name: TableName) =>
    isString
      ? TableClient.fromConnectionString(storage, name, options)
      : new TableClient(storage.tablesUrl, name, storage.credential, options)
  await Promise.all(tableNames.map((name) => service.createTable(name)))
  return Object.fromEntries(tableNames.map((name) => [name, open(name)])) as Record<TableName, TableClient>
}

/** One transaction takes 100 rows of one partition key and 4 MiB. */
export const transactionRowsMax = 100
const transactionBytesMax = 3_500_000

/** Splits actions of one partition key into transactions within the limits. `sizeOf` gives a row's bytes. */
export function intoTransactions(actions: readonly TransactionAction[], rowsMax = transactionRowsMax): TransactionAction[][] {
  const transactions: TransactionAction[][] = []
  let current: TransactionAction[] = []
  let bytes = 0
  for (const action of actions) {
    const size = rowBytes(action)
    if (current.length > 0 && (current.length >= rowsMax || bytes + size > transactionBytesMax)) {
      transactions.push(current)
      current = []
      bytes = 0
    }
    current.push(action)
    bytes += size
  }
  if (current.length > 0) transactions.push(current)
  return transactions
}

function rowBytes(action: TransactionAction): number {
  let bytes = 200
  for (const value of Object.values(action[1])) {
    // Binary travels as base64.
    if (value instanceof Uint8Array) bytes += value.length * 1.34
    else if (typeof value === 'string') bytes += value.length * 2
    else bytes += 16
  }
  return bytes
}

export function hasStatus(error: unknown, statusCode: number): boolean {
  return error instanceof RestError && error.statusCode === statusCode
}

/** Rows whose time, in milliseconds, is before another. It is stored as a double, and so must be the literal: Azure and Azurite agree on this form only. */
export function beforeMs(property: string, ms: number): string {
  return `${property} lt ${doubleLiteral(ms)}`
}

export function notBeforeMs(property: string, ms: number): string {
  return `${property} ge ${doubleLiteral(ms)}`
}

function doubleLiteral(ms: number): string {
  return `${Math.floor(ms)}.0`
}
