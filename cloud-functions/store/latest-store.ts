/** The read side of devices and their readings. */
import { z } from 'zod'
import { addLedgers, LedgerCounts } from '../../contract/ledger.ts'
import { decodeSegment } from '../hot-path/open-segment.ts'
import type { Segment } from '../hot-path/open-segment.ts'
import { quoted } from './alert-store.ts'
import { bytesFromProperties, bytesPropertiesOf } from './row-bytes.ts'
import { tableKey } from './table-keys.ts'
import type { Tables } from './tables.ts'

export const DeviceSummary = z.object({
  deviceId: z.string(),
  modelId: z.string(),
  /** Display name of the model, empty when the model is not known. */
  kind: z.string(),
  lastSeenMs: z.number(),
  usualGapMs: z.number(),
  gatewayId: z.string(),
  ledger: LedgerCounts,
  /** How far its clock seems to be behind the hub's; negative: ahead. */
  clockBehindMs: z.number(),
  /** Hours, and days, that begin before this have their rollups; later ones are made of finer ones. */
  hoursUpToMs: z.number(),
  daysUpToMs: z.number(),
  signals: z.array(
    z.object({
      signal: z.string(),
      timeMs: z.number(),
      value: z.number(),
      condition: z.enum(['learning', 'fine', 'alarm']),
    }),
  ),
})
export type DeviceSummary = z.infer<typeof DeviceSummary>

/** A summary of many signals is longer than a property may be. */
export const summaryProperty = 'summary'

function summaryOf(row: Record<string, unknown>): DeviceSummary {
  return DeviceSummary.parse(JSON.parse(bytesFromProperties(row, summaryProperty).toString()))
}

/** Every device once, by id. One that came by two ways has a row in two partitions: its accounts add up, its newest values count. */
export async function listDevices(tables: Tables): Promise<DeviceSummary[]> {
  const devices = new Map<string, DeviceSummary>()
  for await (const row of tables.latest.listEntities({ queryOptions: { select: bytesPropertiesOf(summaryProperty) } })) {
    const device = summaryOf(row)
    const known = devices.get(device.deviceId)
    devices.set(device.deviceId, known ? joined(known, device) : device)
  }
  return [...devices.values()].sort((a, b) => (a.deviceId < b.deviceId ? -1 : 1))
}

function joined(a: DeviceSummary, b: DeviceSummary): DeviceSummary {
  return { ...(a.lastSeenMs > b.lastSeenMs ? a : b), ledger: addLedgers([a.ledger, b.ledger]) }
}

/** A device and its open segment. */
export type StoredDevice = { readonly summary: DeviceSummary; readonly tail: Segment | undefined }

/** Of two rows the newer one's. */
export async function readDevice(tables: Tables, deviceId: string): Promise<StoredDevice | undefined> {
  let found: StoredDevice | undefined
  for await (const row of tables.latest.listEntities({ queryOptions: { filter: `RowKey eq '${quoted(tableKey(deviceId))}'` } })) {
    const summary = summaryOf(row)
    const bytes = bytesFromProperties(row)
    if (!found || summary.lastSeenMs > found.summary.lastSeenMs)
      found = { summary, tail: bytes.length > 0 ? decodeSegment(bytes) : undefined }
  }
  return found
}
