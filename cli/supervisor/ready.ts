/** What a child process tells the supervisor over its channel when it is ready. */
import { z } from 'zod'

export const ReadyMessage = z.object({ kind: z.literal('ready'), details: z.record(z.string(), z.string()) })

/** Does nothing when the process was started by a person. */
export function announceReady(details: Record<string, string>): void {
  process.send?.({ kind: 'ready', details } satisfies z.infer<typeof ReadyMessage>)
}
