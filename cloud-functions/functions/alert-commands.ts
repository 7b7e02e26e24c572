/** POST alerts/{id}/…: what people do to alerts; messages sent again; the service department's own word. */
import { Webhook } from 'standardwebhooks'
import { z } from 'zod'
import { AlertView, Delivery } from '../../contract/api.ts'
import { commandBodies, commandNames } from '../alerting/alert-commands.ts'
import type { Command } from '../alerting/alert-commands.ts'
import { commandAlert } from '../alerting/command-alert.ts'
import type { Outcome } from '../alerting/command-alert.ts'
import { deliverDue } from '../alerting/deliver-due.ts'
import { readAcknowledgeCode } from '../alerting/message-links.ts'
import { settleAlert } from '../alerting/settle-alert.ts'
import { AlertId, requireAlert, requireAlertId } from '../api/alert-id.ts'
import { endpoint } from '../api/endpoint.ts'
import { Problem } from '../api/problem.ts'
import { readText } from '../api/respond.ts'
import { alertView, deliveryView } from '../api/views.ts'
import { appDesk, appPlaces, appSettings, appTables } from '../services.ts'
import { appendEvent } from '../store/alert-store.ts'
import { messagesWith, outboxOf, updateOutbox } from '../store/outbox-store.ts'
import { closeWorkOrder, findWorkOrder } from '../store/work-order-store.ts'

const summaries: Record<(typeof commandNames)[number], string> = {
  acknowledge: 'Somebody has seen it',
  shelve: 'Put it aside for a time, with a reason; it comes back by itself',
  unshelve: 'Bring it back before its time',
  'out-of-service': 'Its machine is being worked on: nobody is told until it is back in service',
  'in-service': 'Back in service',
  assign: 'Who takes care of it; an empty name for nobody',
  comment: 'A note in its history',
  clear: 'It is over; a latched alert ends only so',
  reopen: 'It was closed too early',
  feedback: 'Whether it was right to raise it',
}

for (const name of commandNames) {
  endpoint({
    name: `${name}-alert`,
    method: 'POST',
    path: `alerts/{id}/${name}`,
    summary: summaries[name],
    access: 'operator',
    body: commandBodies[name],
    response: AlertView,
    isConditional: true,
    handle: async ({ params, body, who, request }) => {
      const command = { name, body } as Command
      const ifVersion = versionIn(request.headers.get('if-match'))
      const alertId = requireAlertId(params.id)
      return answer(alertId, await commandAlert(await appDesk(), alertId, command, { by: who!.name, nowMs: Date.now(), ifVersion }))
    },
  })
}

/** `"12.hash"`, as `alerts/{id}` gives it. @throws Problem */
function versionIn(etag: string | null): number | undefined {
  if (etag === null || etag === '*') return undefined
  const version = /^"(\d+)(?:\.[^"]*)?"$/.exec(etag)?.[1]
  if (version === undefined) throw new Problem(400, 'Bad request', `'${etag}' is no ETag of an alert`)
  return Number(version)
}

/** @throws Problem */
async function answer(alertId: string, outcome: Outcome) {
  if (outcome === 'unknown') throw new Problem(404, 'No such alert', `no alert '${alertId}'`)
  if (outcome === 'changed') throw new Problem(412, 'Changed meanwhile', 'somebody else has acted on the alert: look again')
  if ('refused' in outcome) throw new Problem(409, outcome.title, outcome.refused)
  const nowMs = Date.now()
  const { alert, events } = await requireAlert(await appTables(), outcome.alert.alertId)
  return alertView(alert, events, await appPlaces(nowMs), nowMs)
}

endpoint({
  name: 'acknowledge-by-link',
  method: 'POST',
  path: 'alerts/{id}/acknowledge-by-link',
  summary: 'Acknowledge from inside a message: the link is the permission, once',
  access: 'public',
  body: z.object({ code: z.string().max(200), note: z.string().trim().max(2_000).default('') }),
  response: AlertView,
  handle: async ({ params, body }) => {
    const alertId = requireAlertId(params.id)
    const nowMs = Date.now()
    const link = readAcknowledgeCode(appSettings().OPERATOR_TOKEN, alertId, body.code, nowMs)
    if ('refused' in link) throw new Problem(403, 'Not allowed', link.refused)
    const command: Command = { name: 'acknowledge', body: { note: body.note, linkId: link.linkId } }
    return answer(alertId, await commandAlert(await appDesk(), alertId, command, { by: 'link in a message', nowMs }))
  },
})

endpoint({
  name: 'resend-delivery',
  method: 'POST',
  path: 'deliveries/{about}/{message}/resend',
  summary: 'Send a message that was given up again, under the id it had',
  access: 'operator',
  response: Delivery,
  handle: async ({ params }) => {
    const desk = await appDesk()
    const { about = '', message: key = '' } = params
    const message = (await outboxOf(desk.tables, about)).find(({ transition, channel }) => `${transition}.${channel}` === key)
    if (!message) throw new Problem(404, 'No such message', `no message '${key}' about '${about}'`)
    if (message.status !== 'given-up') throw new Problem(409, 'Not given up', `the message is ${message.status}`)
    const nowMs = Date.now()
    await updateOutbox(desk.tables, message, { status: 'waiting', attempts: 0, nextAttemptMs: nowMs })
    for (const grown of await deliverDue(desk, nowMs, { about })) await settleAlert(desk, grown, nowMs)
    const sent = (await outboxOf(desk.tables, about)).find(({ transition, channel }) => `${transition}.${channel}` === key)
    return deliveryView(sent ?? message)
  },
})

endpoint({
  name: 'channels',
  method: 'GET',
  path: 'channels',
  summary: 'Which channels are set up, and what waits in each',
  access: 'viewer',
  response: z.object({ channels: z.array(z.object({ name: z.string(), waiting: z.int() })) }),
  handle: async () => {
    const desk = await appDesk()
    const waiting = await messagesWith(desk.tables, 'waiting')
    return {
      channels: [...desk.channels.keys()].map((name) => ({ name, waiting: waiting.filter(({ channel }) => channel === name).length })),
    }
  },
})

const ClosedOrder = z.object({ note: z.string().trim().max(2_000).default('') })

endpoint({
  name: 'close-work-order',
  method: 'POST',
  path: 'work-orders/{number}/close',
  summary: 'The service department says that a work order is done; signed as Standard Webhooks has it',
  access: 'public',
  response: z.object({ number: z.string(), status: z.literal('closed') }),
  handle: async ({ params, request }) => {
    const text = await readText(request)
    const header = (name: string) => request.headers.get(name) ?? ''
    let body: unknown
    try {
      body = new Webhook(appSettings().SERVICE_DEPARTMENT_SECRET).verify(text, {
        'webhook-id': header('webhook-id'),
        'webhook-timestamp': header('webhook-timestamp'),
        'webhook-signature': header('webhook-signature'),
      })
    } catch {
      throw new Problem(401, 'Not signed', 'the signature is missing, wrong or too old')
    }
    const { note } = ClosedOrder.parse(body)
    const desk = await appDesk()
    const number = z.string().min(1).max(64).parse(params.number)
    const order = await findWorkOrder(desk.tables, number)
    if (!order) throw new Problem(404, 'No such work order', `no work order '${number}'`)
    const nowMs = Date.now()
    if (order.status !== 'closed') {
      const alertId = AlertId.parse(order.alertId)
      await appendEvent(desk.tables, { kind: 'work-order', alertId, atMs: nowMs, number, status: 'closed', note }, 'service-department')
      await closeWorkOrder(desk.tables, order, nowMs)
      await settleAlert(desk, alertId, nowMs)
    }
    return { number, status: 'closed' }
  },
})
