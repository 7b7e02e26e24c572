import { TableClient, TableTransaction } from '@azure/data-tables'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { cloudForTests } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'

let cloud: CloudForTests
let table: TableClient
beforeAll(async () => {
  cloud = await cloudForTests()
  table = TableClient.fromConnectionString(cloud.connection.storage, 'limits', { allowInsecureConnection: true })
  await table.createTable()
})
afterAll(() => cloud.stop())

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => 'nothing',
    (error: Error & { code?: string; details?: { odataError?: { code?: string } } }) =>
      `${error.code ?? ''} ${error.details?.odataError?.code ?? ''} ${error.message}`,
  )
const entity = (rowKey: string, partitionKey = 'p', values: Record<string, unknown> = {}) => ({ partitionKey, rowKey, ...values })
const batch = (entities: ReturnType<typeof entity>[]) => {
  const transaction = new TableTransaction()
  for (const one of entities) transaction.upsertEntity(one, 'Replace')
  return table.submitTransaction(transaction.actions)
}
const numbered = (count: number) => Array.from({ length: count }, (_, index) => entity(String(index)))
const wide = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`v${index}`, index]))

describe('the limits of Azure Tables', () => {
  test('a batch has a hundred changes at most', async () => {
    expect(await failure(batch(numbered(100)))).toBe('nothing')
    expect(await failure(batch(numbered(101)))).toMatch(/InvalidInput|maximum 100/)
  })
  test('of one partition', async () => expect(await failure(batch([entity('1', 'a'), entity('2', 'b')]))).not.toBe('nothing'))
  test('and no row twice', async () => expect(await failure(batch([entity('1'), entity('1')]))).not.toBe('nothing'))
  test('an entity has 252 properties of its own at most', async () => {
    expect(await failure(table.upsertEntity(entity('w', 'p', wide(252)), 'Replace'))).toBe('nothing')
    expect(await failure(table.upsertEntity(entity('w', 'p', wide(253)), 'Replace'))).toMatch(/TooManyProperties/)
  })
  test('a property has 64 KB at most, text two bytes a character', async () => {
    expect(await failure(table.upsertEntity(entity('t', 'p', { text: 'x'.repeat(32 * 1024) }), 'Replace'))).toBe('nothing')
    expect(await failure(table.upsertEntity(entity('t', 'p', { text: 'x'.repeat(32 * 1024 + 1) }), 'Replace'))).toMatch(
      /PropertyValueTooLarge/,
    )
    expect(await failure(table.upsertEntity(entity('t', 'p', { bytes: new Uint8Array(64 * 1024) }), 'Replace'))).toBe('nothing')
    expect(await failure(table.upsertEntity(entity('t', 'p', { bytes: new Uint8Array(64 * 1024 + 3) }), 'Replace'))).toMatch(
      /PropertyValueTooLarge/,
    )
  })
  test('and an entity a megabyte', async () => {
    const values = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`b${index}`, 'x'.repeat(32 * 1024)]))
    expect(await failure(table.upsertEntity(entity('m', 'p', values(15)), 'Replace'))).toBe('nothing')
    expect(await failure(table.upsertEntity(entity('m', 'p', values(17)), 'Replace'))).toMatch(/EntityTooLarge/)
  })
  test('keys have no slashes', async () => expect(await failure(table.createEntity(entity('a/b')))).not.toBe('nothing'))
  test('what is refused leaves nothing behind', async () => {
    await failure(batch([...numbered(100).map(({ rowKey }) => entity(`x${rowKey}`)), entity('x100')]))
    expect(await failure(table.getEntity('p', 'x0'))).toMatch(/ResourceNotFound/)
  })
})

describe('storage on a bad day', () => {
  test('fails and is slow when asked to, and recovers', async () => {
    const impatient = TableClient.fromConnectionString(cloud.connection.storage, 'limits', {
      allowInsecureConnection: true,
      retryOptions: { maxRetries: 0 },
    })
    await cloud.fault({ kind: 'failing-storage', target: 'table', count: 1 })
    expect(await failure(impatient.upsertEntity(entity('f')))).not.toBe('nothing')
    await cloud.fault({ kind: 'slow-storage', target: 'table', count: 1, delayMs: 300 })
    const started = Date.now()
    await impatient.upsertEntity(entity('f'))
    expect(Date.now() - started).toBeGreaterThanOrEqual(300)
  })
})
