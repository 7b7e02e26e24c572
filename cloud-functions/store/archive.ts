/**
 * The cold path: hour by hour, raw readings as Parquet files that DuckDB, Spark or Synapse read as they are
 * (`date=2026-11-21/hour=09/part-000.parquet`). The hour is that of the segment's beginning, hub time. Written again,
 * an hour gives the same files. Hours follow one another without a gap, however long the app was away, and none is written
 * before all of it has been applied.
 */
import { RestError } from '@azure/storage-blob'
import type { ContainerClient } from '@azure/storage-blob'
import { z } from 'zod'
import { listDevices, readDevice } from './latest-store.ts'
import { rowsOf } from './reading-rows.ts'
import type { ReadingRow } from './reading-rows.ts'
import { contentTypes, parquetOf } from './row-formats.ts'
import { segmentsOpened } from './segment-store.ts'
import type { Tables } from './tables.ts'

const hourMs = 3_600_000
const rowsPerFile = 500_000
/** A segment takes no more readings so long after it began; that of a silent device stays open, and is whole all the same. */
const settledAfterMs = 20 * 60_000
/** Where the archive begins. */
const hoursBackFirst = 48
/** Readers of the folder leave out what begins with an underscore. */
const progressName = '_archived-up-to.json'
const Progress = z.object({ archivedUpTo: z.iso.datetime() })

function folderOf(hourStartMs: number): string {
  const [date, time] = new Date(hourStartMs).toISOString().split('T')
  return `date=${date}/hour=${time!.slice(0, 2)}`
}

/** Archives the hours that are settled, from where it ended the last time. @returns how many */
export async function archiveSettledHours(tables: Tables, container: ContainerClient, nowMs: number, appliedMs: number): Promise<number> {
  const endMs = Math.floor((Math.min(nowMs, appliedMs) - settledAfterMs) / hourMs) * hourMs
  const progress = container.getBlockBlobClient(progressName)
  const beginMs = (await archivedUpTo(container, nowMs)) ?? endMs - hoursBackFirst * hourMs
  let archived = 0
  for (let hourStartMs = beginMs; hourStartMs < endMs; hourStartMs += hourMs) {
    await archiveHour(tables, container, hourStartMs)
    const json = JSON.stringify({ archivedUpTo: new Date(hourStartMs + hourMs).toISOString() } satisfies z.infer<typeof Progress>)
    await progress.upload(json, json.length)
    archived++
  }
  return archived
}

/** Hours before this are in the archive; undefined when none is, or when a clock that was ahead has left its mark: it begins anew. */
export async function archivedUpTo(container: ContainerClient, nowMs: number): Promise<number | undefined> {
  try {
    const progress = await container.getBlockBlobClient(progressName).downloadToBuffer()
    const upToMs = Date.parse(Progress.parse(JSON.parse(progress.toString())).archivedUpTo)
    return upToMs > nowMs ? undefined : upToMs
  } catch (error) {
    if (error instanceof RestError && error.statusCode === 404) return undefined
    throw error
  }
}

/** @returns rows written */
export async function archiveHour(tables: Tables, container: ContainerClient, hourStartMs: number): Promise<number> {
  const everything = { fromMs: Number.NEGATIVE_INFINITY, toMs: Number.POSITIVE_INFINITY }
  let rows: ReadingRow[] = []
  let [files, total] = [0, 0]
  const flush = async () => {
    const name = `${folderOf(hourStartMs)}/part-${files.toString().padStart(3, '0')}.parquet`
    await container.getBlockBlobClient(name).uploadData(parquetOf(rows), { blobHTTPHeaders: { blobContentType: contentTypes.parquet } })
    files++
    total += rows.length
    rows = []
  }
  const deviceIds = (await listDevices(tables)).map(({ deviceId }) => deviceId).sort()
  for (const deviceId of deviceIds) {
    const device = await readDevice(tables, deviceId)
    if (!device) continue
    for await (const segment of segmentsOpened(tables, device, { fromMs: hourStartMs, toMs: hourStartMs + hourMs })) {
      rows.push(...rowsOf(deviceId, segment, everything))
      if (rows.length >= rowsPerFile) await flush()
    }
  }
  if (rows.length > 0) await flush()
  await container.getBlockBlobClient(`${folderOf(hourStartMs)}/_SUCCESS`).uploadData(new Uint8Array())
  return total
}
