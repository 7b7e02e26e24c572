/**
 * Files whose contents outlive a loss of power, on every system. Linux writes and syncs in one call (O_DSYNC). Windows has no
 * such flag, and that of macOS leaves the bytes in the drive's cache: there a sync follows the write.
 */
import { closeSync, constants, fsyncSync, mkdirSync, openSync, renameSync, writeFileSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'

const syncsAsItWrites = process.platform === 'linux'

/** To be opened with; `written` says when a write has reached the disk. */
export const durableFlag = syncsAsItWrites ? constants.O_DSYNC : 0

/** Resolves when all that was written to a file opened with `durableFlag` is on the disk. */
export async function written(handle: FileHandle): Promise<void> {
  if (!syncsAsItWrites) await handle.datasync()
}

/** What Windows, a network share or a folder of another system answers that cannot be asked. */
const cannotSyncFolders = new Set(['EPERM', 'EACCES', 'EINVAL', 'EISDIR', 'ENOSYS', 'ENOTSUP'])

/** Makes the names in a folder durable, where the file system does not do so by itself. */
export function syncFolder(directory: string): void {
  const descriptor = openSync(directory, 'r')
  try {
    fsyncSync(descriptor)
  } catch (error) {
    if (!cannotSyncFolders.has((error as NodeJS.ErrnoException).code ?? '')) throw error
  } finally {
    closeSync(descriptor)
  }
}

/**
 * A file for its owner alone, written beside the old one and renamed once it is on the disk: a loss of power leaves one or the other.
 * Windows renames nothing over a file that is open.
 */
export function writeWhole(file: string, contents: string | Uint8Array): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const descriptor = openSync(`${file}.new`, 'w', 0o600)
  try {
    writeFileSync(descriptor, contents)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  renameSync(`${file}.new`, file)
  syncFolder(dirname(file))
}
