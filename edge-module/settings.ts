/** Settings from the environment, read once; what may change at run time comes by desired properties. */
import { z } from 'zod'
import { FilterSettings } from './batch-core.ts'

export const EdgeModuleSettings = z.object({
  /** Folder for the journal and the checkpoint: a volume of the container. */
  MODULE_DATA: z.string().min(1),
  /** The longest a reading waits at the edge for others to be packed with. */
  BATCH_MAX_DELAY_MS: z.coerce.number().int().min(50).max(600_000).default(1_000),
  JOURNAL_BYTES_MAX: z.coerce.number().int().min(1_048_576).default(1_073_741_824),
})
export type EdgeModuleSettings = z.infer<typeof EdgeModuleSettings>

export class WrongSettingsError extends Error {
  override readonly name = 'WrongSettingsError'
}

export function readSettings(environment: Record<string, string | undefined>): EdgeModuleSettings {
  const result = EdgeModuleSettings.safeParse(environment)
  if (!result.success) throw new WrongSettingsError(`cannot start edge-module, its settings are wrong:\n${z.prettifyError(result.error)}`)
  return result.data
}

/** Desired properties of the module's twin. Names that are not known are left to others. */
export const DesiredProperties = FilterSettings.partial()
