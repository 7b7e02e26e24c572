/** GET alerts, alerts/{id}; POST alerts/{id}/acknowledge; the operator's sign-in. */
import { app } from '@azure/functions'
import type { HttpRequest } from '@azure/functions'
import { z } from 'zod'
import { AlertStateFilter } from '../../contract/api.ts'
import type { AlertDetail } from '../../contract/api.ts'
import { projectAlert } from '../alerting/project-alert.ts'
import { requireOperator, signInCookie } from '../api/operator.ts'
import { answering, Problem, RawResponse, readJson } from '../api/respond.ts'
import { alertExplanation, alertView } from '../api/views.ts'
import { appSettings, appTables } from '../services.ts'
import { appendEvent, listAlerts, readAlert, readEvents } from '../store/alert-store.ts'
import { outboxOf } from '../store/outbox-store.ts'

const alertsMax = 1_000
const AlertsQuery = z.object({
  state: AlertStateFilter.default('open'),
  device: z.string().optional(),
  since: z.iso.datetime({ offset: true }).optional(),
})
const priorityOrder = ['critical', 'high', 'medium', 'low']

app.http('alerts', {
  methods: ['GET'],
  authLevel: 'anonymous',
  route: 'v1/alerts',
  handler: answering(async (request) => {
    const { state, device, since } = AlertsQuery.parse(Object.fromEntries(request.query))
    const open = state === 'all' ? undefined : state !== 'normal'
    const sinceMs = since === undefined ? undefined : Date.parse(since)
    const found = await listAlerts(await appTables(), { open, deviceId: device, sinceMs }, alertsMax)
    const wanted = state === 'open' || state === 'all' ? found : found.filter((alert) => alert.state === state)
    const isAcknowledged = (alert: (typeof wanted)[number]) => (alert.acknowledged ? 1 : 0)
    wanted.sort(
      (a, b) =>
        isAcknowledged(a) - isAcknowledged(b) ||
        priorityOrder.indexOf(a.priority) - priorityOrder.indexOf(b.priority) ||
        b.raisedAtMs - a.raisedAtMs,
    )
    return { alerts: wanted.map(alertView) }
  }),
})

const AlertId = z.string().regex(/^[0-9a-f]{16}$/)

function alertIdOf(request: HttpRequest): string {
  const result = AlertId.safeParse(request.params.id)
  if (!result.success) throw new Problem(404, 'No such alert', `'${request.params.id}' is not an alert's id`)
  return result.data
}

app.http('alert', {
  methods: ['GET'],
  authLevel: 'anonymous',
  route: 'v1/alerts/{id}',
  handler: answering(async (request) => {
    const tables = await appTables()
    const alertId = alertIdOf(request)
    const stored = await readAlert(tables, alertId)
    if (!stored) throw new Problem(404, 'No such alert', `no alert '${alertId}'`)
    const [history, deliveries] = await Promise.all([readEvents(tables, alertId), outboxOf(tables, alertId)])
    return {
      ...alertView(stored.alert),
      // The evidence stands in the alert; repeating it with every event would only weigh.
      history: history.map(({ kind, atMs, ...event }) => ({
        kind,
        atMs,
        ...('priority' in event ? { priority: event.priority } : {}),
        ...('by' in event ? { by: event.by, note: event.note } : {}),
        ...('why' in event ? { why: event.why } : {}),
      })),
      deliveries: deliveries.map(({ transition, status, attempts, lastError, workOrder }) => ({
        transition,
        status,
        attempts,
        lastError,
        workOrder,
      })),
    } satisfies AlertDetail
  }),
})

app.http('explain-alert', {
  methods: ['GET'],
  authLevel: 'anonymous',
  route: 'v1/alerts/{id}/explain',
  handler: answering(async (request) => {
    const alertId = alertIdOf(request)
    const stored = await readAlert(await appTables(), alertId)
    if (!stored) throw new Problem(404, 'No such alert', `no alert '${alertId}'`)
    return alertExplanation(stored.alert)
  }),
})

const Acknowledgement = z.object({ note: z.string().max(2_000).default('') })

app.http('acknowledge', {
  methods: ['POST'],
  authLevel: 'anonymous',
  route: 'v1/alerts/{id}/acknowledge',
  handler: answering(async (request, context) => {
    const by = requireOperator(request, appSettings().OPERATOR_TOKEN)
    const tables = await appTables()
    const alertId = alertIdOf(request)
    const { note } = Acknowledgement.parse(await readJson(request))
    const stored = await readAlert(tables, alertId)
    if (!stored) throw new Problem(404, 'No such alert', `no alert '${alertId}'`)
    if (stored.alert.acknowledged) throw new Problem(409, 'Already acknowledged', `acknowledged by ${stored.alert.acknowledged.by}`)
    await appendEvent(tables, { kind: 'acknowledged', alertId, atMs: Date.now(), by, note }, context.invocationId)
    const alert = await projectAlert(tables, alertId, Date.now())
    return alert && alertView(alert)
  }),
})

app.http('sign-in', {
  methods: ['GET'],
  authLevel: 'anonymous',
  route: 'v1/sign-in',
  handler: answering(async (request) => {
    const cookie = signInCookie(appSettings().OPERATOR_TOKEN, request.query.get('code') ?? '', Date.now())
    return new RawResponse({ status: 303, headers: { location: '/', 'set-cookie': cookie } })
  }),
})
