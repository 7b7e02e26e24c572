/**
 * The comparison's flow in Node-RED behind mosquitto, both from their packages: NODE_RED names red.js, MOSQUITTO the program.
 * What it kept is held against what the load says should have been kept: a flow that does not run costs little.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { end, said } from '../process.ts'
import type { LoadResult } from './load.ts'
import { deviceIdOf, devices, runComparison } from './run.ts'
import type { Run } from './run.ts'

/**
 * Stock, as its documentation would have it: parsed by a node of its own, what it remembers in the node's context, a line
 * written at a time. Tuned: mqtt-in parses, a message may hold many readings, lines are gathered to 100 or for 100 ms.
 */
export type FlowKind = 'stock' | 'tuned'

type NodeRed = {
  readonly port: number
  readonly pids: readonly number[]
  /** Lines that the file node has written. */
  keptLines(): number
  stop(): Promise<void>
}

const port = 21_883

/** Deadband, score against the last 60 kept values, and `out`, what is to be written. */
const judge = `
const id = r.deviceId + '/' + r.sensorId;
const kept = last[id];
if (kept !== undefined && Math.abs(r.value - kept) < 0.3) return null;
last[id] = r.value;
const w = windows[id] || (windows[id] = []);
let z = 0;
if (w.length >= 30) { let s = 0; for (const v of w) s += v; const m = s / w.length; let q = 0; for (const v of w) q += (v - m) * (v - m); const sd = Math.sqrt(q / w.length); z = sd > 0 ? (r.value - m) / sd : 0; }
w.push(r.value); if (w.length > 60) w.shift();
const out = { deviceId: r.deviceId, sensorId: r.sensorId, timestamp: r.timestamp, value: r.value, z };
const alert = Math.abs(z) > 6 ? { topic: 'alerts/' + r.deviceId, payload: out } : null;
`

const functions: Record<FlowKind, string> = {
  stock: `
const last = context.get('last') || {}; const windows = context.get('windows') || {}; const r = msg.payload;
${judge}
context.set('last', last); context.set('windows', windows);
return [{ payload: JSON.stringify(out) }, alert];
`,
  tuned: `
const last = context.get('last') || {}; const windows = context.get('windows') || {}; const lines = context.get('lines') || [];
if (!context.get('started')) { context.set('started', true); context.set('last', last); context.set('windows', windows); context.set('lines', lines);
  setInterval(() => { if (lines.length > 0) node.send([{ payload: lines.splice(0).join('\\n') }, null]); }, 100); }
const alerts = [];
const judge = (r) => {
${judge}
  lines.push(JSON.stringify(out));
  if (alert) alerts.push(alert);
};
if (Array.isArray(msg.payload)) for (const r of msg.payload) judge(r); else judge(msg.payload);
return [lines.length >= 100 ? { payload: lines.splice(0).join('\\n') } : null, alerts];
`,
}

/** Without coordinates a node counts as configuration, and the flow does not start. */
const onTab = { z: 'tab', x: 100, y: 100 }

function flowOf(kind: FlowKind, keptFile: string): unknown[] {
  const isStock = kind === 'stock'
  const broker = { broker: '127.0.0.1', port: String(port), clientid: '', autoConnect: true, usetls: false, protocolVersion: '4' }
  const toFile = { filename: keptFile, filenameType: 'str', appendNewline: true, createDir: false, overwriteFile: 'false' }
  const input = { topic: 'devices/+/readings', qos: '1', datatype: isStock ? 'utf8' : 'json', broker: 'mosquitto' }
  return [
    { id: 'tab', type: 'tab', label: 'comparison' },
    { id: 'mosquitto', type: 'mqtt-broker', name: '', ...broker, keepalive: '60', cleansession: true },
    { id: 'readings', type: 'mqtt in', ...onTab, ...input, wires: [[isStock ? 'parse' : 'judge']] },
    ...(isStock ? [{ id: 'parse', type: 'json', ...onTab, property: 'payload', action: 'obj', wires: [['judge']] }] : []),
    { id: 'judge', type: 'function', ...onTab, func: functions[kind], outputs: 2, wires: [['kept'], ['alerts']] },
    { id: 'kept', type: 'file', ...onTab, ...toFile, encoding: 'none', wires: [[]] },
    { id: 'alerts', type: 'mqtt out', ...onTab, topic: '', qos: '1', retain: 'false', broker: 'mosquitto', wires: [] },
  ]
}

/** Whether both programs are here. */
export function hasNodeRed(): boolean {
  const red = process.env.NODE_RED
  return red !== undefined && existsSync(red) && !spawnSync(mosquittoProgram(), ['-h']).error
}

const mosquittoProgram = () => process.env.MOSQUITTO ?? 'mosquitto'

/** @param folder its own, made here */
async function startNodeRed(kind: FlowKind, folder: string): Promise<NodeRed> {
  mkdirSync(folder, { recursive: true })
  const [brokerFile, settingsFile, keptFile] = [join(folder, 'mosquitto.conf'), join(folder, 'settings.js'), join(folder, 'kept.ndjson')]
  const brokerSettings = [
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    'persistence false',
    'max_inflight_messages 0',
    'max_queued_messages 0',
    'set_tcp_nodelay true',
    'user root',
  ]
  writeFileSync(brokerFile, `${brokerSettings.join('\n')}\n`)
  writeFileSync(join(folder, 'flows.json'), JSON.stringify(flowOf(kind, keptFile)))
  const settings = { flowFile: 'flows.json', uiPort: 21_880, uiHost: '127.0.0.1', disableEditor: true, httpAdminRoot: false }
  writeFileSync(settingsFile, `module.exports = ${JSON.stringify({ ...settings, logging: { console: { level: 'info' } } })}\n`)
  const mosquitto = spawn(mosquittoProgram(), ['-c', brokerFile], { stdio: 'ignore' })
  await delay(1_000)
  const red = spawn(process.execPath, [process.env.NODE_RED!, '--userDir', folder, '--settings', settingsFile], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const stop = async () => {
    await end(red)
    await end(mosquitto)
  }
  try {
    await said(red, 'Connected to broker')
  } catch (error) {
    await stop()
    throw error
  }
  return { port, pids: [red.pid!, mosquitto.pid!], keptLines: () => linesOf(keptFile), stop }
}

function linesOf(file: string): number {
  if (!existsSync(file)) return 0
  let lines = 0
  for (const byte of readFileSync(file)) if (byte === 0x0a) lines++
  return lines
}

/** What Node-RED and mosquitto need for a reading. @throws when the flow has not kept exactly what it should have */
export async function runNodeRed(kind: FlowKind, folder: string, load: { perS: number; readingsPerMessage?: number }): Promise<Run> {
  const nodeRed = await startNodeRed(kind, folder)
  try {
    const clients = Array.from({ length: devices }, (_, index) => {
      const deviceId = deviceIdOf(index)
      return { deviceId, clientId: deviceId, topic: `devices/${deviceId}/readings` }
    })
    const isDone = ({ kept }: LoadResult) => nodeRed.keptLines() === kept
    return await runComparison({ load: { port: nodeRed.port, alerts: 'alerts/#', clients }, pids: () => nodeRed.pids, isDone }, load)
  } finally {
    await nodeRed.stop()
  }
}
