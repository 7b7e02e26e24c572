/** What is known of the plant as a whole: where machines stand, and since when somebody has been listening. */
import { z } from 'zod'
import { Topology } from '../alerting/topology.ts'
import { hasStatus } from './tables.ts'
import type { Tables } from './tables.ts'

const partitionKey = 'plant'
const TopologyRow = z.looseObject({ topology: z.string() })
const WatchRow = z.looseObject({ watchedSinceMs: z.number(), lastLookMs: z.number() })

/** Undefined while nobody has said. */
export async function readTopology(tables: Tables): Promise<Topology | undefined> {
  const row = await read(tables, 'topology')
  return row && Topology.parse(JSON.parse(TopologyRow.parse(row).topology))
}

/** A text property holds 32 Ki characters. */
export const topologyCharactersMax = 32_000

export async function writeTopology(tables: Tables, topology: Topology): Promise<void> {
  await tables.plant.upsertEntity({ partitionKey, rowKey: 'topology', topology: JSON.stringify(topology) }, 'Replace')
}

/** Longer without a look at the devices, and nobody can say who was silent meanwhile. */
const unwatchedMs = 60_000

/** Notes that somebody looks now. @returns since when somebody has, without a longer pause */
export async function noteLook(tables: Tables, nowMs: number): Promise<number> {
  const row = await read(tables, 'watch')
  const known = row && WatchRow.parse(row)
  const watchedSinceMs = known && nowMs - known.lastLookMs <= unwatchedMs ? known.watchedSinceMs : nowMs
  await tables.plant.upsertEntity({ partitionKey, rowKey: 'watch', watchedSinceMs, lastLookMs: nowMs }, 'Replace')
  return watchedSinceMs
}

async function read(tables: Tables, rowKey: string): Promise<Record<string, unknown> | undefined> {
  try {
    return await tables.plant.getEntity(partitionKey, rowKey)
  } catch (error) {
    if (hasStatus(error, 404)) return undefined
    throw error
  }
}
