/** A plant's plan as a file: which machines there are, how often they measure, and what will befall them. */
import { z } from 'zod'
import { machineKindNames } from './machine-kinds.ts'
import type { PlannedMachine } from './plant.ts'

const Name = z.string().regex(/^[A-Za-z0-9\-.+%_#*?!(),=@$']{1,120}$/, "a name has letters, digits or -.+%_#*?!(),=@$'")

const FaultEntry = z.strictObject({
  device: Name,
  kind: z.string().min(1),
  signal: z.string().optional(),
  onsetS: z.number().nonnegative(),
  rampS: z.number().nonnegative().default(12),
  lengthS: z.number().positive().default(300),
})

export const FleetFile = z.strictObject({
  seed: z.string().optional(),
  /** Outdoors, over the year. */
  meanOutdoorC: z.number().min(-60).max(60).optional(),
  machines: z
    .array(
      z.strictObject({
        kind: z.enum(machineKindNames),
        count: z.number().int().min(1).max(20_000).default(1),
        /** Names are PREFIX-001, PREFIX-002 …; the kind, unless said otherwise. */
        prefix: Name.optional(),
        ratePerS: z.number().positive().max(1_000).optional(),
      }),
    )
    .min(1),
  faults: z.array(FaultEntry).default([]),
})
export type FleetFile = z.infer<typeof FleetFile>

/** @throws ZodError when two groups give one name twice */
export function machinesOf({ machines }: FleetFile): (PlannedMachine & { readonly ratePerS: number | undefined })[] {
  const all = machines.flatMap(({ kind, count, prefix = kind, ratePerS }) =>
    Array.from({ length: count }, (_, index) => ({ kind, deviceId: `${prefix}-${String(index + 1).padStart(3, '0')}`, ratePerS })),
  )
  const seen = new Set<string>()
  const twice = all.find(({ deviceId }) => seen.has(deviceId) || !seen.add(deviceId))
  if (twice)
    throw new z.ZodError([
      { code: 'custom', path: ['machines'], message: `'${twice.deviceId}' stands in it twice; give one group a prefix`, input: undefined },
    ])
  return all
}
