/** Blobs of the analytics store: finished exports, and the raw readings of the cold path. */
import { BlobServiceClient } from '@azure/storage-blob'
import type { ContainerClient } from '@azure/storage-blob'
import type { StorageConnection } from '../azure-connections.ts'
import { contentTypes, parquetOf, textHeader, textRow } from './row-formats.ts'
import type { RowFormat } from './row-formats.ts'
import type { ReadingRow } from './reading-rows.ts'

export type Files = { readonly exports: ContainerClient; readonly archive: ContainerClient }

export const containerNames = { exports: 'exports', archive: 'readings-archive' } as const

export async function openFiles(storage: StorageConnection): Promise<Files> {
  const service =
    typeof storage === 'string'
      ? BlobServiceClient.fromConnectionString(storage)
      : new BlobServiceClient(storage.blobsUrl, storage.credential)
  const { exports, archive } = containerNames
  const files: Files = { exports: service.getContainerClient(exports), archive: service.getContainerClient(archive) }
  await Promise.all(Object.values(files).map((container: ContainerClient) => container.createIfNotExists()))
  return files
}

/** A block of a text file; Azure takes 50,000 of them. */
const blockChars = 4_000_000
/** A Parquet file is made in memory, and every file is fetched through a function that holds it whole. */
const rowsMax = 2_000_000

/** More rows than one file may hold. Asking for a shorter span helps. */
export class TooManyRowsError extends Error {
  override readonly name = 'TooManyRowsError'
}

/**
 * Writes rows to a blob, which appears when it is whole; the same rows give the same bytes.
 * @returns rows and bytes
 * @throws TooManyRowsError
 */
export async function writeRows(
  container: ContainerClient,
  name: string,
  format: RowFormat,
  rows: AsyncIterable<ReadingRow>,
): Promise<{ rows: number; bytes: number }> {
  const blob = container.getBlockBlobClient(name)
  const options = { blobHTTPHeaders: { blobContentType: contentTypes[format] } }
  if (format === 'parquet') {
    const gathered: ReadingRow[] = []
    for await (const row of rows) {
      gathered.push(row)
      requireRoom(gathered.length)
    }
    const bytes = parquetOf(gathered)
    await blob.uploadData(bytes, options)
    return { rows: gathered.length, bytes: bytes.length }
  }
  const blockIds: string[] = []
  let [count, bytes, text] = [0, 0, textHeader(format)]
  const flush = async () => {
    const block = Buffer.from(text)
    const blockId = Buffer.from(blockIds.length.toString().padStart(6, '0')).toString('base64')
    await blob.stageBlock(blockId, block, block.length)
    blockIds.push(blockId)
    bytes += block.length
    text = ''
  }
  for await (const row of rows) {
    requireRoom(++count)
    text += textRow(format, row)
    if (text.length >= blockChars) await flush()
  }
  if (text !== '') await flush()
  await blob.commitBlockList(blockIds, options)
  return { rows: count, bytes }
}

function requireRoom(rows: number): void {
  if (rows > rowsMax) throw new TooManyRowsError(`an export takes ${rowsMax} readings; a shorter span, or fewer devices, help`)
}
