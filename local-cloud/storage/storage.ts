/** Storage of the cloud: Azurite, its tables behind a journal and the real limits, everything behind the fault switches. */
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { ClosingStack } from '../closing-stack.ts'
import type { Faults } from '../faults.ts'
import { startAzurite, storageConnectionString } from './azurite.ts'
import type { AzuritePorts } from './azurite.ts'
import { startDurableTables } from './durable-tables.ts'
import { startStorageGate, storageFault } from './storage-gate.ts'

export type Storage = {
  readonly connectionString: string
  readonly ports: AzuritePorts
  /** Azurite's own blob service. */
  readonly blobUpstreamPort: number
  readonly process: ChildProcess
  stop(): Promise<void>
}

/** On the ports used before, or on free ones where those are taken. */
export async function startStorage(
  directory: string,
  remembered: AzuritePorts,
  faults: Faults,
  log: (event: string, fields: Record<string, unknown>) => void,
): Promise<Storage> {
  const azurite = await startAzurite(directory, { blob: 0, queue: 0, table: 0 })
  const opened = new ClosingStack()
  const at = async <T>(port: number, start: (port: number) => Promise<T>): Promise<T> =>
    port === 0 ? start(0) : start(port).catch(() => start(0))
  try {
    const gate = (service: 'blob' | 'queue') =>
      at(remembered[service], (port) =>
        startStorageGate({ port, upstreamPort: azurite.ports[service], fault: storageFault(faults, service) }),
      )
    const [blob, queue] = await Promise.all([gate('blob'), gate('queue')])
    opened.defer(() => Promise.all([blob.stop(), queue.stop()]))
    const tables = await at(remembered.table, (port) =>
      startDurableTables({
        directory: join(directory, 'table-journal'),
        upstreamPort: azurite.ports.table,
        port,
        fault: storageFault(faults, 'table'),
        save: () => azurite.saveTables(),
        onTrouble: (error) => log('storage-not-saved', { error: String(error) }),
      }),
    )
    const ports = { blob: blob.port, queue: queue.port, table: tables.port }
    return {
      connectionString: storageConnectionString(ports),
      ports,
      blobUpstreamPort: azurite.ports.blob,
      process: azurite.process,
      async stop() {
        await opened.close()
        await tables.stop()
        if (await azurite.stop()) tables.markClean()
      },
    }
  } catch (error) {
    await opened.close()
    await azurite.stop()
    throw error
  }
}
