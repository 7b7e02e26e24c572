/** Sends what is due: one attempt each, the messages of an alert in their order, the next attempt after a growing pause. */
import { createHash } from 'node:crypto'
import type { Alert } from '../../contract/alert.ts'
import { errorText } from '../../contract/error-text.ts'
import { byPriority } from '../../contract/priorities.ts'
import { appendEvent, listAlerts, readAlert } from '../store/alert-store.ts'
import { messagesWith, outboxOf, updateOutbox } from '../store/outbox-store.ts'
import type { OutboxMessage } from '../store/outbox-store.ts'
import { openWorkOrder, readWorkOrder } from '../store/work-order-store.ts'
import type { AlertDesk } from './alert-desk.ts'
import { PermanentDeliveryError } from './channels/channel.ts'
import type { Notice, Receipt } from './channels/channel.ts'
import { failureCodeOf } from './channels/webhook.ts'
import { acknowledgeCode } from './message-links.ts'
import { digestText, subjectOf, textOf } from './notice.ts'
import { kindOf } from './plan-messages.ts'

const firstRetryMs = 5_000
const retryMsMax = 3_600_000
/** With doubling pauses of at most an hour: about ten hours. */
const attemptsMax = 20

/** @returns ids of alerts whose history grew by it */
export async function deliverDue(desk: AlertDesk, nowMs: number, only?: { readonly about: string }): Promise<string[]> {
  const waiting = only
    ? (await outboxOf(desk.tables, only.about)).filter(({ status }) => status === 'waiting')
    : await messagesWith(desk.tables, 'waiting')
  const held = new Set<string>()
  const grown: string[] = []
  for (const message of waiting) {
    const line = `${message.about}.${message.channel}`
    // What is over must not arrive before what began.
    if (held.has(line)) continue
    const channel = desk.channels.get(message.channel)
    if (message.nextAttemptMs > nowMs || !channel) {
      held.add(line)
      continue
    }
    const notice = await noticeFor(desk, message, nowMs)
    if (notice === undefined) {
      await updateOutbox(desk.tables, message, { status: 'not-needed' })
      continue
    }
    const attempts = message.attempts + 1
    let receipt: Receipt
    try {
      receipt = await channel.deliver(notice)
    } catch (error) {
      held.add(line)
      await updateOutbox(desk.tables, message, failed(error, attempts, nowMs, desk.random()))
      continue
    }
    const number = receipt.workOrder ?? ''
    // First what the receipt means, then that it is done: repeated after a crash, it is delivered under the same id.
    if (number !== '' && kindOf(message.transition) === 'raised') {
      const { alert } = notice
      await openWorkOrder(desk.tables, { asset: alert.deviceId, failureCode: failureCodeOf(alert) }, number)
      const event = {
        kind: 'work-order',
        alertId: alert.alertId,
        atMs: Math.max(nowMs, alert.lastEventMs),
        number,
        status: 'opened',
        note: '',
      } as const
      await appendEvent(desk.tables, event, `receipt-${message.transition}`)
      grown.push(alert.alertId)
    }
    await updateOutbox(desk.tables, message, { status: 'delivered', attempts, lastError: '', workOrder: number })
  }
  return grown
}

function failed(error: unknown, attempts: number, nowMs: number, random: number) {
  const isOver = attempts >= attemptsMax || error instanceof PermanentDeliveryError
  const pauseMs = Math.min(retryMsMax, firstRetryMs * 2 ** (attempts - 1)) * (0.75 + random / 2)
  return {
    status: isOver ? ('given-up' as const) : ('waiting' as const),
    attempts,
    lastError: errorText(error).slice(0, 500),
    nextAttemptMs: Math.round(nowMs + pauseMs),
  }
}

/** Undefined when there is nothing left to tell. */
async function noticeFor(desk: AlertDesk, message: OutboxMessage, nowMs: number): Promise<Notice | undefined> {
  const { about, transition, channel, mailTo } = message
  const common = { id: `${about}.${transition}`, thread: about, transition, nowMs, ...(mailTo.length > 0 ? { mailTo } : {}) }
  if (about.startsWith('flood-')) return digestNotice(desk, common)
  const alert = (await readAlert(desk.tables, about))?.alert
  if (!alert) return undefined
  const isForPeople = channel !== 'webhook'
  // Held back over quiet hours, or by a receiver that was away, and over by now: nobody needs to hear of it.
  const kind = kindOf(transition)
  if (isForPeople && alert.state === 'normal' && kind !== 'closed' && kind !== 'acknowledged') return undefined
  if (isForPeople && kind === 'closed' && !(await wasTold(desk, message))) return undefined
  const pageUrl = `${desk.publicUrl}/alerts/${about}`
  const code = isForPeople && !alert.acknowledged ? acknowledgeCode(desk.linkSecret, about, nowMs) : undefined
  const acknowledgeUrl = code === undefined ? undefined : `${pageUrl}#acknowledge=${code}`
  const text = textOf(alert, transition, { pageUrl, acknowledgeUrl })
  const id = channel === 'webhook' && kind === 'raised' ? await orderIdOf(desk, alert) : common.id
  return { ...common, id, alert, subject: subjectOf(alert, transition), text, pageUrl, acknowledgeUrl }
}

/**
 * What the service department knows a work order by: the order's own, not the alert's, so that two alerts that turn out
 * to be one while they are told ask for the same order.
 */
async function orderIdOf({ tables }: AlertDesk, alert: Alert): Promise<string> {
  const fault = { asset: alert.deviceId, failureCode: failureCodeOf(alert) }
  const requestedMs = (await readWorkOrder(tables, fault))?.requestedMs ?? alert.raisedAtMs
  const name = JSON.stringify([fault.asset, fault.failureCode, requestedMs])
  return `order_${createHash('sha256').update(name).digest('base64url').slice(0, 22)}`
}

async function wasTold({ tables }: AlertDesk, { about, channel }: OutboxMessage): Promise<boolean> {
  return (await outboxOf(tables, about)).some(
    (other) => other.channel === channel && kindOf(other.transition) !== 'closed' && other.status === 'delivered',
  )
}

async function digestNotice(
  desk: AlertDesk,
  common: Pick<Notice, 'id' | 'thread' | 'transition' | 'nowMs' | 'mailTo'>,
): Promise<Notice | undefined> {
  const sinceMs = Number.parseInt(common.thread.slice('flood-'.length), 36)
  const open = await listAlerts(desk.tables, { sinceMs, standings: ['open'] })
  const isReminder = kindOf(common.transition) !== 'digest'
  const listed = isReminder ? open.filter(({ acknowledged }) => acknowledged === undefined) : open
  listed.sort((a, b) => byPriority(a, b) || a.raisedAtMs - b.raisedAtMs)
  const gravest = listed[0] && (await readAlert(desk.tables, listed[0].alertId))?.alert
  if (!gravest) return undefined
  const pageUrl = `${desk.publicUrl}/alerts`
  return { ...common, ...digestText(listed, common.transition, pageUrl), alert: gravest, pageUrl, acknowledgeUrl: undefined }
}
