/**
 * The cloud side as it runs: devices send packed batches to the hub, the functions app takes them by AMQP, judges every
 * reading and writes tables. CPU of the functions process, and apart from it of hub and tables, from the end of the
 * warm-up until all is stored; latency from a device's send to the alert's row. Beside it, when NODE_RED and MOSQUITTO
 * name them, the stock flow of the comparison: one reading a message, window, score, a line in a file.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
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
import type { LoadResult } from '../comparison/load.ts'
import { hasNodeRed, runNodeRed } from '../comparison/node-red.ts'
import { deviceIdOf, devices, runComparison } from '../comparison/run.ts'
import type { Run } from '../comparison/run.ts'
import { childrenOf, cpuSeconds, end, Helper, said } from '../process.ts'
import { percentile, printRow } from '../measure.ts'
import type { PackedLoadArguments } from './packed-load.ts'

const root = new URL('../..', import.meta.url).pathname
const main = join(root, 'dist/cli/main.mjs')
/** At 40 messages a second the code of a message's way is compiled after a minute; the flow's, at 5,000, after a second. */
const warmUpS = 60
const measuredS = 20
const drainS = 60
const readingsPerPack = 24

/** Cloud and functions app in processes of their own, with the comparison's devices registered. */
type RunningCloud = {
  readonly tables: Tables
  readonly functionsPid: number
  /** Hub, tables and queues. */
  readonly otherPids: readonly number[]
  readonly port: number
  readonly ca: string
  readonly clients: readonly { readonly clientId: string; readonly username: string; readonly password: string }[]
}

async function withCloud<T>(folder: string, run: (cloud: RunningCloud) => Promise<T>): Promise<T> {
  const cloud = spawn(process.execPath, [main, 'cloud', '--data', folder, '--json'], { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    await said(cloud, '"ready"')
    const target = join(folder, 'connection.json')
    const connection = Connection.parse(JSON.parse(readFileSync(target, 'utf8')))
    const functions = await startFunctions(target, connection)
    try {
      const tables = await openTables(connection.storage)
      const ca = readFileSync(connection.ca!, 'utf8')
      const registry = new HubRegistry(connection.iotHub, ca)
      const registered = await registry.ensureDevices(Array.from({ length: devices }, (_, index) => deviceIdOf(index)))
      const clients = registered.map(({ deviceId, key }) => ({
        clientId: deviceId,
        username: `${registry.hubHost}/${deviceId}/?api-version=2021-04-12`,
        password: sharedAccessSignature(`${registry.hubHost}/devices/${deviceId}`, key, Date.now() + 3_600_000),
      }))
      const port = Number(new URL(`https://${registry.hubHost}`).port)
      const otherPids = [cloud.pid!, ...childrenOf(cloud.pid!)]
      return await run({ tables, functionsPid: functions.pid!, otherPids, port, ca, clients })
    } finally {
      await end(functions)
    }
  } finally {
    await end(cloud)
  }
}

type Figures = {
  readonly readings: number
  readonly functionsUs: number
  readonly restUs: number
  readonly latenciesMs: number[]
}

async function measureColumns(
  { tables, functionsPid, otherPids, port, ca, clients }: RunningCloud,
  readingsPerS: number,
): Promise<Figures> {
  const load: PackedLoadArguments = { port, ca, readingsPerS, seconds: warmUpS + measuredS, clients }
  const helper = new Helper('./hot-path/packed-load.ts', load)
  try {
    await helper.next()
    await delay(warmUpS * 1000)
    const cpuOf = (pids: readonly number[]) => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0)
    const [functionsBefore, othersBefore, storedBefore] = [cpuSeconds(functionsPid), cpuOf(otherPids), await stored(tables)]
    const { readings, batches, acknowledged } = await helper.next<{ readings: number; batches: number; acknowledged: number }>()
    if (acknowledged !== batches) throw new Error(`${acknowledged} of ${batches} batches were acknowledged`)
    for (let waited = 0; (await stored(tables)) < readings; waited++) {
      if (waited > drainS * 5) throw new Error(`${await stored(tables)} of ${readings} readings were stored after ${drainS} s`)
      await delay(200)
    }
    const measured = readings - storedBefore
    const us = (cpuS: number) => (cpuS * 1e6) / measured
    const functionsUs = us(cpuSeconds(functionsPid) - functionsBefore)
    const restUs = us(cpuOf(otherPids) - othersBefore)
    return { readings: measured, functionsUs, restUs, latenciesMs: await latencies(tables) }
  } finally {
    await helper.stop()
  }
}

/** The comparison's packs of 24 readings as JSON, a billing unit each; three values of a reading are stored, as they have three. */
async function runPacks({ tables, functionsPid, port, ca, clients }: RunningCloud, perS: number): Promise<Run> {
  const load = {
    port,
    ca,
    clients: clients.map((client) => ({
      ...client,
      deviceId: client.clientId,
      topic: `devices/${client.clientId}/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8`,
    })),
  }
  const isDone = async ({ sent }: LoadResult) => (await stored(tables)) === sent * readingsPerPack * 3
  return await runComparison({ load, pids: () => [functionsPid], isDone }, { perS, readingsPerMessage: readingsPerPack })
}

/** A service department that takes whatever it is sent: one that is away would cost the functions app more than it does in service. */
async function serviceDepartment(): Promise<string> {
  const server = http.createServer((request, response) => request.resume().once('end', () => response.writeHead(202).end('{}')))
  server.listen(0, '127.0.0.1').unref()
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

/** The functions app by itself, beside the cloud that it works for. PROFILE names a folder for CPU profiles of its threads. */
export async function startFunctions(target: string, { ca }: Connection): Promise<ChildProcess> {
  const profile = process.env.PROFILE === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${process.env.PROFILE}`]
  const functions = spawn(process.execPath, [...profile, main, 'functions', '--target', target, '--port', '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      SERVICE_DEPARTMENT_URL: await serviceDepartment(),
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

/** From when a reading was sent, which is its event time, to the time the store gave the row; ascending. */
export async function latencies(tables: Tables): Promise<number[]> {
  const latenciesMs: number[] = []
  for await (const row of tables.alertEvents.listEntities()) {
    const { event, timestamp } = EventRow.parse(row)
    const raised = AlertEvent.parse(JSON.parse(event))
    if (raised.kind === 'raised') latenciesMs.push(Date.parse(timestamp) - raised.evidence.window.timesMs.at(-1)!)
  }
  return latenciesMs.sort((a, b) => a - b)
}

const latencyText = (latenciesMs: readonly number[]) =>
  `p50 ${percentile(latenciesMs, 0.5)} ms, p99 ${percentile(latenciesMs, 0.99)} ms of ${latenciesMs.length} alerts`
const costText = (us: number) => `${us.toFixed(2)} us a reading, ${Math.round(1e6 / us)} a CPU-second`

export async function measureCloud(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'hot-path-bench-'))
  try {
    let bestUs = Infinity
    for (const readingsPerS of (process.env.RATES ?? '2000,20000,100000,500000').split(',').map(Number)) {
      const figures = await withCloud(join(folder, `columns-${readingsPerS}`), (cloud) => measureColumns(cloud, readingsPerS))
      bestUs = Math.min(bestUs, figures.functionsUs)
      printRow(
        `functions app, ${readingsPerS}/s packed`,
        `${costText(figures.functionsUs)} (${figures.readings} readings); hub and tables ${figures.restUs.toFixed(2)} us`,
      )
      printRow(`alert row after send, ${readingsPerS}/s`, latencyText(figures.latenciesMs))
    }
    if (!hasNodeRed()) return printRow('Node-RED', 'not measured: set NODE_RED and MOSQUITTO')
    let bestStockUs = Infinity
    for (const perS of [5_000, 10_000]) {
      const stock = await runNodeRed('stock', join(folder, `stock-${perS}`), { perS })
      bestStockUs = Math.min(bestStockUs, stock.usPerReading)
      printRow(`mosquitto and stock Node-RED, ${perS}/s`, `${costText(stock.usPerReading)}; alerts ${latencyText(stock.latenciesMs)}`)
    }
    printRow('ratio of readings a CPU-second, the best of each', (bestStockUs / bestUs).toFixed(0))
    const perS = 20_000
    const packs = await withCloud(join(folder, 'packs'), (cloud) => runPacks(cloud, perS))
    printRow(`functions app, ${perS}/s in packs of JSON`, costText(packs.usPerReading))
    const tuned = await runNodeRed('tuned', join(folder, 'tuned'), { perS, readingsPerMessage: readingsPerPack })
    printRow(`mosquitto and tuned Node-RED, the same packs`, `${costText(tuned.usPerReading)}; alerts ${latencyText(tuned.latenciesMs)}`)
    printRow('ratio of readings a CPU-second', (tuned.usPerReading / packs.usPerReading).toFixed(1))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
