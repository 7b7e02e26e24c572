/**
 * From what the trigger, or the Event Hubs client, hands over to the hot path's message. Both carry the same system
 * properties; the worker changes the shape of some, so nothing of it is trusted before it is parsed.
 */
import type { ReceivedEventData } from '@azure/event-hubs'
import { z } from 'zod'
import type { LoggedMessage } from './fold.ts'

/** Some workers send 64-bit integers as objects of two halves (azure-functions-nodejs-worker#844). */
const Int64 = z.union([
  z.number(),
  z.bigint().transform(Number),
  z.string().regex(/^\d+$/).transform(Number),
  z.object({ low: z.number(), high: z.number() }).transform(({ low, high }) => high * 2 ** 32 + (low >>> 0)),
])

/** An instant: the JSON of a .NET date, a Date, or milliseconds. */
const Instant = z
  .union([z.number(), z.date().transform((date) => date.getTime()), z.string().transform((text) => Date.parse(text))])
  .pipe(z.number())

const SystemProperties = z.looseObject({
  'iothub-connection-device-id': z.string().optional(),
  'iothub-connection-module-id': z.string().optional(),
  'iothub-enqueuedtime': Instant.optional(),
  'iothub-message-source': z.string().optional(),
  'content-type': z.string().nullish(),
  'content-encoding': z.string().nullish(),
  'dt-dataschema': z.string().optional(),
})

const TriggerMetadata = z.looseObject({
  partitionContext: z.looseObject({ partitionId: z.string() }),
  enqueuedTimeUtcArray: z.array(Instant),
  propertiesArray: z.array(z.record(z.string(), z.unknown())),
  systemPropertiesArray: z.array(SystemProperties.extend({ sequenceNumber: Int64 })),
})

export type TriggerBatch = { readonly partitionId: string; readonly messages: LoggedMessage[] }

/** Reads a batch of the Event Hubs trigger (cardinality many, binary). @throws z.ZodError when the host breaks the contract */
export function messagesFromTrigger(bodies: readonly unknown[], metadata: unknown): TriggerBatch {
  const { partitionContext, enqueuedTimeUtcArray, propertiesArray, systemPropertiesArray } = TriggerMetadata.parse(metadata)
  const messages = bodies.map((body, index) => {
    const system = systemPropertiesArray[index]!
    return toMessage(body, system, propertiesArray[index] ?? {}, system.sequenceNumber, enqueuedTimeUtcArray[index]!)
  })
  return { partitionId: partitionContext.partitionId, messages }
}

/** The same from the client that reads the log again. */
export function messageFromEvent(event: ReceivedEventData): LoggedMessage {
  const system = SystemProperties.parse(event.systemProperties ?? {})
  const contentType = system['content-type'] ?? event.contentType
  return toMessage(
    event.body,
    { ...system, 'content-type': contentType },
    event.properties ?? {},
    event.sequenceNumber,
    event.enqueuedTimeUtc.getTime(),
  )
}

function toMessage(
  body: unknown,
  system: z.infer<typeof SystemProperties>,
  properties: Record<string, unknown>,
  sequenceNumber: number,
  enqueuedMs: number,
): LoggedMessage {
  return {
    sequenceNumber,
    body: bytesOf(body),
    contentType: system['content-type'] ?? undefined,
    contentEncoding: system['content-encoding'] ?? undefined,
    deviceId: system['iothub-connection-device-id'],
    moduleId: system['iothub-connection-module-id'],
    dataSchema: system['dt-dataschema'],
    properties,
    arrivedMs: system['iothub-enqueuedtime'] ?? enqueuedMs,
  }
}

function bytesOf(body: unknown): Uint8Array {
  if (body instanceof Uint8Array) return body
  // Not our own devices: an AMQP value instead of data. Its JSON is what the decoder expects.
  return new TextEncoder().encode(typeof body === 'string' ? body : JSON.stringify(body ?? null))
}
