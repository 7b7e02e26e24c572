/**
 * What tables cost while little happens: Azurite writes all of them to disk at each save. Ours, saved when the local cloud
 * says so, beside Azurite by itself, with the same rows, at the same time. CPU and writes are read from /proc: Linux.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { TableClient } from '@azure/data-tables'
import type { TransactionAction } from '@azure/data-tables'
import { Faults } from '../local-cloud/faults.ts'
import { storageConnectionString } from '../local-cloud/storage/azurite.ts'
import { startStorage } from '../local-cloud/storage/storage.ts'
import { printHeader, printRow } from './measure.ts'
import { cpuSeconds, end, said } from './process.ts'

const rows = Number(process.env.ROWS ?? 24_000)
const rowBytes = 2_000
const seconds = 90
const folder = mkdtempSync(join(tmpdir(), 'storage-bench-'))
const tablesFile = '__azurite_db_table__.json'

const writtenBytes = (pid: number) => Number(/^write_bytes: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))![1])

async function fill(connectionString: string): Promise<TableClient> {
  const table = TableClient.fromConnectionString(connectionString, 'readings', { allowInsecureConnection: true })
  await table.createTable()
  for (let row = 0; row < rows; row += 100)
    await table.submitTransaction(
      Array.from({ length: 100 }, (_, index): TransactionAction => {
        const entity = { partitionKey: `p${row}`, rowKey: String(index), bytes: Buffer.alloc(rowBytes, row + index) }
        return ['upsert', entity, 'Replace']
      }),
    )
  return table
}

async function measure(name: string, pid: number, table: TableClient, file: string): Promise<void> {
  // Saves of the filling are over.
  await delay(30_000)
  const [cpu, bytes] = [cpuSeconds(pid), writtenBytes(pid)]
  for (let second = 0; second < seconds; second++) {
    await table.upsertEntity({ partitionKey: 'one', rowKey: 'row', second }, 'Replace')
    await delay(1_000)
  }
  const cpuShare = (100 * (cpuSeconds(pid) - cpu)) / seconds
  const megabytes = (writtenBytes(pid) - bytes) / seconds / 1e6
  printRow(
    name,
    `${cpuShare.toFixed(1)} % of a core, ${megabytes.toFixed(1)} MB/s written, file ${Math.round(statSync(file).size / 1e6)} MB`,
  )
}

printHeader('Storage of the local cloud: a change a second')
const ours = await startStorage(join(folder, 'ours'), { blob: 0, queue: 0, table: 0 }, new Faults(Date.now), (event, fields) =>
  printRow(event, JSON.stringify(fields)),
)
const plainFolder = join(folder, 'plain')
const script = createRequire(import.meta.url).resolve('azurite/dist/src/azurite.js')
const ports = { blob: 21_000, queue: 21_001, table: 21_002 }
const options = Object.entries(ports).flatMap(([service, port]) => [`--${service}Port`, String(port)])
const plain = spawn(process.execPath, [
  script,
  '--silent',
  '--disableTelemetry',
  '--skipApiVersionCheck',
  '--location',
  plainFolder,
  ...options,
])
try {
  await said(plain, 'Table service is successfully listening')
  const tables = await Promise.all([fill(ours.connectionString), fill(storageConnectionString(ports))])
  await Promise.all([
    measure('tables of the local cloud', ours.process.pid!, tables[0], join(folder, 'ours', tablesFile)),
    measure('Azurite by itself', plain.pid!, tables[1], join(plainFolder, tablesFile)),
  ])
} finally {
  await Promise.all([ours.stop(), end(plain)])
  rmSync(folder, { recursive: true, force: true })
}
