/**
 * How long an alert takes that is raised at the edge: from a device's send (the reading's own time) to the module having
 * raised it, which is when its outputs and the device's method go off; and to its row in the cloud's tables. One reading a
 * message, at a fixed rate over 200 connections; outliers are the comparison's.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { openTables } from '../../cloud-functions/store/tables.ts'
import { Connection } from '../../contract/connection.ts'
import { latencies, startFunctions } from '../hot-path/cloud.ts'
import { percentile, printRow } from '../measure.ts'
import { end, Helper } from '../process.ts'
import type { LoadArguments } from '../comparison/load.ts'
import { startGateway } from './gateway.ts'

const devices = 200
const seconds = 40

/** @param withCloud the functions app runs too, on the same cores, and makes rows of the alerts */
async function measureAt(folder: string, perS: number, withCloud: boolean): Promise<void> {
  const gateway = await startGateway(folder, {})
  const target = join(folder, 'cloud', 'connection.json')
  const connection = Connection.parse(JSON.parse(readFileSync(target, 'utf8')))
  const functions = withCloud ? await startFunctions(target, connection) : undefined
  try {
    const clients = await gateway.loadClients(devices)
    const load: LoadArguments = { port: gateway.port, ca: gateway.ca, perS, seconds, readingsPerMessage: 1, clients }
    const helper = new Helper('./comparison/load.ts', load)
    try {
      await helper.next()
      await helper.next()
    } finally {
      await helper.stop()
    }
    await delay(2_000)
    if (functions) {
      const rows = await latencies(await openTables(connection.storage))
      printRow(`row of an edge's alert, ${perS}/s`, `p50 ${percentile(rows, 0.5)} ms, p99 ${percentile(rows, 0.99)} ms of ${rows.length}`)
      return
    }
    const raisedMs = [...gateway.output().matchAll(/\{"time":"([^"]+)".*?"event":"alert-raised".*?"readingMs":(\d+)/g)]
      .map(([, time, readingMs]) => Date.parse(time!) - Number(readingMs))
      .sort((a, b) => a - b)
    printRow(
      `alert raised at the edge, ${perS}/s`,
      `p50 ${percentile(raisedMs, 0.5)} ms, p99 ${percentile(raisedMs, 0.99)} ms of ${raisedMs.length}`,
    )
  } finally {
    if (functions) await end(functions)
    await gateway.stop()
  }
}

export async function measureAlerts(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'edge-bench-'))
  try {
    for (const perS of [400, 2_000])
      for (const withCloud of [false, true]) await measureAt(join(folder, `alerts-${perS}-${withCloud}`), perS, withCloud)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
