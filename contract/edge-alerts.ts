/**
 * What the edge found in the readings before its filter: events of alerts, with the raw window that fired as evidence.
 * They travel at once, as a message of their own, ahead of all readings.
 */
import { z } from 'zod'
import { DetectedEvent } from './alert.ts'
import { parseJson } from './telemetry/json.ts'
import { MalformedTelemetryError } from './telemetry/malformed.ts'

export const edgeAlertsContentType = 'application/vnd.millwright.alerts+json'

const eventsMax = 100

export const EdgeAlerts = z.object({
  version: z.literal(1),
  events: z
    .array(z.object({ deviceId: z.string().min(1).max(128), signal: z.string().min(1).max(128), event: DetectedEvent }))
    .max(eventsMax),
})
export type EdgeAlerts = z.infer<typeof EdgeAlerts>
export type EdgeAlertEvent = EdgeAlerts['events'][number]

/** @throws MalformedTelemetryError */
export function decodeEdgeAlerts(body: Uint8Array): EdgeAlerts {
  const result = EdgeAlerts.safeParse(parseJson(body))
  if (!result.success) throw new MalformedTelemetryError('malformed-batch', `no alerts of an edge module: ${z.prettifyError(result.error)}`)
  return result.data
}

export function encodeEdgeAlerts(events: readonly EdgeAlertEvent[]): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ version: 1, events } satisfies { version: 1; events: readonly EdgeAlertEvent[] }))
}
