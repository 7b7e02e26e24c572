/** What an idle device connection costs the gateway in memory, beside a TLS connection that does nothing. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { printRow } from '../measure.ts'
import { Helper, residentBytes } from '../process.ts'
import { startGateway } from './gateway.ts'
import type { BenchClient } from './gateway.ts'

const count = 1_000

export async function measureConnections(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'edge-bench-'))
  const gateway = await startGateway(folder, {})
  const bare = new Helper('./hub/bare-tls.ts', { directory: gateway.certificates })
  try {
    const { port } = await bare.next<{ port: number }>()
    const clients = await gateway.clients(count, 'idle')
    const each = async (pids: () => number[], options: { port: number; clients: readonly BenchClient[] }) => {
      const resident = () => pids().reduce((sum, pid) => sum + residentBytes(pid), 0)
      const before = resident()
      const load = new Helper('./hub/idle-load.ts', { ca: gateway.ca, count, ...options })
      await load.next()
      // What the handshakes left behind is collected within some seconds.
      await delay(5_000)
      const bytes = (resident() - before) / count
      await load.stop()
      return bytes / 1024
    }
    const tls = await each(() => [bare.pid], { port, clients: [] })
    const devices = await each(() => gateway.pids(), { port: gateway.port, clients })
    printRow(
      `${count} idle connections`,
      `bare TLS ${tls.toFixed(1)} KB each, devices ${devices.toFixed(1)} KB, ${(devices - tls).toFixed(1)} KB beyond TLS`,
    )
  } finally {
    await bare.stop()
    await gateway.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}
