/** Messages that must reach the service department, until they have: one row per alert, transition and channel. */
import { z } from 'zod'
import { hasStatus } from './tables.ts'
import type { Tables } from './tables.ts'

export const OutboxStatus = z.enum(['waiting', 'delivered', 'given-up'])

const OutboxRow = z.looseObject({
  partitionKey: z.string(),
  rowKey: z.string(),
  etag: z.string(),
  status: OutboxStatus,
  attempts: z.number(),
  nextAttemptMs: z.number(),
  lastError: z.string(),
  workOrder: z.string(),
})

export type OutboxMessage = {
  readonly alertId: string
  /** Transition and channel: with the alert's id, the same on every retry. */
  readonly transition: string
  readonly status: z.infer<typeof OutboxStatus>
  readonly attempts: number
  readonly nextAttemptMs: number
  readonly lastError: string
  /** Number the service department gave, empty until delivered. */
  readonly workOrder: string
  readonly etag: string
}

/** Adds a message unless it is there already, in whatever state. @returns true when it is new */
export async function addToOutbox(tables: Tables, alertId: string, transition: string, nowMs: number): Promise<boolean> {
  try {
    await tables.outbox.createEntity({
      partitionKey: alertId,
      rowKey: transition,
      status: 'waiting',
      attempts: 0,
      nextAttemptMs: nowMs,
      lastError: '',
      workOrder: '',
    })
    return true
  } catch (error) {
    if (hasStatus(error, 409)) return false
    throw error
  }
}

export async function outboxOf(tables: Tables, alertId: string): Promise<OutboxMessage[]> {
  return list(tables, `PartitionKey eq '${alertId}'`)
}

export async function waitingMessages(tables: Tables): Promise<OutboxMessage[]> {
  return list(tables, `status eq 'waiting'`)
}

async function list(tables: Tables, filter: string): Promise<OutboxMessage[]> {
  const messages: OutboxMessage[] = []
  for await (const entity of tables.outbox.listEntities({ queryOptions: { filter } })) {
    const { partitionKey, rowKey, ...row } = OutboxRow.parse(entity)
    messages.push({ alertId: partitionKey, transition: rowKey, ...row })
  }
  return messages
}

export async function updateOutbox(
  tables: Tables,
  message: OutboxMessage,
  change: Partial<Omit<OutboxMessage, 'alertId' | 'transition' | 'etag'>>,
): Promise<void> {
  await tables.outbox.updateEntity({ partitionKey: message.alertId, rowKey: message.transition, ...change }, 'Merge', {
    etag: message.etag,
  })
}
