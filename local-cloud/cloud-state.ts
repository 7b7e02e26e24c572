/** What a cloud must remember to be the same one after a restart: its keys, its ports, when it was made. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import { writeWhole } from '../journal/durable-file.ts'
import { newKey } from './security/shared-access.ts'

const Keys = z.object({
  iothubowner: z.string(),
  service: z.string(),
  device: z.string(),
  registryRead: z.string(),
  registryReadWrite: z.string(),
  RootManageSharedAccessKey: z.string(),
  provisioningserviceowner: z.string(),
  dpsGroup: z.string(),
  webPubSub: z.string(),
  inspector: z.string(),
})

const CloudState = z.object({
  keys: Keys,
  idScope: z.string(),
  createdMs: z.number(),
  ports: z.object({ tls: z.number(), amqp: z.number(), blob: z.number(), queue: z.number(), table: z.number() }),
})
export type CloudState = z.infer<typeof CloudState>

export async function readCloudState(directory: string): Promise<CloudState> {
  try {
    return CloudState.parse(JSON.parse(await readFile(join(directory, 'cloud.json'), 'utf8')))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const fresh: CloudState = {
    keys: Object.fromEntries(Object.keys(Keys.shape).map((name) => [name, newKey()])) as CloudState['keys'],
    idScope: `0ne${randomBytes(4).toString('hex').toUpperCase()}`,
    createdMs: Date.now(),
    ports: { tls: 0, amqp: 0, blob: 0, queue: 0, table: 0 },
  }
  writeCloudState(directory, fresh)
  return fresh
}

export function writeCloudState(directory: string, state: CloudState): void {
  writeWhole(join(directory, 'cloud.json'), JSON.stringify(state, null, 2))
}
