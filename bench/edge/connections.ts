/** What an idle device connection costs the gateway in memory. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { measureIdle } from '../idle/idle-memory.ts'
import { startGateway } from './gateway.ts'

const count = 1_000

export async function measureConnections(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'edge-bench-'))
  const gateway = await startGateway(folder, {})
  const { port, ca, certificates: directory } = gateway
  try {
    await measureIdle({ pids: () => gateway.pids(), port, ca, directory, clients: await gateway.clients(count, 'idle') })
  } finally {
    await gateway.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}
