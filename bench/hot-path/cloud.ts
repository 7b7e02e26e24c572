/**
 * The cloud side as it runs: devices send packed batches to the hub, the functions app takes them by AMQP, judges every
 * reading and writes tables. CPU of the functions process, and apart from it of hub and tables, from the end of the
 * warm-up until all is stored; latency from a device's send to the alert's row. Beside it, when NODE_RED and MOSQUITTO
 * name them, the stock flow of the comparison: one reading a message, window, score, a line in a file.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { listDevices } from '../../cloud-functions/store/latest-store.ts'
import { openTables } from '../../cloud-functions/store/tables.ts'
import type { Tables } from '../../cloud-functions/store/tables.ts'
import { AlertEvent } from '../../contract/alert.ts'
import { Connection } from '../../contract/connection.ts'
import { addLedgers } from '../../contract/ledger.ts'
import { sharedAccessSignature } from '../../device-sim/device-credentials.ts'
import { HubRegistry } from '../../device-sim/hub-registry.ts'
import { childrenOf, end, said } from '../edge/gateway.ts'
import { measureStockFlow } from '../edge/ingest.ts'
import { cpuSeconds, Helper } from '../process.ts'
import { percentile, printRow } from '../measure.ts'
import type { PackedLoadArguments } from './packed-load.ts'

const root = new URL('../..', import.meta.url).pathname
const main = join(root, 'dist/cli/main.mjs')
const devices = 200
const warmUpS = 10
const measuredS = 20
const drainS = 60

type Figures = {
  readonly readings: number
  readonly functionsUs: number
  readonly restUs: number
  readonly latenciesMs: number[]
  readonly alerts: number
}

async function measureAt(folder: string, readingsPerS: number): Promise<Figures> {
  const data = join(folder, `cloud-${readingsPerS}`)
  const cloud = spawn(process.execPath, [main, 'cloud', '--data', data, '--json'], { stdio: ['ignore', 'pipe', 'inherit'] })
  await said(cloud, '"ready"')
  const target = join(data, 'connection.json')
  const connection = Connection.parse(JSON.parse(readFileSync(target, 'utf8')))
  const functions = await startFunctions(target, connection)
  try {
    const tables = await openTables(connection.storage)
    const registry = new HubRegistry(connection.iotHub, readFileSync(connection.ca!, 'utf8'))
    const registered = await registry.ensureDevices(Array.from({ length: devices }, (_, index) => `pump-${String(index).padStart(3, '0')}`))
    const clients = registered.map(({ deviceId, key }) => ({
      clientId: deviceId,
      username: `${registry.hubHost}/${deviceId}/?api-version=2021-04-12`,
      password: sharedAccessSignature(`${registry.hubHost}/devices/${deviceId}`, key, Date.now() + 3_600_000),
    }))
    const load: PackedLoadArguments = {
      port: Number(new URL(`https://${registry.hubHost}`).port),
      ca: readFileSync(connection.ca!, 'utf8'),
      readingsPerS,
      seconds: warmUpS + measuredS,
      everyMs: 5_000,
      clients,
    }
    const helper = new Helper('./hot-path/packed-load.ts', load)
    try {
      await helper.next()
      await delay(warmUpS * 1000)
      const others = [cloud.pid!, ...childrenOf(cloud.pid!)]
      const cpuOf = (pids: readonly number[]) => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0)
      const [functionsBefore, othersBefore, storedBefore] = [cpuSeconds(functions.pid!), cpuOf(others), await stored(tables)]
      const { readings, batches, acknowledged } = await helper.next<{ readings: number; batches: number; acknowledged: number }>()
      if (acknowledged !== batches) throw new Error(`${acknowledged} of ${batches} batches were acknowledged`)
      for (let waited = 0; (await stored(tables)) < readings; waited++) {
        if (waited > drainS * 5) throw new Error(`${await stored(tables)} of ${readings} readings were stored after ${drainS} s`)
        await delay(200)
      }
      const measured = readings - storedBefore
      const us = (cpuS: number) => (cpuS * 1e6) / measured
      const functionsUs = us(cpuSeconds(functions.pid!) - functionsBefore)
      const restUs = us(cpuOf(others) - othersBefore)
      const { latenciesMs, alerts } = await latencies(tables)
      return { readings: measured, functionsUs, restUs, latenciesMs, alerts }
    } finally {
      await helper.stop()
    }
  } finally {
    await end(functions)
    await end(cloud)
  }
}

/** The functions app by itself, beside the cloud that it works for. */
export async function startFunctions(target: string, { ca }: Connection): Promise<ChildProcess> {
  const functions = spawn(process.execPath, [main, 'functions', '--target', target, '--port', '0'], {
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

async function stored(tables: Tables): Promise<number> {
  return addLedgers((await listDevices(tables)).map(({ ledger }) => ledger)).stored
}

const EventRow = z.looseObject({ event: z.string(), timestamp: z.string() })

/** From when a reading was sent, which is its event time, to the time the store gave the row. */
export async function latencies(tables: Tables): Promise<{ latenciesMs: number[]; alerts: number }> {
  const latenciesMs: number[] = []
  for await (const row of tables.alertEvents.listEntities()) {
    const { event, timestamp } = EventRow.parse(row)
    const raised = AlertEvent.parse(JSON.parse(event))
    if (raised.kind === 'raised') latenciesMs.push(Date.parse(timestamp) - raised.evidence.window.timesMs.at(-1)!)
  }
  return { latenciesMs: latenciesMs.sort((a, b) => a - b), alerts: latenciesMs.length }
}

export async function measureCloud(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'hot-path-bench-'))
  try {
    let best = 0
    for (const readingsPerS of (process.env.RATES ?? '2000,20000').split(',').map(Number)) {
      const { readings, functionsUs, restUs, latenciesMs, alerts } = await measureAt(folder, readingsPerS)
      best = Math.max(best, 1e6 / functionsUs)
      printRow(
        `functions app, ${readingsPerS}/s packed`,
        `${functionsUs.toFixed(2)} us a reading, ${Math.round(1e6 / functionsUs)} a CPU-second (${readings} readings); hub and tables ${restUs.toFixed(2)} us`,
      )
      printRow(
        `alert row after send, ${readingsPerS}/s`,
        `p50 ${percentile(latenciesMs, 0.5)} ms, p99 ${percentile(latenciesMs, 0.99)} ms of ${alerts} alerts`,
      )
    }
    const stock = await measureStockFlow(join(folder, 'stock'))
    if (stock === undefined) return printRow('stock Node-RED', 'not measured: set NODE_RED and MOSQUITTO')
    printRow('mosquitto and stock Node-RED, 5,000/s', `${stock.toFixed(1)} us a reading, ${Math.round(1e6 / stock)} a CPU-second`)
    printRow('ratio of readings a CPU-second', (best / (1e6 / stock)).toFixed(0))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
