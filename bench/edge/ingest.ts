/**
 * The edge's daily work beside a tuned Node-RED flow: 200 connections, one reading a message, deadband, detection, what is
 * kept written, alerts told. CPU of all processes of each pipeline, the load generator excluded. Node-RED and mosquitto are
 * taken from their packages: NODE_RED names its red.js, MOSQUITTO its program. Linux.
 *
 * The flow is the tuned one of the comparison: mqtt-in parses the JSON, one function keeps the deadband, the window of 60
 * and the score, gathers 100 lines or 100 ms, a file node appends them; no fsync. Ours encrypts, keeps every message on disk
 * before it acknowledges, twice (gateway and module), judges three signals twice, and packs for the cloud.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { cpuSeconds, Helper, residentBytes } from '../process.ts'
import { end, said, startGateway } from './gateway.ts'
import { printRow } from '../measure.ts'
import type { LoadArguments } from './paced-load.ts'

const devices = 200
const warmUpS = 8
const measuredS = 15
const deviceIdOf = (index: number) => `dev-${String(index).padStart(5, '0')}`

type Result = {
  readonly cpuUsPerReading: number
  readonly parts: readonly number[]
  readonly residentMb: number
  readonly acknowledged: boolean
  readonly drainMs: number
}

/** Runs the load and reads the CPU of the processes from the end of the warm-up until all is drained. */
async function measured(load: Omit<LoadArguments, 'seconds' | 'perS'>, perS: number, pids: () => number[]): Promise<Result> {
  const helper = new Helper('./edge/paced-load.ts', { ...load, perS, seconds: warmUpS + measuredS })
  try {
    await helper.next()
    await delay(warmUpS * 1000)
    const total = () => pids().reduce((sum, pid) => sum + cpuSeconds(pid), 0)
    const each = () => pids().map((pid) => cpuSeconds(pid))
    const [before, eachBefore] = [total(), each()]
    const { sent, acknowledged, drainMs } = await helper.next<{ sent: number; acknowledged: number; drainMs: number }>()
    // Until its CPU stops growing: what is queued belongs to the job.
    let last = total()
    let waited = 0
    for (let quiet = 0; quiet < 2; ) {
      await delay(1_000)
      const now = total()
      quiet = now - last < 0.05 ? quiet + 1 : 0
      last = now
      if (++waited > 20) break
    }
    const readings = perS * measuredS
    return {
      parts: each().map((cpu, index) => ((cpu - (eachBefore[index] ?? 0)) * 1e6) / readings),
      cpuUsPerReading: ((last - before) * 1e6) / readings,
      residentMb: pids().reduce((sum, pid) => sum + residentBytes(pid), 0) / 1e6,
      acknowledged: acknowledged === sent,
      drainMs,
    }
  } finally {
    await helper.stop()
  }
}

async function ours(folder: string, perS: number): Promise<Result> {
  // The comparison's deadband; the device has no model.
  const groups = { all: { version: '1', maxIntervalMs: 86_400_000, signals: { '*': { filter: { kind: 'deadband', width: 0.3 } } } } }
  const gateway = await startGateway(folder, { groups })
  try {
    const clients = await gateway.loadClients(devices)
    return await measured({ port: gateway.port, ca: gateway.ca, clients }, perS, () => gateway.pids())
  } finally {
    await gateway.stop()
  }
}

const nodeRedFunction = `
const last = context.get('last') || {};
const windows = context.get('windows') || {};
const lines = context.get('lines') || [];
if (!context.get('started')) { context.set('started', true); context.set('last', last); context.set('windows', windows); context.set('lines', lines);
  setInterval(() => { if (lines.length > 0) node.send([{ payload: lines.splice(0).join('\\n') }, null]); }, 100); }
const r = msg.payload; const id = r.deviceId + '/' + r.sensorId;
const kept = last[id];
if (kept !== undefined && Math.abs(r.value - kept) < 0.3) return null;
last[id] = r.value;
const w = windows[id] || (windows[id] = []);
let z = 0;
if (w.length >= 30) { let s = 0; for (const v of w) s += v; const m = s / w.length; let q = 0; for (const v of w) q += (v - m) * (v - m); const sd = Math.sqrt(q / w.length); z = sd > 0 ? (r.value - m) / sd : 0; }
w.push(r.value); if (w.length > 60) w.shift();
const out = { deviceId: r.deviceId, sensorId: r.sensorId, timestamp: r.timestamp, value: r.value, z };
lines.push(JSON.stringify(out));
const alert = Math.abs(z) > 6 ? { topic: 'alerts/' + r.deviceId, payload: out } : null;
if (lines.length >= 100) { const payload = lines.splice(0).join('\\n'); return [{ payload }, alert]; }
return [null, alert];
`

/** As its documentation would have it: the window in the node's context, the score computed anew, a line at a time. */
const stockFunction = `
const r = msg.payload; const id = r.deviceId + '/' + r.sensorId;
const last = context.get('last') || {}; const windows = context.get('windows') || {};
const kept = last[id];
if (kept !== undefined && Math.abs(r.value - kept) < 0.3) return null;
last[id] = r.value;
const w = windows[id] || (windows[id] = []);
let z = 0;
if (w.length >= 30) { let s = 0; for (const v of w) s += v; const m = s / w.length; let q = 0; for (const v of w) q += (v - m) * (v - m); const sd = Math.sqrt(q / w.length); z = sd > 0 ? (r.value - m) / sd : 0; }
w.push(r.value); if (w.length > 60) w.shift();
context.set('last', last); context.set('windows', windows);
const out = { deviceId: r.deviceId, sensorId: r.sensorId, timestamp: r.timestamp, value: r.value, z };
return [{ payload: JSON.stringify(out) }, Math.abs(z) > 6 ? { topic: 'alerts/' + r.deviceId, payload: out } : null];
`

async function nodeRed(folder: string, perS: number, red: string, mosquitto: string, isStock = false): Promise<Result> {
  const port = 21_883
  mkdirSync(folder, { recursive: true })
  const settings = [
    'listener 21883 127.0.0.1',
    'allow_anonymous true',
    'persistence false',
    'max_inflight_messages 0',
    'max_queued_messages 0',
    'set_tcp_nodelay true',
    'user root',
  ]
  writeFileSync(join(folder, 'mosquitto.conf'), `${settings.join('\n')}\n`)
  const broker = {
    id: 'b',
    type: 'mqtt-broker',
    name: '',
    broker: '127.0.0.1',
    port: String(port),
    clientid: '',
    autoConnect: true,
    usetls: false,
    protocolVersion: '4',
    keepalive: '60',
    cleansession: true,
  }
  writeFileSync(
    join(folder, 'flows.json'),
    JSON.stringify([
      { id: 't', type: 'tab', label: 'edge' },
      broker,
      {
        id: 'in',
        type: 'mqtt in',
        z: 't',
        topic: 'devices/+/readings',
        qos: '1',
        datatype: isStock ? 'utf8' : 'json',
        broker: 'b',
        wires: [[isStock ? 'json' : 'f']],
      },
      ...(isStock ? [{ id: 'json', type: 'json', z: 't', property: 'payload', action: 'obj', wires: [['f']] }] : []),
      { id: 'f', type: 'function', z: 't', func: isStock ? stockFunction : nodeRedFunction, outputs: 2, wires: [['file'], ['out']] },
      {
        id: 'file',
        type: 'file',
        z: 't',
        filename: join(folder, 'kept.ndjson'),
        filenameType: 'str',
        appendNewline: true,
        createDir: false,
        overwriteFile: 'false',
        encoding: 'none',
        wires: [[]],
      },
      { id: 'out', type: 'mqtt out', z: 't', topic: '', qos: '1', retain: 'false', broker: 'b', wires: [] },
    ]),
  )
  writeFileSync(
    join(folder, 'settings.js'),
    "module.exports = { flowFile: 'flows.json', uiPort: 21880, uiHost: '127.0.0.1', disableEditor: true, httpAdminRoot: false, logging: { console: { level: 'info' } } }\n",
  )
  const mosquittoProcess = spawn(mosquitto, ['-c', join(folder, 'mosquitto.conf')], { stdio: 'ignore' })
  await delay(1_000)
  const flow = spawn(process.execPath, [red, '--userDir', folder, '--settings', join(folder, 'settings.js')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    await said(flow, 'Connected to broker')
    const clients = Array.from({ length: devices }, (_, index) => ({
      deviceId: deviceIdOf(index),
      clientId: deviceIdOf(index),
      topic: `devices/${deviceIdOf(index)}/readings`,
    }))
    return await measured({ port, clients }, perS, () => [flow.pid!, mosquittoProcess.pid!])
  } finally {
    await end(flow)
    await end(mosquittoProcess)
  }
}

/** Where Node-RED and mosquitto are; undefined unless both are. */
function comparison(): { red: string; mosquitto: string } | undefined {
  const red = process.env.NODE_RED
  const mosquitto = process.env.MOSQUITTO ?? 'mosquitto'
  return red !== undefined && existsSync(red) && !spawnSync(mosquitto, ['-h']).error ? { red, mosquitto } : undefined
}

/** CPU microseconds a reading of the stock flow at 5,000 a second; undefined where it is not installed. */
export async function measureStockFlow(folder: string): Promise<number | undefined> {
  const programs = comparison()
  if (!programs) return undefined
  return (await nodeRed(folder, 5_000, programs.red, programs.mosquitto, true)).cpuUsPerReading
}

export async function measureIngest(): Promise<void> {
  const programs = comparison()
  const folder = mkdtempSync(join(tmpdir(), 'edge-bench-'))
  const row = ({ cpuUsPerReading, parts, residentMb, acknowledged, drainMs }: Result) =>
    `${cpuUsPerReading.toFixed(1)} us a reading (${parts.map((part) => part.toFixed(1)).join(' + ')}), ${residentMb.toFixed(0)} MB${acknowledged ? '' : ', NOT ALL ACKNOWLEDGED'}, drained after ${drainMs} ms`
  try {
    for (const perS of (process.env.RATES ?? '5000').split(',').map(Number)) {
      const mine = await ours(join(folder, `ours-${perS}`), perS)
      printRow(`gateway and module, ${perS}/s`, row(mine))
      if (!programs) {
        printRow('Node-RED', 'not measured: set NODE_RED and MOSQUITTO')
        continue
      }
      const theirs = await nodeRed(join(folder, `red-${perS}`), perS, programs.red, programs.mosquitto)
      printRow(`mosquitto and Node-RED, tuned, ${perS}/s`, row(theirs))
      printRow('ratio', (mine.cpuUsPerReading / theirs.cpuUsPerReading).toFixed(2))
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
