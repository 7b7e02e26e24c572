/**
 * Which messages an alert has earned by now. Pure: asked again it plans the same ones under the same names, so that
 * whoever writes them down writes each once. A storm is told of by its root, a flood by digests.
 */
import { standingOf } from '../../contract/alert.ts'
import type { Alert, AlertEvent } from '../../contract/alert.ts'
import type { Priority } from '../../contract/device-model.ts'
import { rankOf } from '../../contract/priorities.ts'
import { isActive } from './alert-life.ts'
import type { Flood } from './flood.ts'
import { floodSettings } from './flood.ts'
import { peopleChannels } from './notification-policy.ts'
import type { ChannelName, NotificationPolicy } from './notification-policy.ts'
import { nuisanceOf } from './nuisance.ts'
import { quietUntilMs } from './quiet-hours.ts'

export type Transition =
  | 'raised'
  | `raised-${number}`
  | `escalated-${Priority}`
  | `again-${number}`
  | `reminder-${number}`
  | `escalation-${number}`
  | 'acknowledged'
  | `acknowledged-${number}`
  | 'closed'
  | `closed-${number}`
  | `digest-${number}`

/** What a transition is, whichever of its kind: the word before the number. */
export function kindOf(transition: Transition): string {
  return transition.split('-')[0]!
}

export type PlannedMessage = {
  /** The alert's id, or the flood's. */
  readonly about: string
  readonly transition: Transition
  readonly channel: ChannelName
  readonly notBeforeMs: number
  /** Only for mail, and only when others than usual are meant. */
  readonly mailTo?: readonly string[]
}

export type PlanContext = {
  readonly policy: NotificationPolicy
  /** Channels that are set up. */
  readonly channels: readonly ChannelName[]
  /** Those that have ended, too: what came in one is not told one by one afterwards. */
  readonly floods: readonly Flood[]
  /** Of the alert at the root of its incident, when that is another one. */
  readonly rootPriority: Priority | undefined
  readonly nowMs: number
}

export function planMessages(alert: Alert, history: readonly AlertEvent[], context: PlanContext): PlannedMessage[] {
  const { policy, channels, floods, nowMs } = context
  const { alertId, priority } = alert
  const standing = standingOf(alert)
  const messages: PlannedMessage[] = []
  const plan = (transition: Transition, wanted: readonly ChannelName[], extra: { about?: string; mailTo?: readonly string[] } = {}) => {
    for (const channel of wanted) {
      if (!channels.includes(channel) || !policy.channels[channel].includes(priority)) continue
      const quiet = policy.quietHours
      const isQuiet = quiet?.priorities.includes(priority) === true && peopleChannels.includes(channel)
      messages.push({
        about: alertId,
        transition,
        channel,
        notBeforeMs: (isQuiet ? quietUntilMs(quiet, nowMs) : undefined) ?? nowMs,
        ...extra,
      })
    }
  }
  const all: readonly ChannelName[] = ['webhook', ...peopleChannels]
  // An alert that came back ends more than once.
  const nth = alert.occurrences > 1 ? (`-${alert.occurrences}` as const) : ''
  if (alert.acknowledged) plan(`acknowledged${nth}`, ['pagerduty'])
  if (standing === 'closed') plan(`closed${nth}`, all)
  if (standing !== 'open' || isToldByItsRoot(alert, context.rootPriority)) return messages

  const { activeSinceMs } = alert
  const flood = floods.find(({ sinceMs, untilMs = nowMs }) => activeSinceMs >= sinceMs && activeSinceMs <= untilMs)
  const isOneOfMany = flood !== undefined && priority !== 'critical'
  // Whoever would have heard of the alert hears of the flood it came in, and is reminded of that.
  const about = isOneOfMany ? `flood-${flood.sinceMs.toString(36)}` : alertId
  if (isOneOfMany) {
    plan('raised', ['webhook'])
    const digest = Math.floor((nowMs - flood.sinceMs) / floodSettings.windowMs)
    if (flood.untilMs === undefined) plan(`digest-${digest}`, peopleChannels, { about })
  } else {
    plan('raised', all)
    const firstPriority = history.find((event) => event.kind === 'raised')?.priority ?? priority
    if (rankOf(priority) < rankOf(firstPriority)) plan(`escalated-${priority}`, all)
    const isBack = alert.occurrences > 1 && !alert.acknowledged && isActive(alert) && wasClosedBefore(history)
    if (isBack && !nuisanceOf(alert, nowMs).isChattering) plan(`again-${alert.occurrences}`, peopleChannels)
  }
  // The order is done and the fault is back: another order, whoever has seen the alert.
  if (isBackAfterItsOrder(history)) plan(`raised-${alert.occurrences}`, ['webhook'])
  if (alert.acknowledged || !isActive(alert)) return messages
  const waitingMs = nowMs - alert.raisedAtMs
  for (const [index, afterMin] of policy.remindersMin.entries())
    if (waitingMs >= afterMin * 60_000) plan(`reminder-${index + 1}`, peopleChannels, { about })
  for (const [index, { afterMin, mailTo }] of policy.escalation.entries())
    if (waitingMs >= afterMin * 60_000) plan(`escalation-${index + 1}`, ['mail'], { about, mailTo })
  return messages
}

/** What is critical, or graver than its root, speaks for itself: it may be a fault of its own. */
function isToldByItsRoot({ priority }: Alert, rootPriority: Priority | undefined): boolean {
  return rootPriority !== undefined && priority !== 'critical' && rankOf(priority) >= rankOf(rootPriority)
}

/** It came back after somebody had seen it off: who was told of its end is told of its return. */
function wasClosedBefore(history: readonly AlertEvent[]): boolean {
  const lastAgain = history.findLastIndex(({ kind }) => kind === 'recurred')
  const before = history.slice(0, Math.max(0, lastAgain))
  return before.some(({ kind }) => kind === 'acknowledged' || kind === 'cleared')
}

function isBackAfterItsOrder(history: readonly AlertEvent[]): boolean {
  const doneAt = history.findLastIndex((event) => event.kind === 'work-order')
  const done = history[doneAt]
  if (done?.kind !== 'work-order' || done.status !== 'closed') return false
  return history.slice(doneAt).some(({ kind }) => kind === 'recurred')
}
