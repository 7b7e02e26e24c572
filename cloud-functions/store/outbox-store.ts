/** Messages that must reach somebody, until they have: one row per alert (or flood), transition and channel. */
import { z } from 'zod'
import { ChannelName } from '../alerting/notification-policy.ts'
import type { PlannedMessage } from '../alerting/plan-messages.ts'
import { quoted } from './alert-store.ts'
import { hasStatus } from './tables.ts'
import type { Tables } from './tables.ts'

/** `not-needed`: its alert was over before the message could be sent. */
export const OutboxStatus = z.enum(['waiting', 'delivered', 'given-up', 'not-needed'])
export type OutboxStatus = z.infer<typeof OutboxStatus>

const OutboxRow = z.looseObject({
  partitionKey: z.string(),
  rowKey: z.string(),
  etag: z.string(),
  transition: z.string(),
  channel: ChannelName,
  status: OutboxStatus,
  attempts: z.number(),
  nextAttemptMs: z.number(),
  plannedMs: z.number(),
  lastError: z.string(),
  workOrder: z.string(),
  mailTo: z.string(),
})

export type OutboxMessage = {
  /** The alert's id, or the flood's. */
  readonly about: string
  readonly transition: PlannedMessage['transition']
  readonly channel: ChannelName
  readonly status: OutboxStatus
  readonly attempts: number
  readonly nextAttemptMs: number
  readonly plannedMs: number
  readonly lastError: string
  /** Number the service department gave, empty until delivered. */
  readonly workOrder: string
  /** Only these, instead of those that mail goes to. */
  readonly mailTo: readonly string[]
  readonly etag: string
}

function rowKeyOf({ transition, channel }: Pick<OutboxMessage, 'transition' | 'channel'>): string {
  return `${transition}.${channel}`
}

/** Adds a message unless it is there already, in whatever state. @returns true when it is new */
export async function addToOutbox(tables: Tables, message: PlannedMessage, nowMs: number): Promise<boolean> {
  const { about, transition, channel, notBeforeMs, mailTo = [] } = message
  try {
    await tables.outbox.createEntity({
      partitionKey: about,
      rowKey: rowKeyOf(message),
      transition,
      channel,
      status: 'waiting',
      attempts: 0,
      nextAttemptMs: notBeforeMs,
      plannedMs: nowMs,
      lastError: '',
      workOrder: '',
      mailTo: mailTo.join(','),
    })
    return true
  } catch (error) {
    if (hasStatus(error, 409)) return false
    throw error
  }
}

/** What was planned for an alert, oldest first. */
export async function outboxOf(tables: Tables, about: string): Promise<OutboxMessage[]> {
  return list(tables, `PartitionKey eq '${quoted(about)}'`)
}

export async function messagesWith(tables: Tables, status: OutboxStatus): Promise<OutboxMessage[]> {
  return list(tables, `status eq '${status}'`)
}

async function list(tables: Tables, filter: string): Promise<OutboxMessage[]> {
  const messages: OutboxMessage[] = []
  for await (const entity of tables.outbox.listEntities({ queryOptions: { filter } })) {
    const { partitionKey, transition, mailTo, ...row } = OutboxRow.parse(entity)
    messages.push({
      about: partitionKey,
      ...row,
      transition: transition as OutboxMessage['transition'],
      mailTo: mailTo === '' ? [] : mailTo.split(','),
    })
  }
  return messages.sort((a, b) => a.plannedMs - b.plannedMs)
}

/** @returns false when somebody else changed the message since it was read */
export async function updateOutbox(
  tables: Tables,
  message: OutboxMessage,
  change: Partial<Pick<OutboxMessage, 'status' | 'attempts' | 'nextAttemptMs' | 'lastError' | 'workOrder'>>,
): Promise<boolean> {
  try {
    await tables.outbox.updateEntity({ partitionKey: message.about, rowKey: rowKeyOf(message), ...change }, 'Merge', { etag: message.etag })
    return true
  } catch (error) {
    if (hasStatus(error, 412)) return false
    throw error
  }
}
