/**
 * `connection.json`: how clients reach a cloud, the local one or Azure. Every string is taken by an SDK as it is.
 */
import { z } from 'zod'

export const Connection = z.object({
  /** Service connection string of the IoT Hub (`HostName=…;SharedAccessKeyName=…;SharedAccessKey=…`). */
  iotHub: z.string(),
  /** Event Hub-compatible connection string of the built-in endpoint, with EntityPath. */
  eventHub: z.string(),
  /** Event Hubs namespace without an entity, for event hubs other than the built-in endpoint. */
  eventHubNamespace: z.string().optional(),
  /** Storage account connection string. */
  storage: z.string(),
  dps: z.object({ endpoint: z.string(), idScope: z.string(), groupKey: z.string() }).optional(),
  /** Service connection string of DPS. */
  dpsService: z.string().optional(),
  webPubSub: z.string().optional(),
  /** The local cloud's own page, and the token that its switches need. */
  inspector: z.object({ url: z.string(), token: z.string() }).optional(),
  /** File with the certificate authority that signed the servers' certificates; absent on Azure. */
  ca: z.string().optional(),
})
export type Connection = z.infer<typeof Connection>

/** A connection string that no SDK would accept. Trying again cannot help; the setting must be mended. */
export class MalformedConnectionStringError extends Error {
  override readonly name = 'MalformedConnectionStringError'
}

/**
 * The fields of a connection string, names lower-cased. `required` names fields that must be there.
 * The value is never repeated in the error: it holds a key.
 */
export function parseConnectionString(text: string, required: readonly string[]): Map<string, string> {
  const fields = new Map<string, string>()
  for (const part of text.split(';')) {
    if (part.trim() === '') continue
    const equals = part.indexOf('=')
    if (equals <= 0)
      throw new MalformedConnectionStringError(
        `a connection string is made of name=value parts joined by ';', but part ${fields.size + 1} has no '='`,
      )
    fields.set(part.slice(0, equals).trim().toLowerCase(), part.slice(equals + 1).trim())
  }
  const missing = required.filter((name) => !fields.get(name.toLowerCase()))
  if (missing.length > 0) throw new MalformedConnectionStringError(`the connection string lacks ${missing.join(' and ')}`)
  return fields
}
