/** Alerts worked on real tables, with real channels: storms, flapping, gaps, dead gateways, and who is told of them. */
import type { TableClient } from '@azure/data-tables'
import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { AlertDesk } from '../../cloud-functions/alerting/alert-desk.ts'
import { mailChannel } from '../../cloud-functions/alerting/channels/mail.ts'
import { pagerDutyChannel } from '../../cloud-functions/alerting/channels/pagerduty.ts'
import { teamsChannel } from '../../cloud-functions/alerting/channels/teams.ts'
import { webhookChannel } from '../../cloud-functions/alerting/channels/webhook.ts'
import { commandAlert } from '../../cloud-functions/alerting/command-alert.ts'
import type { Command } from '../../cloud-functions/alerting/alert-commands.ts'
import { Announcements } from '../../cloud-functions/alerting/announcements.ts'
import { NotificationPolicy, toldForMs } from '../../cloud-functions/alerting/notification-policy.ts'
import { projectAlert } from '../../cloud-functions/alerting/project-alert.ts'
import { settleAlert, sweepAlerts } from '../../cloud-functions/alerting/settle-alert.ts'
import { watchSilence } from '../../cloud-functions/alerting/watch-silence.ts'
import { newDeviceState } from '../../cloud-functions/hot-path/device-state.ts'
import { appendEvent, forgetAlerts, listAlerts, readAlert, readEvents } from '../../cloud-functions/store/alert-store.ts'
import type { ListedAlert } from '../../cloud-functions/store/alert-store.ts'
import { writeLatest } from '../../cloud-functions/store/hot-path-store.ts'
import { messagesWith, outboxOf } from '../../cloud-functions/store/outbox-store.ts'
import { writeTopology } from '../../cloud-functions/store/plant-store.ts'
import { openFiles } from '../../cloud-functions/store/files.ts'
import { deleteExpired, retentionMs } from '../../cloud-functions/store/retention.ts'
import { openTables } from '../../cloud-functions/store/tables.ts'
import type { Tables } from '../../cloud-functions/store/tables.ts'
import { closeWorkOrder, listWorkOrders } from '../../cloud-functions/store/work-order-store.ts'
import type { Alert, AlertEvent } from '../../contract/alert.ts'
import { evidence, idOf, raisedEvent } from '../support/alerts.ts'
import { cloudForTests } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { startMailbox, startReceiver } from '../support/receivers.ts'
import type { Mailbox, Receiver } from '../support/receivers.ts'

const secret = `whsec_${Buffer.from('a secret of twenty-four b').toString('base64')}`
const startMs = Date.UTC(2026, 0, 14, 12)
const minuteMs = 60_000

let cloud: CloudForTests
let tables: Tables
let department: Receiver
let pager: Receiver
let teams: Receiver
let mailbox: Mailbox
let nowMs = startMs
let published: ListedAlert[] = []

beforeAll(async () => {
  cloud = await cloudForTests()
  tables = await openTables(cloud.connection.storage)
  ;[department, pager, teams, mailbox] = await Promise.all([startReceiver(), startReceiver(), startReceiver(), startMailbox()])
}, 60_000)
afterAll(async () => {
  for (const party of [department, pager, teams, mailbox]) await party?.stop()
  await cloud?.stop()
})
beforeEach(async () => {
  for (const table of Object.values(tables))
    for await (const { partitionKey, rowKey } of table.listEntities({ queryOptions: { select: ['PartitionKey', 'RowKey'] } }))
      await table.deleteEntity(partitionKey!, rowKey!)
  let orders = 0
  department.answer = ({ body }) =>
    body.includes('"alert.raised"') ? { status: 200, body: JSON.stringify({ workOrder: `WO-${++orders}` }) } : { status: 200 }
  for (const { received } of [department, pager, teams]) received.length = 0
  mailbox.mails.length = 0
  mailbox.recipients.length = 0
  published = []
  nowMs = startMs
})

type Settings = { policy?: Record<string, unknown>; only?: readonly string[] }

function deskWith({ policy = {}, only = ['webhook'] }: Settings = {}): AlertDesk {
  const guard = { allowsInternal: true }
  const all = [
    webhookChannel(`${department.url}/work-orders`, secret, guard),
    mailChannel({ smtpUrl: mailbox.url, from: 'millwright@example.com', to: ['service@example.com'] }),
    teamsChannel(`${teams.url}/card`, guard),
    pagerDutyChannel(`${pager.url}/v2/enqueue`, 'routing-key', guard),
  ]
  const parsed = NotificationPolicy.parse(policy)
  return {
    tables,
    policy: parsed,
    announcements: new Announcements(tables, toldForMs(parsed)),
    channels: new Map(all.filter(({ name }) => only.includes(name)).map((channel) => [channel.name, channel])),
    publicUrl: 'https://alerts.example.com',
    linkSecret: 'a secret for links',
    random: () => 0.5,
    publish: (alert) => void published.push(alert),
  }
}

const toldOf = (receiver: Receiver) => receiver.received.map(({ body }) => JSON.parse(body) as { type: string; data: { asset: string } })

/** The same table, with something done between what its lists read and what becomes of it. */
function withLists(table: TableClient, listed: (entities: AsyncIterable<unknown>, filter: string) => AsyncIterable<unknown>): TableClient {
  return new Proxy(table, {
    get(target, name) {
      if (name === 'listEntities')
        return (...args: Parameters<TableClient['listEntities']>) =>
          listed(target.listEntities(...args), args[0]?.queryOptions?.filter ?? '')
      const member: unknown = Reflect.get(target, name)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
}

/** Something happened to an alert, and a hint says so. */
async function happens(desk: AlertDesk, event: AlertEvent): Promise<Alert | undefined> {
  await appendEvent(desk.tables, event, 'test')
  return settleAlert(desk, event.alertId, nowMs)
}

/** Time passes, with a sweep every ten seconds. @param appliedUpToMs how far the log has been applied */
async function pass(desk: AlertDesk, lengthMs: number, everyMs = 10_000, appliedUpToMs = Infinity): Promise<void> {
  const untilMs = nowMs + lengthMs
  while (nowMs < untilMs) {
    nowMs = Math.min(untilMs, nowMs + everyMs)
    await sweepAlerts(desk, await watchSilence(tables, nowMs, appliedUpToMs), nowMs)
  }
}

/** Devices heard at a time. */
async function heard(deviceIds: readonly string[], atMs: number, gatewayId = ''): Promise<void> {
  const states = deviceIds.map((deviceId) => {
    const state = Object.assign(newDeviceState(deviceId), { lastSeenMs: atMs, usualGapMs: 15_000, gatewayId })
    state.latest.set('vibrationMmPerS', { timeMs: atMs, value: 2 })
    return state
  })
  await writeLatest(tables, '0', states)
}

const names = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, index) => `${prefix}-${String(index + 1).padStart(3, '0')}`)

describe('one open alert a condition', () => {
  test('a sensor that flaps is one alert and one work order, and says that it chatters', async () => {
    const desk = deskWith()
    for (let episode = 0; episode < 6; episode++) {
      const alertId = idOf(episode + 1)
      await happens(desk, raisedEvent({ alertId, atMs: nowMs }))
      nowMs += 20_000
      await happens(desk, { kind: 'returned', alertId, atMs: nowMs, why: 'normal-again' })
      nowMs += 20_000
      // Somebody sees it off in between: it must not begin anew.
      if (episode === 2) await commandAlert(desk, idOf(1), { name: 'acknowledge', body: { note: 'again?' } }, { by: 'ann', nowMs })
    }
    const alerts = await listAlerts(tables, {})
    expect(alerts.map(({ alertId, occurrences }) => [alertId, occurrences])).toEqual([[idOf(1), 6]])
    const { nuisanceOf, suggestedDeadband } = await import('../../cloud-functions/alerting/nuisance.ts')
    expect(nuisanceOf(alerts[0]!, nowMs)).toEqual({ isChattering: true, isFleeting: true, isStale: false })
    // Seen 4.2 where 2.4 was expected at most: twice the 1.8 between them.
    expect(suggestedDeadband(alerts[0]!)).toEqual({ width: 3.6, unit: 'mm/s' })
    expect(toldOf(department).filter(({ type }) => type === 'alert.raised')).toHaveLength(1)
    expect(await listWorkOrders(tables)).toMatchObject([
      { asset: 'pump-1', failureCode: 'vibrationMmPerS/unusual', status: 'open', number: 'WO-1' },
    ])
  })

  test('episodes that are told in the wrong order, or at once, are one alert: that of the first', async () => {
    for (const order of [[3, 1, 2], [2, 3, 1], 'at once'] as const) {
      const device = String(order)
      const base = 16 * (1 + order.length + (order === 'at once' ? 5 : order[0]))
      const ids = [1, 2, 3].map((episode) => idOf(base + episode))
      for (const [index, alertId] of ids.entries()) {
        const atMs = nowMs + index * 60_000
        await appendEvent(tables, raisedEvent({ alertId, deviceId: device, atMs }), '0000000000000001')
        await appendEvent(tables, { kind: 'returned', alertId, atMs: atMs + 30_000, why: 'normal-again' }, '0000000000000002')
      }
      const desk = deskWith()
      if (order === 'at once') await Promise.all(ids.toReversed().map((alertId) => settleAlert(desk, alertId, nowMs + 200_000)))
      else for (const episode of order) await settleAlert(desk, ids[episode - 1]!, nowMs + 200_000)
      // Hints come again; the sweep finds what none came for.
      for (const alertId of ids) await settleAlert(desk, alertId, nowMs + 210_000)
      for (let turn = 0; turn < 4; turn++) await sweepAlerts(desk, ids, nowMs + 220_000 + turn * 10_000)
      const alerts = (await listAlerts(tables, {})).filter(({ deviceId }) => deviceId === device)
      expect(alerts, device).toMatchObject([
        { alertId: ids[0], occurrences: 3, state: 'returned-unacknowledged', returnedAtMs: nowMs + 150_000 },
      ])
      // However often it was asked for, it is one order: the receiver knows it by its id.
      const asked = department.received.filter(({ body }) => body.includes('"alert.raised"') && body.includes(`"asset":"${device}"`))
      expect(new Set(asked.map(({ headers }) => headers['webhook-id'])).size, device).toBe(1)
    }
  })

  test('long after it was closed, the condition is an alert of its own, on the same work order', async () => {
    const desk = deskWith()
    await happens(desk, raisedEvent({ alertId: idOf(1), atMs: nowMs }))
    await happens(desk, { kind: 'returned', alertId: idOf(1), atMs: nowMs + 1_000, why: 'normal-again' })
    await commandAlert(desk, idOf(1), { name: 'acknowledge', body: { note: '' } }, { by: 'ann', nowMs: nowMs + 2_000 })
    nowMs += 3_600_000
    await happens(desk, raisedEvent({ alertId: idOf(2), atMs: nowMs }))
    const alerts = (await listAlerts(tables, {})).sort((a, b) => a.raisedAtMs - b.raisedAtMs)
    expect(alerts.map(({ alertId, state, workOrder }) => [alertId, state, workOrder?.number])).toEqual([
      [idOf(1), 'normal', 'WO-1'],
      [idOf(2), 'active-unacknowledged', 'WO-1'],
    ])
    expect(toldOf(department).filter(({ type }) => type === 'alert.raised')).toHaveLength(1)
  })

  test('a fault that is back after its order was done gets another order', async () => {
    const desk = deskWith()
    await happens(desk, raisedEvent({ alertId: idOf(1), atMs: nowMs }))
    await happens(desk, { kind: 'returned', alertId: idOf(1), atMs: (nowMs += minuteMs), why: 'normal-again' })
    const [order] = await listWorkOrders(tables)
    nowMs += minuteMs
    await closeWorkOrder(tables, order!, nowMs)
    await happens(desk, { kind: 'work-order', alertId: idOf(1), atMs: nowMs, number: 'WO-1', status: 'closed', note: '' })
    await pass(desk, minuteMs)
    expect(toldOf(department).filter(({ type }) => type === 'alert.raised')).toHaveLength(1)
    nowMs += minuteMs
    await happens(desk, raisedEvent({ alertId: idOf(2), atMs: nowMs }))
    await pass(desk, minuteMs)
    expect(await listAlerts(tables, {})).toMatchObject([{ alertId: idOf(1), occurrences: 2, workOrder: { number: 'WO-2', isOpen: true } }])
    const asked = department.received.filter(({ body }) => body.includes('"alert.raised"'))
    expect(new Set(asked.map(({ headers }) => headers['webhook-id'])).size).toBe(2)
    expect(await listWorkOrders(tables)).toMatchObject([{ number: 'WO-2', status: 'open' }])
  })

  test('what is shelved stays shelved through its episodes, and comes back when its time is over', async () => {
    const desk = deskWith()
    await happens(desk, raisedEvent({ alertId: idOf(1), atMs: nowMs }))
    const shelve: Command = { name: 'shelve', body: { reason: 'part ordered', minutes: 30 } }
    await commandAlert(desk, idOf(1), shelve, { by: 'ann', nowMs })
    await happens(desk, { kind: 'returned', alertId: idOf(1), atMs: nowMs + 60_000, why: 'normal-again' })
    nowMs += 5 * minuteMs
    await happens(desk, raisedEvent({ alertId: idOf(2), atMs: nowMs }))
    expect(await listAlerts(tables, { standings: ['shelved'] })).toMatchObject([{ alertId: idOf(1), occurrences: 2 }])
    expect(await listAlerts(tables, { standings: ['open'] })).toEqual([])
    await pass(desk, 26 * minuteMs, minuteMs)
    expect(await listAlerts(tables, { standings: ['open'] })).toMatchObject([{ alertId: idOf(1), state: 'active-unacknowledged' }])
    const history = await readEvents(tables, idOf(1))
    expect(history.at(-1)).toMatchObject({ kind: 'unshelved', by: 'clock', atMs: startMs + 30 * minuteMs })
  })
})

describe('two operators at once', () => {
  test('never lose an action, and only one of them acknowledges', async () => {
    const desk = deskWith()
    await happens(desk, raisedEvent({ alertId: idOf(1), atMs: nowMs }))
    const people = ['ann', 'bob', 'eve', 'joe']
    const comments = people.flatMap((by) => [1, 2, 3].map((turn) => ({ by, text: `${by} ${turn}` })))
    const outcomes = await Promise.all([
      ...people.map((by) => commandAlert(desk, idOf(1), { name: 'acknowledge', body: { note: by } }, { by, nowMs })),
      ...comments.map(({ by, text }) => commandAlert(desk, idOf(1), { name: 'comment', body: { text } }, { by, nowMs })),
    ])
    expect(outcomes.slice(0, people.length).filter((outcome) => typeof outcome === 'object' && 'alert' in outcome)).toHaveLength(1)
    const history = await readEvents(tables, idOf(1))
    expect(history.filter(({ kind }) => kind === 'acknowledged')).toHaveLength(1)
    expect(history.flatMap((event) => (event.kind === 'commented' ? [event.text] : [])).sort()).toEqual(
      comments.map(({ text }) => text).sort(),
    )
    expect(published.at(-1)?.version).toBe(history.length)
  })
  test('who acts on what he no longer sees is told so', async () => {
    const desk = deskWith()
    await happens(desk, raisedEvent({ alertId: idOf(1), atMs: nowMs }))
    const seen = (await readAlert(tables, idOf(1)))!.events
    await commandAlert(desk, idOf(1), { name: 'comment', body: { text: 'first' } }, { by: 'ann', nowMs, ifVersion: seen })
    expect(await commandAlert(desk, idOf(1), { name: 'clear', body: { note: '' } }, { by: 'bob', nowMs, ifVersion: seen })).toBe('changed')
  })
})

describe('silence', () => {
  test('a dead gateway with 500 devices is one incident and at most three messages; a fault inside it stays visible', async () => {
    const desk = deskWith({ only: ['webhook', 'mail', 'teams', 'pagerduty'] })
    const behind = names('press', 500)
    const elsewhere = names('fan', 5)
    await pass(desk, 20_000)
    await heard([...elsewhere, ...behind], nowMs)
    await heard(behind, nowMs, 'gateway-1')
    // A bearing fails on one of them, before the gateway does.
    await happens(desk, raisedEvent({ alertId: idOf(1), deviceId: behind[7]!, priority: 'high', atMs: nowMs }))
    const before = [department, pager, teams].reduce((sum, { received }) => sum + received.length, 0) + mailbox.mails.length
    expect(before).toBeGreaterThan(0)
    // The last words of the devices do not come at the same moment.
    await heard(behind.slice(0, 250), nowMs - 9_000, 'gateway-1')
    for (let turn = 0; turn < 12; turn++) {
      await pass(desk, 10_000)
      await heard(elsewhere, nowMs)
    }
    const open = await listAlerts(tables, { standings: ['open'] })
    expect(open.map(({ deviceId, scope, condition }) => `${deviceId} ${scope ?? 'device'} ${condition}`).sort()).toEqual([
      'gateway-1 gateway no-data',
      `${behind[7]} device unusual`,
    ])
    expect(open.find(({ scope }) => scope === 'gateway')?.affected?.count).toBe(500)
    // It comes back.
    await heard(behind, nowMs, 'gateway-1')
    await pass(desk, 20_000)
    const gateway = (await listAlerts(tables, { condition: 'no-data' }))[0]!
    expect(gateway.state).toBe('returned-unacknowledged')
    await commandAlert(desk, gateway.alertId, { name: 'acknowledge', body: { note: '' } }, { by: 'ann', nowMs })
    for (const channel of ['webhook', 'mail', 'teams', 'pagerduty'] as const) {
      const sent = (await outboxOf(tables, gateway.alertId)).filter(
        (message) => message.channel === channel && message.status === 'delivered',
      )
      expect(sent.length, channel).toBeLessThanOrEqual(3)
      expect(sent.map(({ transition }) => transition)).toContain('raised')
    }
  }, 120_000)

  test('one device among others is its own alert, and ends with its next word', async () => {
    const desk = deskWith()
    await pass(desk, 20_000)
    const devices = names('press', 4)
    for (let turn = 0; turn < 10; turn++) {
      await heard(devices.slice(1), nowMs, 'gateway-1')
      if (turn === 0) await heard(devices.slice(0, 1), nowMs, 'gateway-1')
      await pass(desk, 10_000)
    }
    expect(await listAlerts(tables, { standings: ['open'] })).toMatchObject([
      { deviceId: 'press-001', condition: 'no-data', state: 'active-unacknowledged' },
    ])
    await heard(devices, nowMs, 'gateway-1')
    await pass(desk, 10_000)
    expect(await listAlerts(tables, { standings: ['open'] })).toMatchObject([{ deviceId: 'press-001', state: 'returned-unacknowledged' }])
  })

  test('while nobody listened, nobody was silent', async () => {
    const desk = deskWith()
    await heard(names('press', 3), nowMs)
    await pass(desk, 30_000)
    // A night later everything is started again.
    nowMs += 10 * 3_600_000
    await pass(desk, 50_000)
    expect(await listAlerts(tables, {})).toEqual([])
    await pass(desk, 60_000)
    expect((await listAlerts(tables, {})).length).toBeGreaterThan(0)
  })

  test('while the log is behind, what has not been applied is no silence; whoever stays behind is blind, and says so', async () => {
    const desk = deskWith()
    await pass(desk, 20_000)
    await heard(names('press', 3), nowMs)
    const appliedMs = nowMs + 30_000
    await pass(desk, 15 * minuteMs, 30_000, appliedMs)
    expect(await listAlerts(tables, {})).toEqual([])
    // One of them had stopped, as is seen when the log has been applied further.
    await heard(names('press', 3).slice(1), appliedMs + 80_000)
    await pass(desk, 10_000, 10_000, appliedMs + 90_000)
    const silent = async () =>
      (await listAlerts(tables, { standings: ['open'] })).map(({ deviceId, scope = 'device' }) => [scope, deviceId])
    expect(await silent()).toEqual([['device', 'press-001']])
    await pass(desk, 5 * minuteMs, 30_000, appliedMs + 90_000)
    expect(await silent()).toContainEqual(['plant', 'plant'])
  })

  test('no delay of an alert runs through a gap in the data', async () => {
    const desk = deskWith()
    await pass(desk, 10_000)
    await heard(['store-1'], nowMs)
    // Warm air for longer than a minute is an alert: its model says so. Here the data ends after ten seconds.
    const warm = { deviceId: 'store-1', modelId: 'dtmi:millwright:ColdStore;1', signal: 'airTemperatureC', condition: 'high-high' } as const
    await happens(desk, raisedEvent({ ...warm, alertId: idOf(1), priority: 'high', atMs: nowMs }))
    await pass(desk, 10 * minuteMs, 30_000)
    expect((await listAlerts(tables, { standings: ['open'] })).map(({ condition }) => condition)).toEqual(['no-data'])
    expect(await listAlerts(tables, { standings: ['pending'] })).toHaveLength(1)
    // The data comes back, still warm: now it counts.
    await heard(['store-1'], nowMs)
    await pass(desk, 10_000)
    expect((await listAlerts(tables, { standings: ['open'] })).map(({ condition }) => condition).sort()).toEqual(['high-high', 'no-data'])
  })
})

describe('a storm', () => {
  const raiseOn = (desk: AlertDesk, deviceId: string, number: number, changes: Partial<Parameters<typeof raisedEvent>[0]> = {}) =>
    happens(desk, raisedEvent({ alertId: idOf(number), deviceId, atMs: nowMs, ...changes }))

  test('on one line is an incident with a named root, and the line next to it is none of it', async () => {
    const desk = deskWith()
    await writeTopology(tables, {
      places: [
        { devices: ['press-*'], site: 'Works', line: 'Presses' },
        { devices: ['fan-*'], site: 'Works', line: 'Ventilation' },
      ],
    })
    for (const [index, deviceId] of names('press', 6).entries()) {
      nowMs += 5_000
      await raiseOn(desk, deviceId, index + 1)
    }
    await raiseOn(desk, 'fan-001', 99)
    const alerts = await listAlerts(tables, {})
    const incidents = new Map(alerts.map(({ deviceId, incidentId }) => [deviceId, incidentId]))
    expect([...new Set(names('press', 6).map((name) => incidents.get(name)))]).toEqual([idOf(1)])
    expect(incidents.get('fan-001')).toBeUndefined()
    const members = await listAlerts(tables, { incidentId: idOf(1) })
    expect(members.map(({ deviceId }) => deviceId).sort()).toEqual(names('press', 6))
    // Those before the third could not know; the rest are told of with their root.
    expect(toldOf(department).map(({ data }) => data.asset)).toEqual(['press-001', 'press-002', 'fan-001'])
  })

  test('of everything is a flood: people get one digest, not forty messages', async () => {
    const desk = deskWith({ only: ['webhook', 'mail'] })
    for (const [index, deviceId] of names('machine', 40).entries()) {
      nowMs += 2_000
      await raiseOn(desk, deviceId, index + 1)
    }
    await pass(desk, 20_000)
    expect(mailbox.mails.length).toBeLessThanOrEqual(12)
    expect(mailbox.mails.filter((mail) => /Subject: Alarm flood/.test(mail))).toHaveLength(1)
    // Nor are they told one by one when it is over; people are reminded of all in one.
    const told = mailbox.mails.length
    await pass(desk, 40 * minuteMs, minuteMs)
    expect(mailbox.mails.slice(told).map((mail) => /^Subject: (.*?)\r?$/m.exec(mail)![1])).toEqual([
      'Re: Still open: Alarm flood: 40 alerts',
    ])
    // The service department's machines have them all.
    expect(toldOf(department).filter(({ type }) => type === 'alert.raised')).toHaveLength(40)
  })

  test('that another process has grouped while a sweep went on is not grouped anew', async () => {
    const desk = deskWith()
    for (const number of [2, 3, 4]) await raiseOn(desk, `press-00${number}`, number)
    await writeTopology(tables, { places: [{ devices: ['press-*'], site: 'Works', line: 'Presses' }] })
    let isOther = false
    const alerts = withLists(tables.alerts, async function* (entities, filter) {
      yield* entities
      if (isOther || !filter.includes("standing eq 'open'")) return
      isOther = true
      // An earlier one, told late, and by another process, is the root of them all.
      await raiseOn(desk, 'press-001', 1, { atMs: nowMs - 30_000, evidence: { ...evidence, firstSeenMs: evidence.firstSeenMs - 30_000 } })
    })
    await sweepAlerts({ ...desk, tables: { ...tables, alerts } }, [], nowMs)
    expect(isOther).toBe(true)
    const histories = await Promise.all([1, 2, 3, 4].map((number) => readEvents(tables, idOf(number))))
    const grouped = histories.flat().filter((event) => event.kind === 'grouped')
    expect(grouped.map(({ alertId, incidentId }) => [alertId, incidentId])).toEqual([1, 2, 3, 4].map((number) => [idOf(number), idOf(1)]))
    expect(new Set((await listAlerts(tables, {})).map(({ incidentId }) => incidentId))).toEqual(new Set([idOf(1)]))
  })

  test('costs each alert what it costs by itself, however many are open', async () => {
    const desk = deskWith()
    const rows = { listed: 0 }
    const alerts = withLists(tables.alerts, async function* (entities) {
      for await (const entity of entities) {
        rows.listed++
        yield entity
      }
    })
    const busy = { ...desk, tables: { ...tables, alerts } }
    for (const [index, deviceId] of names('machine', 60).entries()) await raiseOn(desk, deviceId, index + 1)
    await raiseOn(busy, 'machine-061', 61)
    expect(rows.listed).toBe(0)
    // All sixty are due; what they stand among is read once.
    await sweepAlerts(busy, [], nowMs)
    expect(rows.listed).toBeLessThan(3 * 61)
  })

  test('that two processes hear of is one flood for both', async () => {
    const [one, another] = [deskWith({ only: ['mail'] }), deskWith({ only: ['mail'] })]
    for (const [index, deviceId] of names('machine', 40).entries()) {
      nowMs += 2_000
      await raiseOn(index % 2 === 0 ? one : another, deviceId, index + 1)
    }
    await pass(one, 20_000)
    await pass(another, 20_000)
    expect(mailbox.mails.filter((mail) => !/Subject: Alarm flood/.test(mail)).length).toBeLessThanOrEqual(15)
    expect(mailbox.mails.filter((mail) => /Subject: Alarm flood/.test(mail))).toHaveLength(1)
  })

  test('of what nobody wants to be woken by wakes nobody; what is critical is told by name even then', async () => {
    const policy = { quietHours: { from: '00:00', to: '23:59' } }
    const desk = deskWith({ policy, only: ['mail', 'pagerduty'] })
    for (const [index, deviceId] of names('machine', 15).entries()) await raiseOn(desk, deviceId, index + 1)
    await pass(desk, 20_000)
    // Medium alerts: no pager by the policy, no mail before the morning.
    expect([mailbox.mails.length, pager.received.length]).toEqual([0, 0])
    await raiseOn(desk, 'boiler-1', 500, { priority: 'critical' })
    expect(mailbox.mails.at(-1)).toMatch(/Subject: \[critical\] boiler-1/)
  })
})

describe('who is told', () => {
  test('reminders and the chain of escalation, by the clock, until somebody answers', async () => {
    const policy = { remindersMin: [15, 60], escalation: [{ afterMin: 30, mailTo: ['chief@example.com'] }] }
    const desk = deskWith({ policy, only: ['mail', 'pagerduty'] })
    await happens(desk, raisedEvent({ alertId: idOf(1), priority: 'high', atMs: nowMs }))
    await pass(desk, 14 * minuteMs, minuteMs)
    expect(mailbox.mails).toHaveLength(1)
    await pass(desk, 20 * minuteMs, minuteMs)
    expect(mailbox.mails.map((mail) => /^Subject: (.*?)\r?$/m.exec(mail)![1])).toEqual([
      '[high] pump-1: Vibration',
      'Re: Still open: [high] pump-1: Vibration',
      'Re: Nobody has answered: [high] pump-1: Vibration',
    ])
    expect(mailbox.recipients).toEqual([['service@example.com'], ['service@example.com'], ['chief@example.com']])
    await commandAlert(desk, idOf(1), { name: 'acknowledge', body: { note: 'going' } }, { by: 'ann', nowMs })
    await pass(desk, 60 * minuteMs, minuteMs)
    expect(mailbox.mails).toHaveLength(3)
    await happens(desk, { kind: 'returned', alertId: idOf(1), atMs: nowMs, why: 'normal-again' })
    const thread = /^Message-ID: (.*?)\r?$/m.exec(mailbox.mails[0]!)![1]
    expect(mailbox.mails.slice(1).every((mail) => mail.includes(`In-Reply-To: ${thread}`))).toBe(true)
    expect(mailbox.mails.at(-1)).toContain('Over: [high] pump-1')
    const events = pager.received.map(({ body }) => JSON.parse(body) as { event_action: string; dedup_key: string })
    expect(events.map(({ event_action }) => event_action)).toEqual(['trigger', 'trigger', 'acknowledge', 'resolve'])
    expect(new Set(events.map(({ dedup_key }) => dedup_key))).toEqual(new Set([idOf(1)]))
  })

  test('an alert that comes back and ends again is told so again, to the pager, too', async () => {
    const desk = deskWith({ policy: { remindersMin: [] }, only: ['pagerduty'] })
    for (const [episode, alertId] of [idOf(1), idOf(2)].entries()) {
      await happens(desk, raisedEvent({ alertId, priority: 'high', atMs: nowMs }))
      nowMs += minuteMs
      await commandAlert(desk, idOf(1), { name: 'acknowledge', body: { note: String(episode) } }, { by: 'ann', nowMs })
      nowMs += minuteMs
      await happens(desk, { kind: 'returned', alertId, atMs: nowMs, why: 'normal-again' })
      nowMs += minuteMs
    }
    const actions = pager.received.map(({ body }) => (JSON.parse(body) as { event_action: string }).event_action)
    expect(actions).toEqual(['trigger', 'acknowledge', 'resolve', 'trigger', 'acknowledge', 'resolve'])
  })

  test('quiet hours hold back what can wait, and what is over by morning is not told at all', async () => {
    const policy = { remindersMin: [], quietHours: { from: '22:00', to: '06:00', timeZone: 'Europe/Helsinki' } }
    const desk = deskWith({ policy, only: ['webhook', 'mail'] })
    // Half past one in Helsinki.
    nowMs = Date.UTC(2026, 0, 14, 23, 30)
    await happens(desk, raisedEvent({ alertId: idOf(1), deviceId: 'a', atMs: nowMs }))
    await happens(desk, raisedEvent({ alertId: idOf(2), deviceId: 'b', atMs: nowMs }))
    await happens(desk, raisedEvent({ alertId: idOf(3), deviceId: 'c', priority: 'high', atMs: nowMs }))
    expect(mailbox.mails.map((mail) => /^Subject: (.*?)\r?$/m.exec(mail)![1])).toEqual(['[high] c: Vibration'])
    await happens(desk, { kind: 'returned', alertId: idOf(2), atMs: nowMs + 1_000, why: 'normal-again' })
    await commandAlert(desk, idOf(2), { name: 'acknowledge', body: { note: '' } }, { by: 'ann', nowMs: nowMs + 2_000 })
    nowMs = Date.UTC(2026, 0, 15, 3, 59)
    await pass(desk, 2 * minuteMs, minuteMs)
    expect(mailbox.mails.map((mail) => /^Subject: (.*?)\r?$/m.exec(mail)![1])).toEqual(['[high] c: Vibration', '[medium] a: Vibration'])
    // The machines of the service department do not sleep.
    expect(toldOf(department).filter(({ type }) => type === 'alert.raised')).toHaveLength(3)
  })

  test('a receiver that is down for an hour gets one order, under one id, and knows what is over after what began', async () => {
    const desk = deskWith()
    department.answer = () => ({ status: 503 })
    await happens(desk, raisedEvent({ alertId: idOf(1), atMs: nowMs }))
    await pass(desk, 30 * minuteMs)
    await happens(desk, { kind: 'returned', alertId: idOf(1), atMs: nowMs, why: 'normal-again' })
    await commandAlert(desk, idOf(1), { name: 'acknowledge', body: { note: '' } }, { by: 'ann', nowMs })
    await pass(desk, 30 * minuteMs)
    const failed = department.received.length
    expect(failed).toBeGreaterThan(5)
    expect(failed).toBeLessThan(20)
    department.answer = ({ body }) => ({ status: 200, body: body.includes('alert.raised') ? '{"workOrder":"WO-7"}' : '' })
    await pass(desk, 60 * minuteMs)
    const after = department.received.slice(failed)
    expect(after.map(({ body }) => (JSON.parse(body) as { type: string }).type)).toEqual(['alert.raised', 'alert.closed'])
    const ids = department.received.filter(({ body }) => body.includes('alert.raised')).map(({ headers }) => headers['webhook-id'])
    expect(new Set(ids).size).toBe(1)
    for (const { body, headers } of after) {
      // Signed at the desk's time, not at ours.
      const [id, seconds] = [String(headers['webhook-id']), Number(headers['webhook-timestamp'])]
      expect(headers['webhook-signature']).toBe(new Webhook(secret).sign(id, new Date(seconds * 1000), body))
    }
  })

  test('what nobody wants is given up at once and can be sent again; what is over is told only to who knew', async () => {
    const desk = deskWith({ only: ['teams'] })
    teams.answer = () => ({ status: 404 })
    await happens(desk, raisedEvent({ alertId: idOf(1), priority: 'high', atMs: nowMs }))
    expect(await messagesWith(tables, 'given-up')).toMatchObject([{ channel: 'teams', attempts: 1, lastError: 'Teams answered 404' }])
    teams.answer = () => ({ status: 200 })
    await happens(desk, { kind: 'returned', alertId: idOf(1), atMs: nowMs, why: 'normal-again' })
    await commandAlert(desk, idOf(1), { name: 'acknowledge', body: { note: '' } }, { by: 'ann', nowMs })
    await pass(desk, 20_000)
    expect(teams.received).toHaveLength(1)
  })

  test('a redirect is not followed', async () => {
    const desk = deskWith()
    department.answer = ({ path }) =>
      path === '/work-orders' ? { status: 302, headers: { location: `${pager.url}/stolen` } } : { status: 200 }
    await happens(desk, raisedEvent({ alertId: idOf(1), atMs: nowMs }))
    expect(pager.received).toEqual([])
    expect((await outboxOf(tables, idOf(1)))[0]).toMatchObject({ status: 'waiting', lastError: 'the service department answered 302' })
  })
})

describe('retention', () => {
  test('a closed alert goes with its history and messages when it is old; one that is open stays, and so does what is young', async () => {
    const desk = deskWith()
    const close = async (alertId: string) => {
      await happens(desk, { kind: 'returned', alertId, atMs: nowMs, why: 'normal-again' })
      await commandAlert(desk, alertId, { name: 'acknowledge', body: { note: '' } }, { by: 'ann', nowMs })
    }
    for (const [index, deviceId] of ['old', 'open', 'young'].entries()) {
      if (deviceId === 'young') nowMs += 40 * 86_400_000
      await happens(desk, raisedEvent({ alertId: idOf(index + 1), deviceId, atMs: nowMs }))
      if (deviceId !== 'open') await close(idOf(index + 1))
    }
    const { exports: exportFiles } = await openFiles(cloud.connection.storage)
    await deleteExpired(tables, exportFiles, {
      nowMs: startMs + retentionMs.alerts + 86_400_000,
      readingsMs: 86_400_000,
      archivedMs: 0,
    })
    expect((await listAlerts(tables, {})).map(({ deviceId }) => deviceId).sort()).toEqual(['open', 'young'])
    expect([await readEvents(tables, idOf(1)), await outboxOf(tables, idOf(1))]).toEqual([[], []])
    for (const kept of [2, 3]) expect(await outboxOf(tables, idOf(kept))).not.toEqual([])
    // Its condition is free again.
    await happens(desk, raisedEvent({ alertId: idOf(4), deviceId: 'old', atMs: nowMs }))
    expect((await listAlerts(tables, { standings: ['open'], deviceId: 'old' })).map(({ alertId }) => alertId)).toEqual([idOf(4)])
  })
})

describe('the histories are the truth', () => {
  test('alerts that are forgotten are rebuilt the same, whatever the order', async () => {
    const desk = deskWith()
    for (let episode = 1; episode <= 4; episode++) {
      await happens(desk, raisedEvent({ alertId: idOf(16 - episode), atMs: nowMs }))
      nowMs += 20_000
      await happens(desk, { kind: 'returned', alertId: idOf(16 - episode), atMs: nowMs, why: 'normal-again' })
      await commandAlert(desk, idOf(16 - episode), { name: 'acknowledge', body: { note: '' } }, { by: 'ann', nowMs })
      nowMs += episode === 2 ? 3_600_000 : minuteMs
    }
    await happens(desk, raisedEvent({ alertId: idOf(30), deviceId: 'pump-9', evidence, atMs: nowMs }))
    const rows = async () => (await listAlerts(tables, {})).sort((a, b) => (a.alertId < b.alertId ? -1 : 1))
    const before = await rows()
    expect(before).toHaveLength(3)
    for (const alertId of await forgetAlerts(tables)) await projectAlert(tables, alertId, nowMs)
    expect(await rows()).toEqual(before)
  })
})
