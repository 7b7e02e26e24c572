/** What the page makes of alerts before it draws them: groups, filters, urgency, and the score against the truth. */
import { describe, expect, test } from 'vitest'
import { alertItem } from '../../cloud-functions/api/views.ts'
import type { AlertItem } from '../../contract/api.ts'
import { factsOf } from '../../contract/alert.ts'
import { grouped, matching } from '../../dashboards/alert-groups.ts'
import { scoreOf } from '../../dashboards/scoreboard.ts'
import { toldSince, withNews, withTold } from '../../dashboards/told-alerts.ts'
import type { ToldAlerts } from '../../dashboards/told-alerts.ts'
import { alertOf, idOf, raisedEvent } from '../support/alerts.ts'

const place = (deviceId: string) => ({ site: 'Works', line: deviceId.startsWith('press') ? 'Presses' : 'Fans' })
const item = (number: number, changes: Partial<ReturnType<typeof raisedEvent>> = {}, more: Partial<AlertItem> = {}): AlertItem => {
  const alert = alertOf(raisedEvent({ alertId: idOf(number), deviceId: `press-${number}`, ...changes }))
  return { ...alertItem({ ...factsOf(alert), version: 1 }, place, 2_000), ...more }
}

describe('an incident on the list', () => {
  const root = item(1, {}, { incidentId: idOf(1) })
  const member = item(2, {}, { incidentId: idOf(1) })
  const graver = item(3, { priority: 'high' }, { incidentId: idOf(1) })
  const other = item(4)
  const shown = (alerts: readonly AlertItem[], isOpen = false) =>
    grouped(alerts, () => isOpen).map(({ alert, isMember, members }) => [alert.deviceId, isMember, members])

  test('stands where its most urgent alert would, with the rest folded behind its root', () =>
    expect(shown([member, other, root])).toEqual([
      ['press-1', false, 1],
      ['press-4', false, 0],
    ]))
  test('never hides what is graver than its root', () =>
    expect(shown([graver, member, root])).toEqual([
      ['press-1', false, 1],
      ['press-3', true, 0],
    ]))
  test('opens below its root; each alert stands once', () =>
    expect(shown([graver, other, member, root], true)).toEqual([
      ['press-1', false, 1],
      ['press-3', true, 0],
      ['press-2', true, 0],
      ['press-4', false, 0],
    ]))
  test('without its root on the list has another head', () =>
    expect(shown([member, item(5, {}, { incidentId: idOf(1) })])).toEqual([['press-2', false, 1]]))
})

describe('what the live channel tells', () => {
  const at = (alert: AlertItem, toldAt: number) => ({ alert, toldAt })
  const told = (...news: ReturnType<typeof at>[]) => withTold(new Map(), news)
  const shown = (asked: readonly AlertItem[], news: ToldAlerts) =>
    withNews(asked, news, 'open').map(({ alertId, version }) => [alertId, version])
  const [first, second] = [item(1), item(2)]
  const closed = item(1, {}, { version: 3, standing: 'closed' })

  test('counts where it is newer than what was asked for, whatever order it comes in', () => {
    const changed = item(1, {}, { version: 2, assignee: 'Ann' })
    expect(shown([first], told(at(second, 1), at(changed, 2)))).toEqual([
      [idOf(1), 2],
      [idOf(2), 1],
    ])
    expect(shown([changed], told(at(first, 1)))).toEqual([[idOf(1), 2]])
    expect(shown([first], told(at(closed, 1), at(changed, 2)))).toEqual([])
  })

  test('ends with the next answer: an alert whose end was told while the line was cut does not stay', () => {
    const news = told(at(first, 10), at(second, 30))
    expect(shown([], toldSince(news, 5))).toHaveLength(2)
    expect(shown([], toldSince(news, 20))).toEqual([[idOf(2), 1]])
    expect(toldSince(news, 40).size).toBe(0)
  })
})

describe('the filter', () => {
  const alerts = [item(1), item(2, { deviceId: 'fan-2', priority: 'high' }, { assignee: 'Bob' })]
  const found = (text: string, priority = '') => matching(alerts, text, priority).map(({ deviceId }) => deviceId)
  test('wants every word somewhere in what is known', () => {
    expect(found('vibration press')).toEqual(['press-1'])
    expect(found('FANS bob')).toEqual(['fan-2'])
    expect(found('presses bob')).toEqual([])
    expect(found('  ')).toHaveLength(2)
  })
  test('and the priority that was chosen', () => expect(found('', 'high')).toEqual(['fan-2']))
})

describe('the score', () => {
  const label = (deviceId: string, onsetMs: number, endMs: number) => ({
    deviceId,
    kind: 'bearing-wear',
    onset: new Date(onsetMs).toISOString(),
    end: new Date(endMs).toISOString(),
  })
  test('finds what was found, misses what ended unseen, and counts alerts nobody caused', () => {
    const alerts = [item(1, { atMs: 60_000 }), item(9, { atMs: 90_000 })]
    const labels = [
      label('press-1', 50_000, 80_000),
      label('press-2', 50_000, 80_000),
      label('press-3', 50_000, 9e8),
      label('press-4', 2e6, 3e6),
    ]
    expect(scoreOf(labels, alerts, 1_000_000)).toEqual({
      scores: [{ kind: 'bearing-wear', found: 1, missed: 1, medianDelayMs: 10_000 }],
      falseAlarms: 1,
    })
  })
  test('an alert that a fault brought back counts for it', () => {
    const again = item(1, { atMs: 1_000 }, { activeSinceMs: 3_000_000 })
    expect(scoreOf([label('press-1', 2_990_000, 3_100_000)], [again], 4_000_000)).toMatchObject({
      scores: [{ found: 1, missed: 0 }],
      falseAlarms: 0,
    })
  })
})
