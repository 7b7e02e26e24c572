/**
 * Writes what the hot path found out, and its state. Every key follows from the log, so writing twice changes nothing.
 * The row of the partition carries an ETag that only its present owner knows: an older owner's snapshot is refused.
 */
import type { TransactionAction } from '@azure/data-tables'
import { z } from 'zod'
import { deviceModel } from '../../contract/device-model.ts'
import { signalCondition } from '../../detection/watch-state.ts'
import { ledgerOf } from '../hot-path/device-account.ts'
import { clockBehindMs } from '../hot-path/device-clock.ts'
import { decodeSnapshot, encodeSnapshot, UnreadableSnapshotError } from '../hot-path/device-state.ts'
import type { DeviceState } from '../hot-path/device-state.ts'
import { newPartitionState } from '../hot-path/fold.ts'
import type { DeadLetter, Effects, PartitionState } from '../hot-path/fold.ts'
import type { AppliedUpTo } from '../hot-path/log-ends.ts'
import { encodeSegment } from '../hot-path/open-segment.ts'
import { appendEvent } from './alert-store.ts'
import { writeRollups } from './rollup-store.ts'
import { summaryProperty } from './latest-store.ts'
import type { DeviceSummary } from './latest-store.ts'
import { bytesFromProperties, bytesToProperties } from './row-bytes.ts'
import { writeSegment } from './segment-store.ts'
import { sequenceKey, tableKey } from './table-keys.ts'
import { hasStatus, intoTransactions, transactionRowsMax } from './tables.ts'
import type { Tables } from './tables.ts'

/** Another owner has taken the partition, or the store lost its last seconds: the state in memory is void. Reload and go on. */
export class PartitionLostError extends Error {
  override readonly name = 'PartitionLostError'
}

const partitionRowKey = '!partition'
const PartitionRow = z.looseObject({
  etag: z.string(),
  timestamp: z.iso.datetime(),
  appliedSequence: z.number(),
  appliedMs: z.number().default(0),
})

export type LoadedPartition = { readonly state: PartitionState; readonly etag: string | undefined; readonly unreadable: string[] }

/** The last snapshot of a partition; empty when there is none, or when it cannot be read and must be rebuilt. */
export async function loadPartition(tables: Tables, partitionId: string): Promise<LoadedPartition> {
  const state = newPartitionState()
  const unreadable: string[] = []
  let etag: string | undefined
  for await (const row of tables.hotPathState.listEntities({
    queryOptions: { filter: `PartitionKey eq '${partitionKey(partitionId)}'` },
  })) {
    if (row.rowKey === partitionRowKey) {
      const partition = PartitionRow.parse(row)
      etag = partition.etag
      state.appliedSequence = partition.appliedSequence
      state.appliedMs = partition.appliedMs
      continue
    }
    try {
      const device = decodeSnapshot(bytesFromProperties(row))
      state.devices.set(device.deviceId, device)
    } catch (error) {
      if (!(error instanceof UnreadableSnapshotError)) throw error
      unreadable.push(String(row.rowKey))
    }
  }
  if (unreadable.length === 0) return { state, etag, unreadable }
  // One unreadable device voids the partition: its state can only be had by folding the log again from its beginning.
  return { state: newPartitionState(), etag, unreadable }
}

/** The last message that each partition has applied, as far as it is written down. */
export async function appliedMessages(tables: Tables): Promise<Map<string, AppliedUpTo>> {
  const applied = new Map<string, AppliedUpTo>()
  const queryOptions = { filter: `RowKey eq '${partitionRowKey}'` }
  for await (const row of tables.hotPathState.listEntities({ queryOptions })) {
    const { appliedSequence, appliedMs, timestamp } = PartitionRow.parse(row)
    const upTo = { sequence: appliedSequence, arrivedMs: appliedMs, writtenMs: Date.parse(timestamp) }
    applied.set(String(Number(String(row.partitionKey).slice(1))), upTo)
  }
  return applied
}

/** Writes what was found out: histories, which must not wait. */
export async function writeEffects(tables: Tables, partitionId: string, effects: Effects): Promise<void> {
  // Alerts wait for nothing: not for the readings of the batch, nor for each other.
  await Promise.all(effects.alertEvents.map(({ sequenceNumber, event }) => appendEvent(tables, event, sequenceKey(sequenceNumber))))
  for (const { deviceId, segment, rollups } of effects.closedSegments) {
    await Promise.all([writeSegment(tables, deviceId, segment), writeRollups(tables, deviceId, segment, rollups)])
  }
  for (const letter of effects.deadLetters) await writeDeadLetter(tables, partitionId, letter)
}

/** Writes how devices are now: what pages read, one row a device. */
export async function writeLatest(tables: Tables, partitionId: string, devices: readonly DeviceState[]): Promise<void> {
  const rows: TransactionAction[] = devices.map((device) => ['upsert', latestRow(partitionId, device), 'Replace'])
  for (const transaction of intoTransactions(rows)) await tables.latest.submitTransaction(transaction)
}

function latestRow(partitionId: string, device: DeviceState) {
  const summary: DeviceSummary = {
    deviceId: device.deviceId,
    modelId: device.modelId,
    kind: deviceModel(device.modelId)?.interface.displayName ?? '',
    lastSeenMs: device.lastSeenMs,
    usualGapMs: device.usualGapMs,
    gatewayId: device.gatewayId,
    ledger: ledgerOf(device.account),
    clockBehindMs: clockBehindMs(device.clock),
    hoursUpToMs: device.rollups.hoursUpToMs,
    daysUpToMs: device.rollups.daysUpToMs,
    signals: [...device.latest].map(([signal, { timeMs, value }]) => {
      const watched = device.watch.signals.get(signal)
      return { signal, timeMs, value, condition: watched ? signalCondition(watched) : 'learning' }
    }),
  }
  const tail = device.segment ? bytesToProperties(encodeSegment(device.segment)) : {}
  const key = { partitionKey: partitionKey(partitionId), rowKey: tableKey(device.deviceId) }
  return { ...key, ...bytesToProperties(Buffer.from(JSON.stringify(summary)), summaryProperty), ...tail }
}

async function writeDeadLetter(tables: Tables, partitionId: string, letter: DeadLetter): Promise<void> {
  const { sequenceNumber, deviceId, reason, detail, arrivedMs, contentType, body } = letter
  await tables.deadLetters.upsertEntity(
    {
      partitionKey: partitionKey(partitionId),
      rowKey: sequenceKey(sequenceNumber),
      deviceId,
      reason,
      detail: detail.slice(0, 2_000),
      arrivedMs,
      contentType,
      bodyLength: body.length,
      ...bytesToProperties(body.subarray(0, deadLetterBytesMax)),
    },
    'Replace',
  )
}

/** A message larger than this is kept in part; IoT Hub takes 256 KB. */
const deadLetterBytesMax = 262_144

/**
 * Writes the states of `devices` and moves the partition's row, in transactions that all depend on its ETag.
 * @returns the new ETag
 * @throws PartitionLostError when the row is not as this owner left it
 */
export async function savePartition(
  tables: Tables,
  partitionId: string,
  partition: PartitionState,
  devices: readonly DeviceState[],
  etag: string | undefined,
): Promise<string> {
  const rows: TransactionAction[] = devices.map((device) => [
    'upsert',
    { partitionKey: partitionKey(partitionId), rowKey: `d-${tableKey(device.deviceId)}`, ...bytesToProperties(encodeSnapshot(device)) },
    'Replace',
  ])
  const transactions = intoTransactions(rows, transactionRowsMax - 1)
  if (transactions.length === 0) transactions.push([])
  let current = etag
  for (const [index, transaction] of transactions.entries()) {
    // Only the last transaction moves the sequence number: until then the devices already written are ahead, and skip.
    const isLast = index === transactions.length - 1
    const row = {
      partitionKey: partitionKey(partitionId),
      rowKey: partitionRowKey,
      ...(isLast ? { appliedSequence: partition.appliedSequence, appliedMs: partition.appliedMs } : {}),
    }
    const guard: TransactionAction =
      current === undefined ? ['create', { appliedSequence: -1, ...row }] : ['update', row, 'Merge', { etag: current }]
    try {
      const { subResponses } = await tables.hotPathState.submitTransaction([guard, ...transaction])
      current = subResponses[0]?.etag
    } catch (error) {
      const isLost = hasStatus(error, 412) || hasStatus(error, 409) || hasStatus(error, 404)
      if (isLost)
        throw new PartitionLostError(`partition ${partitionId} has another owner, or the store lost its last seconds`, { cause: error })
      throw error
    }
    if (current === undefined) throw new PartitionLostError(`the store gave no ETag for partition ${partitionId}`)
  }
  return current!
}

function partitionKey(partitionId: string): string {
  return `p${partitionId.padStart(3, '0')}`
}
