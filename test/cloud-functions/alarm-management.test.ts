/** Floods, incidents, figures and rules of alarm management, each as the pure function it is. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { floodNow, floodSettings, floodsIn } from '../../cloud-functions/alerting/flood.ts'
import { groupingEvents } from '../../cloud-functions/alerting/incidents.ts'
import { kpisOf } from '../../cloud-functions/alerting/kpis.ts'
import { NotificationPolicy } from '../../cloud-functions/alerting/notification-policy.ts'
import { quietUntilMs } from '../../cloud-functions/alerting/quiet-hours.ts'
import { placeFinder, Topology } from '../../cloud-functions/alerting/topology.ts'
import { csvLine } from '../../cloud-functions/store/csv.ts'
import { factsOf } from '../../contract/alert.ts'
import type { AlertEvent, AlertFacts } from '../../contract/alert.ts'
import { alertOf, idOf, raisedEvent } from '../support/alerts.ts'

const minuteMs = 60_000

describe('a flood', () => {
  const every = (count: number, gapMs: number, fromMs = 0) => Array.from({ length: count }, (_, index) => fromMs + index * gapMs)
  test('is more than ten alerts in ten minutes', () => {
    expect(floodsIn(every(10, 50_000), 10 * minuteMs)).toEqual([])
    expect(floodNow(every(11, 50_000), 9 * minuteMs)).toEqual({ sinceMs: 0, untilMs: undefined, alerts: 11 })
  })
  test('ends when fewer than five are left in ten minutes', () => {
    const times = every(12, 1_000)
    // The fifth from the end leaves the window: four are left.
    const endMs = 7_000 + floodSettings.windowMs
    expect(floodNow(times, endMs)).toBeDefined()
    expect(floodsIn(times, endMs + 1)).toEqual([{ sinceMs: 0, untilMs: endMs, alerts: 12 }])
  })
  test('and the next one are two', () => {
    const times = [...every(12, 1_000), ...every(12, 1_000, 3_600_000)]
    expect(floodsIn(times, 2 * 3_600_000).map(({ sinceMs, alerts }) => [sinceMs, alerts])).toEqual([
      [0, 12],
      [3_600_000, 12],
    ])
  })
  test('is the same in whatever order alerts are told, and never without enough of them', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 7_200_000 }), { maxLength: 80 }), (times) => {
        const floods = floodsIn(times, 7_200_000)
        expect(floodsIn(times.toReversed(), 7_200_000)).toEqual(floods)
        for (const { sinceMs, untilMs = 7_200_001, alerts } of floods) {
          expect(alerts).toBeGreaterThan(floodSettings.beginsAbove)
          expect(times.filter((timeMs) => timeMs >= sinceMs && timeMs <= untilMs).length).toBe(alerts)
        }
      }),
    )
  })
})

describe('an incident', () => {
  const placeOf = placeFinder({ places: [{ devices: ['press-*'], site: 'Works', line: 'Presses' }] })
  const noGateway = () => ''
  const facts = (deviceId: string, changes: Partial<ReturnType<typeof raisedEvent>> = {}) =>
    factsOf(alertOf(raisedEvent({ deviceId, ...changes })))
  const gateway = facts('gateway-1', {
    alertId: idOf(9),
    scope: 'gateway',
    signal: '',
    condition: 'no-data',
    affected: { count: 2, deviceIds: ['press-1', 'press-2'] },
  })
  test('of a gateway suppresses the silence of those behind it, and nothing else', () => {
    const silent = facts('press-1', { alertId: idOf(1), signal: '', condition: 'no-data' })
    const failing = facts('press-2', { alertId: idOf(2) })
    const elsewhere = facts('fan-1', { alertId: idOf(3), signal: '', condition: 'no-data' })
    expect(groupingEvents(gateway, [silent, failing, elsewhere], placeOf, noGateway)).toEqual([
      { kind: 'suppressed', alertId: idOf(1), atMs: 1_000, incidentId: idOf(9) },
    ])
    // Told of later, it finds its root there; by the gateway it speaks through, where the list of names is cut.
    expect(groupingEvents(silent, [gateway, failing], placeOf, noGateway)).toHaveLength(1)
    const unnamed = facts('press-400', { alertId: idOf(4), signal: '', condition: 'no-data' })
    expect(groupingEvents(unnamed, [gateway], placeOf, noGateway)).toEqual([])
    expect(groupingEvents(unnamed, [gateway], placeOf, () => 'gateway-1')).toHaveLength(1)
  })
  test('that is over suppresses nothing', () => {
    const over: AlertFacts = { ...gateway, returnedAtMs: 2_000 }
    expect(groupingEvents(facts('press-1', { alertId: idOf(1), signal: '', condition: 'no-data' }), [over], placeOf, noGateway)).toEqual([])
  })
  test('of a line needs three machines within two minutes', () => {
    const at = (number: number, atMs: number) => facts(`press-${number}`, { alertId: idOf(number), atMs })
    expect(groupingEvents(at(3, 60_000), [at(1, 50_000)], placeOf, noGateway)).toEqual([])
    expect(groupingEvents(at(3, 200_000), [at(1, 50_000), at(2, 190_000)], placeOf, noGateway)).toEqual([])
    const grouped = groupingEvents(at(3, 60_000), [at(1, 50_000), at(2, 55_000)], placeOf, noGateway)
    expect(
      new Set(grouped.map((event: AlertEvent) => `${event.kind} ${event.alertId} ${'incidentId' in event ? event.incidentId : ''}`)),
    ).toEqual(new Set([1, 2, 3].map((number) => `grouped ${idOf(number)} ${idOf(1)}`)))
    // Two alerts of one machine are not two machines.
    const twice = facts('press-1', { alertId: idOf(7), signal: 'motorCurrentA', atMs: 55_000 })
    expect(groupingEvents(at(3, 60_000), [at(1, 50_000), twice], placeOf, noGateway)).toEqual([])
  })
})

describe('where machines stand', () => {
  test('the first rule that fits counts, and a star stands for anything', () => {
    const placeOf = placeFinder(
      Topology.parse({
        places: [
          { devices: ['pump-007'], site: 'Spare parts' },
          { devices: ['pump-*', '*-north-*'], site: 'Works', line: 'Utilities' },
        ],
      }),
    )
    expect(['pump-007', 'pump-008', 'fan-north-1', 'north-1', 'pump'].map((deviceId) => placeOf(deviceId).site)).toEqual([
      'Spare parts',
      'Works',
      'Works',
      '',
      '',
    ])
  })
  test('a pattern of many stars takes no time', () => {
    const placeOf = placeFinder(Topology.parse({ places: [{ devices: ['*a'.repeat(60)], site: 'Works' }] }))
    expect(placeOf(`${'a'.repeat(127)}b`).site).toBe('')
  })
})

describe('quiet hours', () => {
  const quiet = (from: string, to: string, timeZone: string) => NotificationPolicy.parse({ quietHours: { from, to, timeZone } }).quietHours!
  test('reach over midnight', () => {
    const night = quiet('22:00', '06:00', 'UTC')
    expect(quietUntilMs(night, Date.UTC(2026, 0, 1, 21, 59))).toBeUndefined()
    expect(quietUntilMs(night, Date.UTC(2026, 0, 1, 22, 0))).toBe(Date.UTC(2026, 0, 2, 6))
    expect(quietUntilMs(night, Date.UTC(2026, 0, 2, 5, 59))).toBe(Date.UTC(2026, 0, 2, 6))
    expect(quietUntilMs(night, Date.UTC(2026, 0, 2, 6, 0))).toBeUndefined()
  })
  test('end by the wall clock on the night it changes', () =>
    // Summer time begins in Helsinki on 29 March 2026: six o'clock there is three in UTC.
    expect(quietUntilMs(quiet('22:00', '06:00', 'Europe/Helsinki'), Date.UTC(2026, 2, 28, 21))).toBe(Date.UTC(2026, 2, 29, 3)))
  test.each([
    { from: '25:00', to: '06:00' },
    { from: '06:00', to: '06:00' },
    { from: '22:00', to: '06:00', timeZone: 'Mars/Olympus' },
  ])('%j are none', (quietHours) => expect(NotificationPolicy.safeParse({ quietHours }).success).toBe(false))
})

describe('the figures of ISA-18.2', () => {
  const dayMs = 86_400_000
  const alert = (number: number, atMs: number, events: AlertEvent[] = [], changes = {}) =>
    factsOf(alertOf(raisedEvent({ alertId: idOf(number), deviceId: `unit-${number % 3}`, atMs, ...changes }), ...events))
  test('are rates by operator, floods, bad actors and what only tires people', () => {
    const alerts = [
      ...Array.from({ length: 12 }, (_, index) => alert(index, index * 10_000)),
      alert(50, 5 * dayMs, [{ kind: 'acknowledged', alertId: idOf(50), atMs: 5 * dayMs + 90_000, by: 'ann', note: '' }], {
        priority: 'critical',
      }),
      alert(51, 9 * dayMs, [
        { kind: 'returned', alertId: idOf(51), atMs: 9 * dayMs + 5_000, why: 'normal-again' },
        { kind: 'judged', alertId: idOf(51), atMs: 9 * dayMs + 6_000, by: 'ann', isTrueAlarm: false, note: '' },
      ]),
    ]
    const kpis = kpisOf(alerts, { fromMs: 0, toMs: 10 * dayMs, nowMs: 10 * dayMs, operators: 2 })
    expect(kpis).toMatchObject({
      days: 10,
      annunciations: 14,
      ratePerOperator: { perDay: 0.7 },
      peakPer10Min: 6,
      priorities: { critical: 1, medium: 13 },
      fleeting: 1,
      chattering: 0,
      stale: 13,
      judgedFalse: 1,
      medianAcknowledgeMs: 90_000,
    })
    expect(kpis.floods).toMatchObject([{ sinceMs: 0, alerts: 12 }])
    expect(kpis.badActors[0]).toMatchObject({ deviceId: 'unit-0', annunciations: 5 })
    expect(kpis.top10Share).toBeCloseTo(1)
  })
  test('leave out what nobody was told of', () => {
    const suppressed = alert(1, 0, [{ kind: 'suppressed', alertId: idOf(1), atMs: 0, incidentId: idOf(9) }])
    expect(kpisOf([suppressed], { fromMs: 0, toMs: dayMs, nowMs: dayMs, operators: 1 })).toMatchObject({ annunciations: 0, suppressed: 1 })
  })
})

describe('CSV', () => {
  test.each(['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1'])('%j is text, not a formula', (text) =>
    expect(csvLine([text])).toBe(`"'${text}"\n`),
  )
  test('numbers stay numbers, quotes are doubled', () => expect(csvLine([-1.5, 'a"b', 'plain', undefined])).toBe('-1.5,"a""b",plain,\n'))
})
