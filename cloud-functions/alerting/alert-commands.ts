/** What people may do to an alert, and when it is refused. Pure: a command becomes an event of the history, or a reason. */
import { z } from 'zod'
import { standingOf } from '../../contract/alert.ts'
import type { Alert, AlertEvent } from '../../contract/alert.ts'
import { isActive, isRecovering } from './alert-life.ts'

const text = z.string().trim().max(2_000)
const required = text.min(1, 'must not be empty')
const Name = z.string().trim().max(128)
/** Shelving is for hours: what is to stay away longer is out of service, or badly set. */
const shelvedMsMax = 7 * 86_400_000

export const commandBodies = {
  acknowledge: z.object({ note: text.default(''), linkId: z.string().max(64).optional() }),
  shelve: z
    .object({
      reason: required,
      /** An instant, or minutes from now. */
      until: z.iso.datetime({ offset: true }).optional(),
      minutes: z.number().positive().optional(),
    })
    .refine(
      ({ until, minutes }) => (until === undefined) !== (minutes === undefined),
      `give 'until' or 'minutes': shelving ends by itself`,
    ),
  unshelve: z.object({}),
  'out-of-service': z.object({ reason: required }),
  'in-service': z.object({}),
  assign: z.object({ to: Name }),
  comment: z.object({ text: required }),
  clear: z.object({ note: text.default('') }),
  reopen: z.object({ reason: required }),
  feedback: z.object({ isTrueAlarm: z.boolean(), note: text.default('') }),
} as const
export type CommandName = keyof typeof commandBodies
export const commandNames = Object.keys(commandBodies) as CommandName[]
export type Command = { [Name in CommandName]: { readonly name: Name; readonly body: z.infer<(typeof commandBodies)[Name]> } }[CommandName]

/** Why a command makes no sense now; trying again helps only when the alert has changed. */
export type Refusal = { readonly refused: string; readonly title: string }

export function decide(alert: Alert, { name, body }: Command, by: string, nowMs: number): AlertEvent | Refusal {
  // The order of the history is the order of things: a clock that is behind must not put an action before its cause.
  const base = { alertId: alert.alertId, atMs: Math.max(nowMs, alert.lastEventMs + 1), by }
  const refuse = (title: string, refused: string): Refusal => ({ title, refused })
  switch (name) {
    case 'acknowledge':
      if (alert.acknowledged) return refuse('Already acknowledged', `acknowledged by ${alert.acknowledged.by}`)
      return { ...base, kind: 'acknowledged', note: body.note, ...(body.linkId === undefined ? {} : { linkId: body.linkId }) }
    case 'shelve': {
      const untilMs = body.until === undefined ? nowMs + body.minutes! * 60_000 : Date.parse(body.until)
      if (standingOf(alert) === 'closed') return refuse('Closed', 'a closed alert cannot be shelved')
      if (untilMs <= nowMs) return refuse('In the past', 'shelving must end in the future')
      if (untilMs > nowMs + shelvedMsMax) return refuse('Too long', `an alert can be shelved for ${shelvedMsMax / 86_400_000} days at most`)
      return { ...base, kind: 'shelved', untilMs, reason: body.reason }
    }
    case 'unshelve':
      return alert.shelved ? { ...base, kind: 'unshelved' } : refuse('Not shelved', 'the alert is not shelved')
    case 'out-of-service':
      if (alert.outOfService) return refuse('Already out of service', `taken out of service by ${alert.outOfService.by}`)
      return { ...base, kind: 'out-of-service', reason: body.reason }
    case 'in-service':
      return alert.outOfService ? { ...base, kind: 'in-service' } : refuse('In service', 'the alert is in service')
    case 'assign':
      return { ...base, kind: 'assigned', to: body.to }
    case 'comment':
      return { ...base, kind: 'commented', text: body.text }
    case 'clear':
      if (alert.state === 'normal') return refuse('Closed', 'the alert is closed already')
      if (alert.isLatched && isActive(alert) && !isRecovering(alert))
        return refuse('Still active', 'the alert is latched and its cause is still there: it can be cleared once the value is normal')
      return { ...base, kind: 'cleared', note: body.note }
    case 'reopen':
      return alert.state === 'normal' ? { ...base, kind: 'reopened', reason: body.reason } : refuse('Open', 'the alert is not closed')
    case 'feedback':
      return { ...base, kind: 'judged', isTrueAlarm: body.isTrueAlarm, note: body.note }
    default:
      return name satisfies never
  }
}
