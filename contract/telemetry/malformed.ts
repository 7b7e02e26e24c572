import { z } from 'zod'

/** Why a message was set aside. The words are shown to people and counted, so they are few and stable. */
export const DeadLetterReason = z.enum([
  'not-json',
  'not-telemetry',
  'not-finite',
  'too-large',
  'malformed-batch',
  'unknown-device',
  'foreign-device',
  'impossible-time',
  'unsupported-content-type',
  'wrong-unit',
  'too-many-signals',
  'processing-failed',
])
export type DeadLetterReason = z.infer<typeof DeadLetterReason>

/** A message that is not telemetry. Retrying cannot help, so the caller sets it aside. */
export class MalformedTelemetryError extends Error {
  override readonly name = 'MalformedTelemetryError'
  readonly reason: DeadLetterReason
  constructor(reason: DeadLetterReason, detail: string, options?: ErrorOptions) {
    super(detail, options)
    this.reason = reason
  }
}
