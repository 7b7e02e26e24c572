/**
 * The edge's daily work beside a tuned Node-RED flow: 200 connections, one reading a message, deadband, detection, what is
 * kept written, alerts told. CPU of all processes of each pipeline.
 *
 * Ours encrypts, keeps every message on disk before it acknowledges, twice (gateway and module), judges three signals twice,
 * and packs for the cloud; the flow appends lines to a file, without fsync.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hasNodeRed, runNodeRed } from '../comparison/node-red.ts'
import { devices, runComparison } from '../comparison/run.ts'
import type { Run } from '../comparison/run.ts'
import { percentile, printRow } from '../measure.ts'
import { startGateway } from './gateway.ts'

async function runOurs(folder: string, perS: number): Promise<Run> {
  // The comparison's deadband; the device has no model.
  const groups = { all: { version: '1', maxIntervalMs: 86_400_000, signals: { '*': { filter: { kind: 'deadband', width: 0.3 } } } } }
  const gateway = await startGateway(folder, { groups })
  try {
    const clients = await gateway.loadClients(devices)
    return await runComparison({ load: { port: gateway.port, ca: gateway.ca, clients }, pids: () => gateway.pids() }, { perS })
  } finally {
    await gateway.stop()
  }
}

const rowOf = ({ usPerReading, parts, residentMb, drainMs, latenciesMs }: Run) =>
  `${usPerReading.toFixed(1)} us a reading (${parts.map((part) => part.toFixed(1)).join(' + ')}), ${residentMb.toFixed(0)} MB, drained after ${drainMs.toFixed(0)} ms` +
  (latenciesMs.length > 0 ? `, alerts p50 ${percentile(latenciesMs, 0.5)} and p99 ${percentile(latenciesMs, 0.99)} ms` : '')

export async function measureIngest(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'edge-bench-'))
  try {
    for (const perS of (process.env.RATES ?? '5000').split(',').map(Number)) {
      const ours = await runOurs(join(folder, `ours-${perS}`), perS)
      printRow(`gateway and module, ${perS}/s`, rowOf(ours))
      if (!hasNodeRed()) {
        printRow('Node-RED', 'not measured: set NODE_RED and MOSQUITTO')
        continue
      }
      for (const kind of ['tuned', 'stock'] as const) {
        const theirs = await runNodeRed(kind, join(folder, `${kind}-${perS}`), { perS })
        printRow(`Node-RED and mosquitto, ${kind}, ${perS}/s`, rowOf(theirs))
        printRow('ratio', (ours.usPerReading / theirs.usPerReading).toFixed(2))
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
