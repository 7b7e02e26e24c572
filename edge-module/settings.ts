/** Settings from the environment, read once; what may change at run time comes by desired properties. */
import { z } from 'zod'

export const EdgeModuleSettings = z.object({
  /** Folder for the journal and the snapshot: a volume of the container. */
  MODULE_DATA: z.string().min(1),
  /** What the module keeps while it cannot pass on; beyond it, it takes nothing, and the gateway keeps it. */
  JOURNAL_BYTES_MAX: z.coerce.number().int().min(1_048_576).default(1_073_741_824),
  /** Readings that waited here longer are told of, as expired, and not sent. Alerts never expire. */
  READINGS_AGE_MAX_MS: z.coerce.number().int().min(60_000).default(604_800_000),
  LOG_LEVEL: z.enum(['error', 'warn', 'info', 'debug']).default('info'),
})
export type EdgeModuleSettings = z.infer<typeof EdgeModuleSettings>
export type LogLevel = EdgeModuleSettings['LOG_LEVEL']

export class WrongSettingsError extends Error {
  override readonly name = 'WrongSettingsError'
}

export function readSettings(environment: Record<string, string | undefined>): EdgeModuleSettings {
  const result = EdgeModuleSettings.safeParse(environment)
  if (!result.success) throw new WrongSettingsError(`cannot start edge-module, its settings are wrong:\n${z.prettifyError(result.error)}`)
  return result.data
}
