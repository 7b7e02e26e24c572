import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { explainAlert } from '../../cloud-functions/alerting/explanation.ts'
import { foldAlert } from '../../cloud-functions/alerting/alert-life.ts'
import type { AlertEvent, Evidence } from '../../contract/alert.ts'

const evidence: Evidence = {
  detector: 'rolling',
  detectorVersion: 2,
  configurationVersion: 'standard',
  reason: 'unusually-high',
  direction: 'high',
  observed: 4.2,
  expectedMin: 1.8,
  expectedMax: 2.4,
  distance: 3,
  severity: 30,
  firstSeenMs: 900,
  durationMs: 100,
  baselineFromMs: 0,
  baselineReadings: 60,
  learning: [],
  suppressed: 0,
  before: '',
  window: { timesMs: [1], values: [4.2] },
  alsoMoving: [{ signal: 'motorCurrentA', severity: 12 }],
}
const alertId = '0123456789abcdef'
const raised: AlertEvent = {
  kind: 'raised',
  alertId,
  atMs: 1000,
  deviceId: 'pump-1',
  modelId: 'dtmi:millwright:CentrifugalPump;1',
  signal: 'vibrationMmPerS',
  condition: 'unusual',
  priority: 'medium',
  evidence,
}
const escalated: AlertEvent = {
  kind: 'escalated',
  alertId,
  atMs: 2000,
  condition: 'high-high',
  priority: 'high',
  evidence: { ...evidence, detector: 'hard-limit', reason: 'above-limit', observed: 8, expectedMax: 7.1 },
}
const acknowledged: AlertEvent = { kind: 'acknowledged', alertId, atMs: 3000, by: 'ann', note: 'on my way' }
const returned: AlertEvent = { kind: 'returned', alertId, atMs: 4000, why: 'normal-again' }

const stateAfter = (...events: AlertEvent[]) => foldAlert(events)?.state

describe('the life of an alert', () => {
  test('begins active and unacknowledged', () => expect(stateAfter(raised)).toBe('active-unacknowledged'))
  test('acknowledged while active stays active', () => expect(stateAfter(raised, acknowledged)).toBe('active-acknowledged'))
  test('back to normal still waits for somebody to see it', () => expect(stateAfter(raised, returned)).toBe('returned-unacknowledged'))
  test('is over when both have happened, in either order', () => {
    expect(stateAfter(raised, acknowledged, returned)).toBe('normal')
    expect(stateAfter(raised, returned, acknowledged)).toBe('normal')
  })
  test('getting worse asks for a new acknowledgement', () =>
    expect(foldAlert([raised, acknowledged, escalated])).toMatchObject({
      state: 'active-unacknowledged',
      priority: 'high',
      condition: 'high-high',
    }))
  test('the first to acknowledge is on record', () =>
    expect(foldAlert([raised, acknowledged, { ...acknowledged, by: 'bob' }])?.acknowledged?.by).toBe('ann'))
  test('has not begun before its beginning arrived', () => expect(foldAlert([returned, acknowledged])).toBeUndefined())

  test('any event told twice changes nothing', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([escalated, acknowledged, returned]), fc.nat(), (tail, which) => {
        const events = [raised, ...tail]
        const twice = events.flatMap((event, index) => (index === which % events.length ? [event, event] : [event]))
        expect(foldAlert(twice)).toEqual(foldAlert(events))
      }),
    )
  })
})

describe('an alert in words', () => {
  test('says what is unusual, against what, and what else moves', () => {
    expect(explainAlert(foldAlert([raised])!)).toBe(
      'Vibration is unusually high: 4.2 mm/s, expected 1.8 mm/s to 2.4 mm/s. Also moving: motor current.',
    )
  })
  test('names the limit that was passed', () =>
    expect(explainAlert(foldAlert([raised, escalated])!)).toContain('Vibration is 8 mm/s, above its limit of 7.1 mm/s.'))
})
