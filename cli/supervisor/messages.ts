/** What a child process tells the supervisor over its channel. Without one, because a person started it, nothing is told. */
import { z } from 'zod'

export const SupervisorMessage = z.discriminatedUnion('kind', [
  /** It can be used. */
  z.object({ kind: z.literal('ready'), details: z.record(z.string(), z.string()) }),
  /** A process that it minds has ended and is started again. */
  z.object({ kind: z.literal('restart'), name: z.string(), why: z.string() }),
])
type SupervisorMessage = z.infer<typeof SupervisorMessage>

export function announceReady(details: Record<string, string>): void {
  process.send?.({ kind: 'ready', details } satisfies SupervisorMessage)
}

export function announceRestart(name: string, why: string): void {
  if (process.connected) process.send?.({ kind: 'restart', name, why } satisfies SupervisorMessage)
}
