/** The app's settings, read once from the environment; every mistake is reported together. */
import { z } from 'zod'

const AppSettings = z.object({
  /** Storage account of the tables and queues. The Functions host uses it for its checkpoints too. */
  AzureWebJobsStorage: z.string().min(1),
  /** Event Hub-compatible endpoint of the IoT Hub. */
  EventHubConnection: z.string().min(1),
  EVENT_HUB_NAME: z.string().min(1),
  /** Consumer group for reading the log again; not the trigger's. */
  REPLAY_CONSUMER_GROUP: z.string().min(1),
  SERVICE_DEPARTMENT_URL: z.url({ protocol: /^https?$/ }),
  /** `whsec_…`, base64, as Standard Webhooks writes it. */
  SERVICE_DEPARTMENT_SECRET: z.string().startsWith('whsec_'),
  /** Whoever holds it may act as operator. */
  OPERATOR_TOKEN: z.string().min(16),
})
export type AppSettings = z.infer<typeof AppSettings>

export class WrongSettingsError extends Error {
  override readonly name = 'WrongSettingsError'
}

export function readSettings(environment: Record<string, string | undefined>): AppSettings {
  const result = AppSettings.safeParse(environment)
  if (!result.success)
    throw new WrongSettingsError(`cannot start cloud-functions, its settings are wrong:\n${z.prettifyError(result.error)}`)
  return result.data
}
