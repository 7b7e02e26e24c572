/** The agent's settings, named as the Azure samples name them; every mistake is reported together, no key is repeated. */
import { createPublicKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { errorText } from '../contract/error-text.ts'
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
        context.issues.push({ code: 'custom', input: file, message: errorText(error) })
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
  /** File with the public key (PEM, Ed25519) of whoever may put releases on this device; without it, none is taken. */
  AGENT_UPDATE_KEY_FILE: z
    .string()
    .optional()
    .transform((file, context): KeyObject | undefined => {
      if (file === undefined) return undefined
      try {
        const key = createPublicKey(readFileSync(file))
        if (key.asymmetricKeyType === 'ed25519') return key
        context.issues.push({ code: 'custom', input: file, message: `must be an Ed25519 key, not ${key.asymmetricKeyType}` })
      } catch (error) {
        context.issues.push({ code: 'custom', input: file, message: errorText(error) })
      }
      return z.NEVER
    }),
  /** Within which a new release must reach the hub; otherwise the one before runs again. */
  AGENT_TRIAL_S: z.coerce.number().int().min(1).max(86_400).default(600),
  AGENT_INTERVAL_MS: z.coerce.number().int().min(100).max(3_600_000).default(2_000),
}

const ConnectionString = z.string().transform((text, context) => {
  try {
    return parseDeviceConnectionString(text)
  } catch (error) {
    context.issues.push({
      code: 'custom',
      input: '(not shown: it holds a key)',
      message: errorText(error),
    })
    return z.NEVER
  }
})

const ByConnectionString = z.object({
  ...common,
  IOTHUB_DEVICE_SECURITY_TYPE: z.literal('connectionString').default('connectionString'),
  IOTHUB_DEVICE_CONNECTION_STRING: ConnectionString,
  /** With the device's secondary key: taken when the primary is refused, so that either can be rolled. */
  IOTHUB_DEVICE_CONNECTION_STRING_SECONDARY: ConnectionString.optional(),
})

const ByProvisioning = z.object({
  ...common,
  IOTHUB_DEVICE_SECURITY_TYPE: z.literal('DPS'),
  IOTHUB_DEVICE_DPS_ENDPOINT: z.string().min(1).default('global.azure-devices-provisioning.net'),
  IOTHUB_DEVICE_DPS_ID_SCOPE: z.string().min(1),
  /** Also the name of the file that its certificate stands in. */
  IOTHUB_DEVICE_DPS_DEVICE_ID: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/, 'must be a registration id'),
  /** The device's own key, base64; never the group's. Without it, the device makes a key and a certificate of its own. */
  IOTHUB_DEVICE_DPS_DEVICE_KEY: z.base64().min(1).optional(),
  IOTHUB_DEVICE_DPS_DEVICE_KEY_SECONDARY: z.base64().min(1).optional(),
})
export type AgentSettings = z.infer<typeof ByConnectionString> | z.infer<typeof ByProvisioning>

/** @throws z.ZodError naming every mistake */
export function readAgentSettings(environment: Record<string, string | undefined>): AgentSettings {
  return environment.IOTHUB_DEVICE_SECURITY_TYPE === 'DPS' ? ByProvisioning.parse(environment) : ByConnectionString.parse(environment)
}

export function deviceIdOf(settings: AgentSettings): string {
  return settings.IOTHUB_DEVICE_SECURITY_TYPE === 'DPS'
    ? settings.IOTHUB_DEVICE_DPS_DEVICE_ID
    : settings.IOTHUB_DEVICE_CONNECTION_STRING.deviceId
}
