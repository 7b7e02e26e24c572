/**
 * Partitions and instances, as a platform moves them: leases that change hands, scale out and in, an instance that does
 * not know it has lost its lease, one partition that has most of the plant. The real hot path on real tables; whatever
 * happens, the store ends as if one instance had done it all.
 */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { zlibCompression } from '../../cloud-functions/hot-path/compression.ts'
import type { LoggedMessage } from '../../cloud-functions/hot-path/fold.ts'
import { PartitionOwner } from '../../cloud-functions/hot-path/partition-owner.ts'
import { PartitionLostError } from '../../cloud-functions/store/hot-path-store.ts'
import { openTables } from '../../cloud-functions/store/tables.ts'
import type { Tables } from '../../cloud-functions/store/tables.ts'
import { mixedMachines } from '../../device-sim/plant.ts'
import { randomOf } from '../../device-sim/random.ts'
import { cloudForTests } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { plantLog, readerOf } from '../support/log.ts'

const partitionCount = 6
const batchSize = 40

let cloud: CloudForTests
let tables: Tables
beforeAll(async () => {
  cloud = await cloudForTests()
  tables = await openTables(cloud.connection.storage)
}, 60_000)
afterAll(() => cloud?.stop())

/** Most machines fall on partition 0: a gateway that brings half a plant is one device to the hub. */
function partitionOf(deviceId: string): number {
  const hash = createHash('sha256').update(deviceId).digest()[0]!
  return hash % 2 === 0 ? 0 : hash % partitionCount
}

const machines = mixedMachines(16)
const whole = plantLog({
  machines,
  seconds: 240,
  faults: [
    { deviceId: 'pump-001', kind: 'level-shift', signal: 'flowM3PerH', onsetS: 120, rampS: 1, endS: 200 },
    { deviceId: 'motor-002', kind: 'stuck', signal: 'motorCurrentA', onsetS: 100, rampS: 1, endS: 220 },
  ],
})
const logs: LoggedMessage[][] = Array.from({ length: partitionCount }, (_, partition) =>
  whole.filter(({ deviceId }) => partitionOf(deviceId!) === partition).map((message, sequenceNumber) => ({ ...message, sequenceNumber })),
)

let clockMs = 1_700_000_000_000

function ownerOf(partition: number): PartitionOwner {
  return new PartitionOwner({
    partitionId: String(partition),
    tables,
    readLog: readerOf(logs[partition]!),
    compression: zlibCompression,
    // Time passes with every look, so that state is written now and then.
    nowMs: () => (clockMs += 500),
    warn: () => {},
  })
}

/** An instance: the partitions it believes to own, and how far each has been handed to it. */
type Instance = { readonly owners: Map<number, PartitionOwner> }

const batchAt = (partition: number, from: number) => logs[partition]!.slice(from, from + batchSize)

async function clear(): Promise<void> {
  for (const table of Object.values(tables))
    for await (const { partitionKey, rowKey } of table.listEntities({ queryOptions: { select: ['PartitionKey', 'RowKey'] } }))
      await table.deleteEntity(partitionKey!, rowKey!)
}

/** Every row that follows from the log; state may lag behind, and what is shown may be shown twice. */
async function contents(): Promise<string[]> {
  const rows: string[] = []
  for (const name of ['readings', 'rollups', 'alertEvents', 'deadLetters', 'latest'] as const)
    for await (const { etag: _etag, timestamp: _timestamp, partitionKey, rowKey, ...row } of tables[name].listEntities())
      rows.push(`${name} ${partitionKey} ${rowKey} ${createHash('sha256').update(JSON.stringify(row)).digest('hex').slice(0, 16)}`)
  return rows.sort()
}

/** Hands every batch to the instance that has its lease, while leases move as the seed says. */
async function runWithMoves(seed: string): Promise<{ moves: number; fenced: number }> {
  const { next: random } = randomOf(seed)
  const instances: Instance[] = [{ owners: new Map() }]
  const leases = new Map<number, Instance>(logs.map((_, partition) => [partition, instances[0]!]))
  const checkpoints = logs.map(() => 0)
  const made: PartitionOwner[] = []
  let [moves, fenced] = [0, 0]
  const process = async (instance: Instance, partition: number, from: number) => {
    let owner = instance.owners.get(partition)
    if (!owner) {
      instance.owners.set(partition, (owner = ownerOf(partition)))
      made.push(owner)
    }
    try {
      await owner.process(batchAt(partition, from))
    } catch (error) {
      // The trigger hands the batch over again.
      if (!(error instanceof PartitionLostError)) throw error
      fenced++
      await owner.process(batchAt(partition, from))
    }
  }
  while (checkpoints.some((from, partition) => from < logs[partition]!.length)) {
    const waiting = checkpoints.flatMap((from, partition) => (from < logs[partition]!.length ? [partition] : []))
    const partition = waiting[Math.floor(random() * waiting.length)]!
    const holder = leases.get(partition)!
    const chance = random()
    if (chance < 0.1) {
      // Scale out, or back to few: a lease goes to another instance, which starts from the checkpoint.
      const target = Math.floor(random() * 4)
      const taker = (instances[target] ??= { owners: new Map() })
      leases.set(partition, taker)
      moves++
      // A batch that the old one has under way is finished by it, though it has lost the lease.
      if (random() < 0.5) await process(holder, partition, checkpoints[partition]!)
      // Checkpoints are written now and then: some of what was done is handed over again.
      checkpoints[partition] = Math.max(0, checkpoints[partition]! - batchSize * Math.floor(random() * 3))
    } else if (chance < 0.13) {
      // An instance ends without a word; all it held in memory is gone.
      holder.owners.clear()
    } else {
      await process(holder, partition, checkpoints[partition]!)
      checkpoints[partition]! += batchSize
    }
  }
  // Those that do not know they are no owners any more show what they know, and the last owner shows all after them.
  for (const owner of made) await owner.close()
  for (const partition of leases.keys()) {
    const last = ownerOf(partition)
    await last.process(batchAt(partition, logs[partition]!.length - batchSize))
    await last.close()
  }
  return { moves, fenced }
}

test('whoever works on which partition, the store ends the same', async () => {
  const sizes = logs.map(({ length }) => length)
  expect(Math.max(...sizes), 'one partition is hot').toBeGreaterThan(whole.length / 3)
  for (const [partition, log] of logs.entries()) {
    const owner = ownerOf(partition)
    for (let from = 0; from < log.length; from += batchSize) await owner.process(batchAt(partition, from))
    await owner.close()
  }
  const expected = await contents()
  expect(expected.filter((row) => row.startsWith('alertEvents')).length).toBeGreaterThan(0)
  for (const seed of ['first', 'second']) {
    await clear()
    const { moves, fenced } = await runWithMoves(seed)
    expect(moves, `moves with seed '${seed}'`).toBeGreaterThan(5)
    expect(fenced, `owners that were fenced with seed '${seed}'`).toBeGreaterThan(0)
    expect(await contents(), `with seed '${seed}'`).toEqual(expected)
  }
}, 120_000)
