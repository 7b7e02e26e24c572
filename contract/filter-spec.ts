/** What an edge filter may leave out of a signal. Widths and tolerances are in the signal's unit. */
import { z } from 'zod'

export const FilterSpec = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('pass') }),
  /** Sends what lies further than `width` from what was sent last. */
  z.object({ kind: z.literal('deadband'), width: z.number().nonnegative() }),
  /** The same, the width being a part of what was sent last, and never less than `floor`. */
  z.object({ kind: z.literal('relative-deadband'), pct: z.number().positive().max(100), floor: z.number().nonnegative().default(0) }),
  /** Sends the corners of a line that stays within `tolerance` of every reading. */
  z.object({ kind: z.literal('swinging-door'), tolerance: z.number().positive() }),
  /** Sends what differs from what was sent last: states, counters, set points. */
  z.object({ kind: z.literal('on-change') }),
  /** Sends one reading a period; the statement of what was held back carries count, min, max and mean of the others. */
  z.object({ kind: z.literal('aggregate'), periodMs: z.number().int().min(100).max(86_400_000) }),
])
export type FilterSpec = z.infer<typeof FilterSpec>
