/** The agent's settings, named as the Azure samples name them; every mistake is reported together, no key is repeated. */
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { parseDeviceConnectionString } from './device-credentials.ts'
import { AgentConfig } from './sensors/agent-config.ts'

const common = {
  /** File with the certificate authority of a local cloud or gateway. */
  IOTHUB_CA_FILE: z
    .string()
    .optional()
    .transform((file, context) => {
      if (file === undefined) return undefined
      try {
        return readFileSync(file, 'utf8')
      } catch (error) {
        context.issues.push({ code: 'custom', input: file, message: error instanceof Error ? error.message : String(error) })
        return z.NEVER
      }
    }),
  /** Folder for what the hub has not acknowledged yet. */
  AGENT_DATA: z.string().min(1).default('millwright-agent'),
  AGENT_BUFFER_BYTES_MAX: z.coerce.number().int().min(1_048_576).default(268_435_456),
  /** File that maps sensors to signals; without it, what is found is used. */
  AGENT_CONFIG_FILE: z
    .string()
    .optional()
    .transform((file, context): AgentConfig => {
      try {
        return AgentConfig.parse(file === undefined ? {} : JSON.parse(readFileSync(file, 'utf8')))
      } catch (error) {
        const message = error instanceof z.ZodError ? z.prettifyError(error) : String(error)
        context.issues.push({ code: 'custom', input: file, message })
        return z.NEVER
      }
    }),
  AGENT_INTERVAL_MS: z.coerce.number().int().min(100).max(3_600_000).default(2_000),
}

const ByConnectionString = z.object({
  ...common,
  IOTHUB_DEVICE_SECURITY_TYPE: z.literal('connectionString').default('connectionString'),
  IOTHUB_DEVICE_CONNECTION_STRING: z.string().transform((text, context) => {
    try {
      return parseDeviceConnectionString(text)
    } catch (error) {
      context.issues.push({
        code: 'custom',
        input: '(not shown: it holds a key)',
        message: error instanceof Error ? error.message : String(error),
      })
      return z.NEVER
    }
  }),
})

const ByProvisioning = z.object({
  ...common,
  IOTHUB_DEVICE_SECURITY_TYPE: z.literal('DPS'),
  IOTHUB_DEVICE_DPS_ENDPOINT: z.string().min(1).default('global.azure-devices-provisioning.net'),
  IOTHUB_DEVICE_DPS_ID_SCOPE: z.string().min(1),
  IOTHUB_DEVICE_DPS_DEVICE_ID: z.string().min(1).max(128),
  /** The device's own key, base64; never the group's. */
  IOTHUB_DEVICE_DPS_DEVICE_KEY: z.base64().min(1),
})
export type AgentSettings = z.infer<typeof ByConnectionString> | z.infer<typeof ByProvisioning>

/** @throws z.ZodError naming every mistake */
export function readAgentSettings(environment: Record<string, string | undefined>): AgentSettings {
  return environment.IOTHUB_DEVICE_SECURITY_TYPE === 'DPS' ? ByProvisioning.parse(environment) : ByConnectionString.parse(environment)
}
