/**
 * How long an alert takes that is raised at the edge: from a device's send (the reading's own time) to the module having
 * raised it, which is when its outputs and the device's method go off; and to its row in the cloud's tables. One reading a
 * message, at a fixed rate over 200 connections; outliers are the comparison's.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { openTables } from '../../cloud-functions/store/tables.ts'
import { Connection } from '../../contract/connection.ts'
import { latencies } from '../hot-path/cloud.ts'
import { printRow } from '../measure.ts'
import { Helper } from '../process.ts'
import { end, said, startGateway } from './gateway.ts'
import type { LoadArguments } from './paced-load.ts'

const devices = 200
const seconds = 40
const root = new URL('../..', import.meta.url).pathname

/** @param withCloud the functions app runs too, on the same cores, and makes rows of the alerts */
async function measureAt(folder: string, perS: number, withCloud: boolean): Promise<void> {
  const gateway = await startGateway(folder, {})
  const target = join(folder, 'cloud', 'connection.json')
  const connection = Connection.parse(JSON.parse(readFileSync(target, 'utf8')))
  const functions = withCloud ? await startFunctions(target, connection) : undefined
  try {
    const clients = (await gateway.clients(devices, 'dev')).map(({ clientId, ...credentials }) => ({
      deviceId: clientId,
      clientId,
      topic: `devices/${clientId}/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8`,
      ...credentials,
    }))
    const load: LoadArguments = { port: gateway.port, ca: gateway.ca, perS, seconds, clients }
    const helper = new Helper('./edge/paced-load.ts', load)
    try {
      await helper.next()
      await helper.next()
    } finally {
      await helper.stop()
    }
    await delay(2_000)
    const at = (sorted: readonly number[], share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
    if (functions) {
      const rows = await latencies(await openTables(connection.storage))
      printRow(
        `row of an edge's alert, ${perS}/s`,
        `p50 ${at(rows.latenciesMs, 0.5)} ms, p99 ${at(rows.latenciesMs, 0.99)} ms of ${rows.alerts}`,
      )
      return
    }
    const raisedMs = [...gateway.output().matchAll(/\{"time":"([^"]+)".*?"event":"alert-raised".*?"readingMs":(\d+)/g)]
      .map(([, time, readingMs]) => Date.parse(time!) - Number(readingMs))
      .sort((a, b) => a - b)
    printRow(`alert raised at the edge, ${perS}/s`, `p50 ${at(raisedMs, 0.5)} ms, p99 ${at(raisedMs, 0.99)} ms of ${raisedMs.length}`)
  } finally {
    if (functions) await end(functions)
    await gateway.stop()
  }
}

async function startFunctions(target: string, { ca }: Connection): Promise<ChildProcess> {
  const functions = spawn(process.execPath, [join(root, 'dist/cli/main.mjs'), 'functions', '--target', target, '--port', '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      SERVICE_DEPARTMENT_URL: 'http://127.0.0.1:9/',
      SERVICE_DEPARTMENT_SECRET: `whsec_${Buffer.from('a bench needs no secret').toString('base64')}`,
      OPERATOR_TOKEN: 'a bench needs no operator',
      NODE_EXTRA_CA_CERTS: ca!,
    },
  })
  await said(functions, 'ready:')
  return functions
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
