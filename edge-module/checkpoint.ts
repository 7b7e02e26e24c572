/**
 * Where the module stands: how far the journal is folded, what the filters remember, and the batch that was made of it.
 * The three are written as one file, so that after a crash the same batch is sent again, byte for byte, and the cloud
 * recognises it.
 */
import { closeSync, fdatasyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { z } from 'zod'
import { CoreMemory } from './batch-core.ts'

const StoredCheckpoint = z.object({
  /** Position in the journal behind the last message folded. */
  position: z.number(),
  unstampedBoot: z.string(),
  memory: CoreMemory,
  /** The batch under way, base64; empty when there was none. */
  batch: z.string(),
})

export type Checkpoint = {
  readonly position: number
  readonly unstampedBoot: string
  readonly memory: CoreMemory
  readonly batch: Uint8Array
}

/** The last checkpoint, or a new one when there is none. @throws when the file is damaged: a person must look at it */
export function readCheckpoint(path: string, newBoot: string): Checkpoint {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return { position: 0, unstampedBoot: newBoot, memory: { devices: {} }, batch: new Uint8Array() }
  }
  const { batch, ...rest } = StoredCheckpoint.parse(JSON.parse(text))
  return { ...rest, batch: Buffer.from(batch, 'base64') }
}

export function writeCheckpoint(path: string, { batch, ...rest }: Checkpoint): void {
  const stored: z.infer<typeof StoredCheckpoint> = { ...rest, batch: Buffer.from(batch).toString('base64') }
  mkdirSync(dirname(path), { recursive: true })
  const descriptor = openSync(`${path}.new`, 'w')
  writeSync(descriptor, JSON.stringify(stored))
  fdatasyncSync(descriptor)
  closeSync(descriptor)
  renameSync(`${path}.new`, path)
}
