/** Who is told of what, when: one document, checked at start. The defaults send work orders and nothing else. */
import { z } from 'zod'
import { Priority } from '../../contract/device-model.ts'

/** `webhook` is the service department's own door; the others are for people. */
export const ChannelName = z.enum(['webhook', 'mail', 'teams', 'pagerduty'])
export type ChannelName = z.infer<typeof ChannelName>
export const peopleChannels: readonly ChannelName[] = ['mail', 'teams', 'pagerduty']

const Clock = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'expected a time such as 22:00')
const minutes = z.number().positive().max(10_080)
const everyPriority = Priority.options

export const NotificationPolicy = z.object({
  /** Which priorities a channel is told of. */
  channels: z
    .object({
      webhook: z.array(Priority).default(everyPriority),
      mail: z.array(Priority).default(['critical', 'high', 'medium']),
      teams: z.array(Priority).default(['critical', 'high']),
      pagerduty: z.array(Priority).default(['critical', 'high']),
    })
    .prefault({}),
  /** Minutes after the raise at which an alert nobody has acknowledged is told of again, to the same people. */
  remindersMin: z.array(minutes).max(10).default([15, 60]),
  /** Who else hears of an alert that nobody has acknowledged, and when. */
  escalation: z
    .array(z.object({ afterMin: minutes, mailTo: z.array(z.email()).min(1).max(20) }))
    .max(5)
    .default([]),
  /** In these hours people are left alone by what can wait. */
  quietHours: z
    .object({ from: Clock, to: Clock, timeZone: z.string().default('UTC'), priorities: z.array(Priority).default(['medium', 'low']) })
    .refine(({ from, to }) => from !== to, 'quiet hours must begin and end at different times')
    .refine(({ timeZone }) => isTimeZone(timeZone), 'no such time zone')
    .optional(),
})
export type NotificationPolicy = z.infer<typeof NotificationPolicy>

/** How long after its raise an alert can still be told of, milliseconds. */
export function toldForMs({ remindersMin, escalation }: NotificationPolicy): number {
  return Math.max(0, ...remindersMin, ...escalation.map(({ afterMin }) => afterMin)) * 60_000
}

function isTimeZone(timeZone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone }).format(0) !== ''
  } catch {
    return false
  }
}
