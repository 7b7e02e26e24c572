/** Messages that were set aside, whole: to be looked at, mended and sent again. */
import { z } from 'zod'
import { bytesFromProperties } from './row-bytes.ts'
import { hasStatus } from './tables.ts'
import type { Tables } from './tables.ts'

const DeadLetterRow = z.looseObject({
  partitionKey: z.string(),
  rowKey: z.string(),
  etag: z.string(),
  deviceId: z.string(),
  reason: z.string(),
  detail: z.string(),
  arrivedMs: z.number(),
  contentType: z.string(),
  bodyLength: z.number(),
  replayedMs: z.number().optional(),
})
export type DeadLetterRow = z.infer<typeof DeadLetterRow>
export type StoredDeadLetter = { readonly id: string; readonly row: DeadLetterRow; readonly body: Uint8Array }

export async function listDeadLetters(tables: Tables, limit: number): Promise<StoredDeadLetter[]> {
  const letters: StoredDeadLetter[] = []
  for await (const entity of tables.deadLetters.listEntities()) letters.push(storedLetter(entity))
  return letters.sort((a, b) => b.row.arrivedMs - a.row.arrivedMs).slice(0, limit)
}

/** @param id `partition-sequence` */
export async function readDeadLetter(tables: Tables, id: string): Promise<StoredDeadLetter | undefined> {
  const [, partitionKey, rowKey] = /^(p\d{3})-(\d{16})$/.exec(id) ?? []
  if (partitionKey === undefined || rowKey === undefined) return undefined
  try {
    return storedLetter(await tables.deadLetters.getEntity(partitionKey, rowKey))
  } catch (error) {
    if (hasStatus(error, 404)) return undefined
    throw error
  }
}

function storedLetter(entity: Record<string, unknown>): StoredDeadLetter {
  const row = DeadLetterRow.parse(entity)
  return { id: `${row.partitionKey}-${row.rowKey}`, row, body: bytesFromProperties(entity) }
}

/** Marks a message as sent again; the mark can be taken back when sending fails. @returns false when somebody else was first */
export async function markReplayed(tables: Tables, { row }: StoredDeadLetter, replayedMs: number | undefined): Promise<string | undefined> {
  const { partitionKey, rowKey, etag } = row
  try {
    const marked = await tables.deadLetters.updateEntity({ partitionKey, rowKey, replayedMs: replayedMs ?? 0 }, 'Merge', { etag })
    return marked.etag
  } catch (error) {
    if (hasStatus(error, 412)) return undefined
    throw error
  }
}
