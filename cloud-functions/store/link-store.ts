/** Links that are good once: the first to write down that one was used has used it. */
import { beforeMs, hasStatus } from './tables.ts'
import type { Tables } from './tables.ts'

const partitionKey = 'link'

/** @returns false when the link was used before */
export async function useLink(tables: Tables, nonce: string, untilMs: number): Promise<boolean> {
  try {
    await tables.usedLinks.createEntity({ partitionKey, rowKey: nonce, untilMs: { type: 'Double', value: String(untilMs) } })
    return true
  } catch (error) {
    if (hasStatus(error, 409)) return false
    throw error
  }
}

/** A link that has expired is refused for that alone. @returns how many were forgotten */
export async function forgetExpiredLinks(tables: Tables, nowMs: number): Promise<number> {
  let forgotten = 0
  const filter = `PartitionKey eq '${partitionKey}' and ${beforeMs('untilMs', nowMs)}`
  for await (const { rowKey } of tables.usedLinks.listEntities({ queryOptions: { filter, select: ['RowKey'] } })) {
    await tables.usedLinks.deleteEntity(partitionKey, rowKey!)
    forgotten++
  }
  return forgotten
}
