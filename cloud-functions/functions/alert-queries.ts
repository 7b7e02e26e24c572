/** GET alerts, alerts/{id}, alerts/{id}/explain, deliveries, work-orders, kpis, audit. */
import { z } from 'zod'
import { AlertState } from '../../contract/alert.ts'
import type { Standing } from '../../contract/alert.ts'
import { AlertDetail, AlertExplanation, AlertItems, AlertList, AlertStateFilter, DeliveryList, Kpis } from '../../contract/api.ts'
import { rankOf } from '../../contract/priorities.ts'
import { floodNow } from '../alerting/flood.ts'
import { kpisOf } from '../alerting/kpis.ts'
import { AlertId, requireAlert } from '../api/alert-id.ts'
import { endpoint } from '../api/endpoint.ts'
import { pageOf, PageQuery } from '../api/page.ts'
import { alertExplanation, alertItem, alertView, deliveryView, historyEntry } from '../api/views.ts'
import { RawResponse } from '../api/respond.ts'
import { appPlaces, appSettings, appTables } from '../services.ts'
import { listAlerts, listWholeAlerts, eventsBetween, raiseTimes, readEvents } from '../store/alert-store.ts'
import type { ListedAlert } from '../store/alert-store.ts'
import { messagesWith, outboxOf, OutboxStatus } from '../store/outbox-store.ts'
import { csvLine } from '../store/csv.ts'
import { contentTypes } from '../store/row-formats.ts'
import { listWorkOrders } from '../store/work-order-store.ts'

const AlertsQuery = PageQuery.extend({
  /** `open` is what stands on the operator's list. */
  state: AlertStateFilter.default('open'),
  device: z.string().max(128).optional(),
  since: z.iso.datetime({ offset: true }).optional(),
  /** `list` leaves the evidence out. */
  view: z.enum(['full', 'list']).default('full'),
})

/** Unacknowledged first, then the graver, then the newer: as one text that sorts. */
function orderKey(alert: ListedAlert): string {
  const rank = `${alert.acknowledged ? 1 : 0}${rankOf(alert.priority)}`
  return `${rank}-${String(Number.MAX_SAFE_INTEGER - Math.round(alert.raisedAtMs)).padStart(16, '0')}-${alert.alertId}`
}

function standingsOf(state: z.infer<typeof AlertStateFilter>): readonly Standing[] | undefined {
  if (state === 'all' || AlertState.safeParse(state).success) return undefined
  return [state as Standing]
}

endpoint({
  name: 'alerts',
  method: 'GET',
  path: 'alerts',
  summary: 'Alerts: unacknowledged first, then by priority, then the newest',
  access: 'viewer',
  query: AlertsQuery,
  response: z.union([AlertList, AlertItems]),
  handle: async ({ query }) => {
    const { state, device: deviceId, since, view } = query
    const tables = await appTables()
    const nowMs = Date.now()
    const placeOf = await appPlaces(nowMs)
    const sinceMs = since === undefined ? undefined : Date.parse(since)
    const found = await listAlerts(tables, { standings: standingsOf(state), deviceId, sinceMs })
    const isExact = AlertState.safeParse(state).success
    const wanted = isExact ? found.filter((alert) => alert.state === state) : found
    const { items, next } = pageOf(wanted, orderKey, query, view === 'list' ? 1_000 : 200)
    if (view === 'list') {
      const flood = floodNow([...(await raiseTimes(tables, nowMs - 2 * 3_600_000)).values()], nowMs)
      return {
        alerts: items.map((alert) => alertItem(alert, placeOf, nowMs)),
        ...next,
        flood: flood ? { sinceMs: flood.sinceMs, alerts: flood.alerts } : null,
      } satisfies AlertItems
    }
    const whole = await listWholeAlerts(tables, items)
    return { alerts: whole.map(({ alert, events }) => alertView(alert, events, placeOf, nowMs)), ...next } satisfies AlertList
  },
})

/** How many relatives of an alert are told with it. */
const relativesMax = 50

endpoint({
  name: 'alert',
  method: 'GET',
  path: 'alerts/{id}',
  summary: 'One alert with its history, its messages, its incident and earlier alerts of the same condition',
  access: 'viewer',
  response: AlertDetail,
  versionOf: (data) => (data as AlertDetail).version,
  handle: async ({ params }) => {
    const tables = await appTables()
    const { alert, events: version } = await requireAlert(tables, params.id)
    const nowMs = Date.now()
    const [placeOf, history, deliveries, ofDevice] = await Promise.all([
      appPlaces(nowMs),
      readEvents(tables, alert.alertId),
      outboxOf(tables, alert.alertId),
      listAlerts(tables, { deviceId: alert.deviceId }, 1_000),
    ])
    const incidentId = alert.incidentId ?? (alert.scope ? alert.alertId : undefined)
    const members = incidentId === undefined ? [] : await listAlerts(tables, { incidentId }, 1_000)
    members.sort((a, b) => Number(b.alertId === incidentId) - Number(a.alertId === incidentId) || a.raisedAtMs - b.raisedAtMs)
    const earlier = ofDevice
      .filter(({ signal, alertId }) => signal === alert.signal && alertId !== alert.alertId)
      .sort((a, b) => b.raisedAtMs - a.raisedAtMs)
    const item = (listed: ListedAlert) => alertItem(listed, placeOf, nowMs)
    return {
      ...alertView(alert, version, placeOf, nowMs),
      history: history.map(historyEntry),
      deliveries: deliveries.map(deliveryView),
      incident: members.slice(0, relativesMax).map(item),
      earlier: earlier.slice(0, relativesMax).map(item),
    } satisfies AlertDetail
  },
})

endpoint({
  name: 'explain-alert',
  method: 'GET',
  path: 'alerts/{id}/explain',
  summary: 'Why the alert was raised, recomputed from its evidence',
  access: 'viewer',
  response: AlertExplanation,
  handle: async ({ params }) => alertExplanation((await requireAlert(await appTables(), params.id)).alert),
})

endpoint({
  name: 'deliveries',
  method: 'GET',
  path: 'deliveries',
  summary: 'Messages to the service department and to people, by how they fared; those given up can be sent again',
  access: 'viewer',
  query: z.object({ status: OutboxStatus.default('given-up') }),
  response: DeliveryList,
  handle: async ({ query }) => ({ deliveries: (await messagesWith(await appTables(), query.status)).slice(-500).map(deliveryView) }),
})

const WorkOrderView = z.object({
  asset: z.string(),
  failureCode: z.string(),
  alertId: AlertId,
  number: z.string(),
  status: z.enum(['requested', 'open', 'closed']),
  requestedAt: z.string(),
})

endpoint({
  name: 'work-orders',
  method: 'GET',
  path: 'work-orders',
  summary: 'Work orders: at most one is open for an asset and a failure code',
  access: 'viewer',
  response: z.object({ workOrders: z.array(WorkOrderView) }),
  handle: async () => ({
    workOrders: (await listWorkOrders(await appTables())).map(({ asset, failureCode, alertId, number, status, requestedMs }) => ({
      asset,
      failureCode,
      alertId,
      number,
      status,
      requestedAt: new Date(requestedMs).toISOString(),
    })),
  }),
})

const KpisQuery = z.object({ from: z.iso.datetime({ offset: true }).optional(), to: z.iso.datetime({ offset: true }).optional() })
/** ISA-18.2 wants thirty days at least. */
const kpiSpanMs = 30 * 86_400_000

endpoint({
  name: 'kpis',
  method: 'GET',
  path: 'kpis',
  summary: 'How good the alarms are, by ISA-18.2: rates, floods, bad actors, chattering, stale',
  access: 'viewer',
  query: KpisQuery,
  response: Kpis,
  handle: async ({ query }) => {
    const nowMs = Date.now()
    const toMs = query.to === undefined ? nowMs : Date.parse(query.to)
    const fromMs = query.from === undefined ? toMs - kpiSpanMs : Date.parse(query.from)
    return kpisOf(await listAlerts(await appTables(), {}), { fromMs, toMs, nowMs, operators: appSettings().OPERATORS })
  },
})

const AuditQuery = z.object({
  from: z.iso.datetime({ offset: true }),
  to: z.iso.datetime({ offset: true }),
  format: z.enum(['csv', 'ndjson']).default('csv'),
})
const auditMax = 100_000

endpoint({
  name: 'audit',
  method: 'GET',
  path: 'audit',
  summary: 'Who did what to which alert, when and why: every event of a span, as CSV or NDJSON',
  access: 'viewer',
  query: AuditQuery,
  types: ['text/csv', 'application/x-ndjson'],
  handle: async ({ query: { from, to, format } }) => {
    const tables = await appTables()
    const alerts = new Map((await listAlerts(tables, {})).map((alert) => [alert.alertId, alert]))
    const rows = await eventsBetween(tables, { fromMs: Date.parse(from), toMs: Date.parse(to) }, auditMax)
    const entries = rows.map((event) => {
      const { deviceId = '', signal = '' } = alerts.get(event.alertId) ?? {}
      return { ...historyEntry(event), alertId: event.alertId, deviceId, signal }
    })
    const csv = () =>
      csvLine(['time', 'alert', 'device', 'signal', 'what', 'who', 'why', 'until']) +
      entries
        .map(({ atMs, alertId, deviceId, signal, kind, by, note, why, untilMs }) =>
          csvLine([isoTime(atMs), alertId, deviceId, signal, kind, by, note ?? why, untilMs === undefined ? undefined : isoTime(untilMs)]),
        )
        .join('')
    return new RawResponse({
      body: format === 'csv' ? csv() : entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''),
      headers: { 'content-type': contentTypes[format], 'content-disposition': `attachment; filename="audit.${format}"` },
    })
  },
})

function isoTime(timeMs: number): string {
  return new Date(timeMs).toISOString()
}
