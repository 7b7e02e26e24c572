/** What idle connections cost a server in memory: devices, and beside them connections to a server that does nothing. */
import { setTimeout as delay } from 'node:timers/promises'
import { printRow } from '../measure.ts'
import { Helper, residentBytes } from '../process.ts'
import type { BareServerArguments } from './bare-server.ts'
import type { IdleLoadArguments } from './load.ts'

type Server = {
  readonly pids: () => readonly number[]
  readonly port: number
  readonly ca: string
  /** Folder of its certificates. */
  readonly directory: string
  /** Devices that may connect. */
  readonly clients: IdleLoadArguments['clients']
}

export async function measureIdle({ pids, port, ca, directory, clients }: Server): Promise<void> {
  const count = clients.length
  const tcp = await bareBytes(count, {})
  const tls = await bareBytes(count, { directory }, ca)
  const devices = await bytesEach(pids, { port, ca, count, clients })
  const kilobytes = (bytes: number) => `${(bytes / 1024).toFixed(1)} KB`
  printRow(
    `${count} idle connections`,
    `devices ${kilobytes(devices)} each; bare TLS ${kilobytes(tls)}, ${kilobytes(devices - tls)} beyond it; bare TCP ${kilobytes(tcp)}, without TLS ${kilobytes(devices - tls + tcp)}`,
  )
}

async function bareBytes(count: number, server: BareServerArguments, ca?: string): Promise<number> {
  const bare = new Helper('./idle/bare-server.ts', server)
  try {
    const { port } = await bare.next<{ port: number }>()
    return await bytesEach(() => [bare.pid], { port, count, clients: [], ...(ca === undefined ? {} : { ca }) })
  } finally {
    await bare.stop()
  }
}

async function bytesEach(pids: () => readonly number[], load: IdleLoadArguments): Promise<number> {
  const resident = () => pids().reduce((sum, pid) => sum + residentBytes(pid), 0)
  const before = resident()
  const helper = new Helper('./idle/load.ts', load)
  try {
    await helper.next()
    // What the handshakes left behind is collected within some seconds.
    await delay(5_000)
    return (resident() - before) / load.count
  } finally {
    await helper.stop()
  }
}
