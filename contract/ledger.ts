/**
 * The ledger: every reading a device published ends as exactly one of stored, filtered, dead-lettered or expired,
 * or is still in flight. What fits none of these is unexplained, and must be 0.
 */
import { z } from 'zod'

export const LedgerCounts = z.object({
  /** Highest seq the pipeline knows to exist, summed over the device's boots. */
  published: z.number(),
  stored: z.number(),
  filtered: z.number(),
  deadLettered: z.number(),
  expired: z.number(),
  inFlight: z.number(),
  unexplained: z.number(),
  /** Deliveries that came again and changed nothing. */
  duplicates: z.number(),
})
export type LedgerCounts = z.infer<typeof LedgerCounts>

export const emptyLedger: LedgerCounts = {
  published: 0,
  stored: 0,
  filtered: 0,
  deadLettered: 0,
  expired: 0,
  inFlight: 0,
  unexplained: 0,
  duplicates: 0,
}

export function addLedgers(rows: Iterable<LedgerCounts>): LedgerCounts {
  const total = { ...emptyLedger }
  for (const row of rows) {
    for (const key of Object.keys(total) as (keyof LedgerCounts)[]) total[key] += row[key]
  }
  return total
}
