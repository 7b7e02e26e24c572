/**
 * What the module knows at one position of its journal. After a crash the journal is folded again from there: the same
 * state, and batches that say the same, of which the cloud recognises what it has.
 */
import { readFileSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { z } from 'zod'
import { ByteReader, ByteWriter } from '../contract/telemetry/varint.ts'
import { writeWhole } from '../journal/durable-file.ts'
import { Configuration } from './configuration.ts'

const version = 1

export type Snapshot = {
  /** Position in the journal behind the last message folded. */
  readonly position: number
  /** The configuration in force: a gateway that starts offline filters as it did before. */
  readonly configuration: Configuration
  readonly state: Uint8Array
}

const Header = z.object({ position: z.number().int().nonnegative(), configuration: Configuration })

/** It is damaged, or another version of this program wrote it. */
export class UnreadableSnapshotError extends Error {
  override readonly name = 'UnreadableSnapshotError'
}

/** @returns undefined when there is none @throws UnreadableSnapshotError */
export function readSnapshot(path: string): Snapshot | undefined {
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const end = bytes.length - 4
  if (end < 0 || crc32(bytes.subarray(0, end)) !== bytes.readUInt32LE(end))
    throw new UnreadableSnapshotError(`the snapshot '${path}' is damaged`)
  const reader = new ByteReader(bytes, 0, end)
  const found = reader.uint()
  if (found !== version) throw new UnreadableSnapshotError(`the snapshot '${path}' is of version ${found}, this program reads ${version}`)
  const header = Header.safeParse(JSON.parse(reader.text()))
  if (!header.success) throw new UnreadableSnapshotError(`the snapshot '${path}' says what it should not: ${z.prettifyError(header.error)}`)
  return { ...header.data, state: reader.take(reader.remaining) }
}

export function writeSnapshot(path: string, { position, configuration, state }: Snapshot): void {
  const writer = new ByteWriter()
  writer.uint(version)
  writer.text(JSON.stringify({ position, configuration } satisfies z.infer<typeof Header>))
  writer.raw(state)
  writer.uint32(crc32(writer.finish()))
  writeWhole(path, writer.finish())
}
