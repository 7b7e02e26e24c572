/** The life of an alert: states of ISA-18.2, what people and the clock may do, and a model that all of it must agree with. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { dueEvents, nextLookMs } from '../../cloud-functions/alerting/alert-clock.ts'
import { decide } from '../../cloud-functions/alerting/alert-commands.ts'
import type { Command } from '../../cloud-functions/alerting/alert-commands.ts'
import { applyEvent, foldAlert } from '../../cloud-functions/alerting/alert-life.ts'
import { NotificationPolicy } from '../../cloud-functions/alerting/notification-policy.ts'
import { explainAlert } from '../../contract/alert-text.ts'
import { factsOf, standingOf } from '../../contract/alert.ts'
import type { Alert, AlertEvent } from '../../contract/alert.ts'
import { alertOf, evidence, raisedEvent } from '../support/alerts.ts'

const raised = raisedEvent()
const { alertId } = raised
const escalated: AlertEvent = {
  kind: 'escalated',
  alertId,
  atMs: 2_000,
  condition: 'high-high',
  priority: 'high',
  evidence: { ...evidence, detector: 'hard-limit', reason: 'above-limit', observed: 8, expectedMax: 7.1 },
}
const acknowledged: AlertEvent = { kind: 'acknowledged', alertId, atMs: 3_000, by: 'ann', note: 'on my way' }
const returned: AlertEvent = { kind: 'returned', alertId, atMs: 4_000, why: 'normal-again' }
const recurredAt = (atMs: number, episodeId = String(atMs)): AlertEvent => ({
  kind: 'recurred',
  alertId,
  atMs,
  episodeId,
  condition: 'unusual',
  priority: 'medium',
  evidence,
})
const shelvedUntil = (untilMs: number, atMs = 3_500): AlertEvent => ({
  kind: 'shelved',
  alertId,
  atMs,
  by: 'ann',
  untilMs,
  reason: 'spare part ordered',
})

const stateAfter = (...events: AlertEvent[]) => foldAlert(events)?.state
const standingAfter = (...events: AlertEvent[]) => standingOf(alertOf(...events))

describe('the life of an alert', () => {
  test('begins active and unacknowledged', () => expect(stateAfter(raised)).toBe('active-unacknowledged'))
  test('acknowledged while active stays active', () => expect(stateAfter(raised, acknowledged)).toBe('active-acknowledged'))
  test('back to normal still waits for somebody to see it', () => expect(stateAfter(raised, returned)).toBe('returned-unacknowledged'))
  test('is over when both have happened, in either order', () => {
    expect(stateAfter(raised, acknowledged, returned)).toBe('normal')
    expect(stateAfter(raised, returned, acknowledged)).toBe('normal')
    expect(alertOf(raised, acknowledged, returned).closedAtMs).toBe(4_000)
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
  test('an episode that belongs to another alert is none of its own', () =>
    expect(foldAlert([raised, { kind: 'joined', alertId, atMs: 1_000, into: 'fedcba9876543210' }])).toBeUndefined())

  test('the same condition again is another episode of the same alert, and must be seen again', () => {
    const again = alertOf(raised, acknowledged, returned, recurredAt(5_000))
    expect(again).toMatchObject({ state: 'active-unacknowledged', occurrences: 2, activeSinceMs: 5_000, episodeLengthsMs: [3_000] })
    expect(again.closedAtMs).toBeUndefined()
  })
  test('cleared by hand it is over; getting worse opens it again', () => {
    const cleared: AlertEvent = { kind: 'cleared', alertId, atMs: 3_000, by: 'ann', note: 'sensor was knocked' }
    expect(stateAfter(raised, cleared)).toBe('normal')
    expect(stateAfter(raised, cleared, { ...escalated, atMs: 4_000 })).toBe('active-unacknowledged')
  })

  test('any event told twice changes nothing', () => {
    const others = [escalated, acknowledged, returned, recurredAt(5_000), shelvedUntil(9_000)]
    fc.assert(
      fc.property(fc.shuffledSubarray(others), fc.nat(), (tail, which) => {
        const events = [raised, ...tail]
        const twice = events.flatMap((event, index) => (index === which % events.length ? [event, event] : [event]))
        expect(foldAlert(twice)).toEqual(foldAlert(events))
      }),
    )
  })
})

describe('where an alert stands', () => {
  test('shelved it is off the list, and comes back unacknowledged while it is active', () => {
    const shelved = [raised, acknowledged, shelvedUntil(60_000)]
    expect(standingAfter(...shelved)).toBe('shelved')
    const back = alertOf(...shelved, { kind: 'unshelved', alertId, atMs: 60_000, by: 'clock' })
    expect([standingOf(back), back.state]).toEqual(['open', 'active-unacknowledged'])
  })
  test('shelved and over meanwhile, it does not come back', () =>
    expect(
      standingAfter(raised, acknowledged, shelvedUntil(60_000), returned, { kind: 'unshelved', alertId, atMs: 60_000, by: 'clock' }),
    ).toBe('closed'))
  test('out of service it stays away until somebody puts it back', () => {
    const out: AlertEvent = { kind: 'out-of-service', alertId, atMs: 2_000, by: 'eve', reason: 'bearing is changed' }
    expect(standingAfter(raised, out, recurredAt(5_000))).toBe('out-of-service')
    expect(standingAfter(raised, out, { kind: 'in-service', alertId, atMs: 6_000, by: 'eve' })).toBe('open')
  })
  test('a consequence of something else is suppressed, with the name of its root', () => {
    const suppressed: AlertEvent = { kind: 'suppressed', alertId, atMs: 2_000, incidentId: 'root' }
    expect(alertOf(raised, suppressed)).toMatchObject({ incidentId: 'root', isSuppressed: true })
    expect(standingAfter(raised, suppressed)).toBe('suppressed')
    expect(standingAfter(raised, suppressed, { kind: 'unsuppressed', alertId, atMs: 3_000 })).toBe('open')
  })
})

/** A cold store's air may be warm for a minute while the door is open; its model says so. */
const warmAir = raisedEvent({
  modelId: 'dtmi:millwright:ColdStore;1',
  signal: 'airTemperatureC',
  condition: 'high-high',
  priority: 'high',
  atMs: 10_000,
})

describe('delays', () => {
  const all = (alert: Alert, nowMs: number, dataUpToMs = nowMs) => dueEvents(alert, nowMs, dataUpToMs)
  const pending = { ...alertOf(raised), isPending: true }

  test('shelving ends by itself, at its time', () => {
    const shelved = alertOf(raised, shelvedUntil(60_000))
    expect(all(shelved, 59_999)).toEqual([])
    expect(all(shelved, 75_000)).toEqual([{ kind: 'unshelved', alertId, atMs: 60_000, by: 'clock' }])
  })
  test('gone before it was told of, nobody has to know', () => {
    expect(applyEvent(pending, returned)).toMatchObject({ state: 'normal', isPending: true })
  })
  test('worse waits for no delay', () => expect(applyEvent(pending, escalated)).toMatchObject({ isPending: false }))
  test('a latched alert stays active until somebody clears it', () => {
    const latched: Alert = { ...alertOf(raised), isLatched: true }
    const recovering = applyEvent(latched, returned)!
    expect(recovering.state).toBe('active-unacknowledged')
    expect(all(recovering, 1e9)).toEqual([])
    expect(decide(latched, { name: 'clear', body: { note: '' } }, 'ann', 2_000)).toMatchObject({ title: 'Still active' })
    const cleared = decide(recovering, { name: 'clear', body: { note: 'looked at' } }, 'ann', 5_000)
    expect(applyEvent(recovering, cleared as AlertEvent)?.state).toBe('normal')
  })
  test('nobody is asked to look again at what only time can change before its time', () => {
    const policy = NotificationPolicy.parse({ remindersMin: [15, 60] })
    expect(nextLookMs(factsOf(alertOf(raised)), policy, 2_000)).toBe(1_000 + 15 * 60_000)
    expect(nextLookMs(factsOf(alertOf(raised, shelvedUntil(60_000))), policy, 4_000)).toBe(60_000)
    expect(nextLookMs(factsOf(alertOf(raised, acknowledged, returned)), policy, 5_000)).toBeUndefined()
  })
  test('told of after its on-delay, over after its off-delay, as its model says', () => {
    const alert = alertOf(warmAir)
    expect([alert.isPending, standingOf(alert)]).toEqual([true, 'pending'])
    expect(all(alert, 69_999)).toEqual([])
    expect(all(alert, 70_000)).toEqual([{ kind: 'announced', alertId, atMs: 70_000 }])
    const told = applyEvent(alert, { kind: 'announced', alertId, atMs: 70_000 })!
    const recovering = applyEvent(told, { ...returned, atMs: 100_000 })!
    expect(recovering.state).toBe('active-unacknowledged')
    expect(all(recovering, 219_999)).toEqual([])
    const settled = applyEvent(recovering, all(recovering, 220_000)[0]!)!
    expect(settled).toMatchObject({ state: 'returned-unacknowledged', returnedAtMs: 100_000 })
  })
  test('no delay runs through a gap in the data', () => {
    expect(all(alertOf(warmAir), 900_000, 12_000)).toEqual([])
    expect(all(alertOf(warmAir), 901_000, 901_000)).toHaveLength(1)
  })
  test('acknowledged and still there after its time, it must be acknowledged again', () => {
    const warmGoods = alertOf({ ...warmAir, signal: 'goodsTemperatureC' }, { ...acknowledged, atMs: 20_000 })
    expect(all(warmGoods, 20_000 + 29 * 60_000)).toEqual([])
    const [reAlarm] = all(warmGoods, 20_000 + 30 * 60_000)
    expect(applyEvent(warmGoods, reAlarm!)?.state).toBe('active-unacknowledged')
  })
})

describe('what people may do', () => {
  const open = alertOf(raised)
  const refusal = (alert: Alert, command: Command) => decide(alert, command, 'ann', 5_000)
  test.each<[string, Alert, Command]>([
    ['acknowledge twice', alertOf(raised, acknowledged), { name: 'acknowledge', body: { note: '' } }],
    ['shelve into the past', open, { name: 'shelve', body: { reason: 'x', until: '1970-01-01T00:00:01Z' } }],
    ['shelve for a year', open, { name: 'shelve', body: { reason: 'x', minutes: 525_600 } }],
    ['shelve what is closed', alertOf(raised, acknowledged, returned), { name: 'shelve', body: { reason: 'x', minutes: 5 } }],
    ['unshelve what is not shelved', open, { name: 'unshelve', body: {} }],
    ['put into service what is in service', open, { name: 'in-service', body: {} }],
    ['clear what is closed', alertOf(raised, acknowledged, returned), { name: 'clear', body: { note: '' } }],
    ['reopen what is open', open, { name: 'reopen', body: { reason: 'x' } }],
  ])('not: %s', (_, alert, command) => expect(refusal(alert, command)).toHaveProperty('refused'))

  test('an action never stands before its cause, whatever the clock says', () =>
    expect(decide(open, { name: 'comment', body: { text: 'x' } }, 'ann', 0)).toMatchObject({ atMs: 1_001 }))
  test('assigning to nobody takes the name away', () => {
    const assigned = alertOf(raised, { kind: 'assigned', alertId, atMs: 2_000, by: 'ann', to: 'bob' })
    expect(assigned.assignee).toBe('bob')
    expect(applyEvent(assigned, { kind: 'assigned', alertId, atMs: 3_000, by: 'ann', to: '' })?.assignee).toBeUndefined()
  })
})

describe('against a model', () => {
  /** What a person would write on a whiteboard: four facts and who wins. */
  type Board = { isActive: boolean; isSeen: boolean; isShelved: boolean; isOut: boolean }
  const steps = {
    acknowledge: (board: Board) => ({ ...board, isSeen: true }),
    return: (board: Board) => ({ ...board, isActive: false }),
    again: (board: Board) => (board.isActive ? board : { ...board, isActive: true, isSeen: false }),
    escalate: (board: Board) => ({ ...board, isActive: true, isSeen: false }),
    shelve: (board: Board) => (standingOnBoard(board) === 'closed' ? board : { ...board, isShelved: true }),
    unshelve: (board: Board) => (board.isShelved ? { ...board, isShelved: false, isSeen: board.isActive ? false : board.isSeen } : board),
    out: (board: Board) => ({ ...board, isOut: true }),
    in: (board: Board) => ({ ...board, isOut: false }),
    clear: (board: Board) => (!board.isActive && board.isSeen ? board : { ...board, isActive: false, isSeen: true }),
    reopen: (board: Board) => (!board.isActive && board.isSeen ? { ...board, isSeen: false } : board),
  } as const
  type Step = keyof typeof steps
  const standingOnBoard = ({ isActive, isSeen, isShelved, isOut }: Board) =>
    isOut ? 'out-of-service' : isShelved ? 'shelved' : !isActive && isSeen ? 'closed' : 'open'

  const commands: Partial<Record<Step, Command>> = {
    acknowledge: { name: 'acknowledge', body: { note: '' } },
    shelve: { name: 'shelve', body: { reason: 'later', minutes: 5 } },
    unshelve: { name: 'unshelve', body: {} },
    out: { name: 'out-of-service', body: { reason: 'work' } },
    in: { name: 'in-service', body: {} },
    clear: { name: 'clear', body: { note: '' } },
    reopen: { name: 'reopen', body: { reason: 'no' } },
  }
  const take = (alert: Alert, step: Step, nowMs: number): AlertEvent | undefined => {
    const command = commands[step]
    if (command) {
      const decided = decide(alert, command, 'ann', nowMs)
      return 'refused' in decided ? undefined : decided
    }
    if (step === 'return') return { ...returned, atMs: nowMs }
    return step === 'again' ? recurredAt(nowMs) : { ...escalated, atMs: nowMs }
  }

  test('any story of people and machine ends where the whiteboard says', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...(Object.keys(steps) as Step[])), { maxLength: 25 }), (story) => {
        let board: Board = { isActive: true, isSeen: false, isShelved: false, isOut: false }
        const history: AlertEvent[] = [raised]
        for (const [index, step] of story.entries()) {
          const event = take(foldAlert(history)!, step, 10_000 + index * 1_000)
          // An episode begins only when the last one has ended.
          if (step === 'again' && board.isActive) continue
          if (event) history.push(event)
          board = steps[step](board)
        }
        const alert = foldAlert(history)!
        expect(standingOf(alert)).toBe(standingOnBoard(board))
        expect(alert.state.startsWith('active')).toBe(board.isActive)
        expect(alert.acknowledged !== undefined).toBe(board.isSeen)
        // One event at a time, or all at once.
        expect(history.reduce<Alert | undefined>(applyEvent, undefined)).toEqual(alert)
      }),
      { numRuns: 500 },
    )
  })
})

describe('an alert in words', () => {
  test('says what is unusual, against what, and what else moves', () => {
    expect(explainAlert(alertOf(raised))).toBe(
      'Vibration is unusually high: 4.2 mm/s, expected 1.8 mm/s to 2.4 mm/s. Also moving: motor current.',
    )
  })
  test('names the limit that was passed', () =>
    expect(explainAlert(alertOf(raised, escalated))).toContain('Vibration is 8 mm/s, above its limit of 7.1 mm/s.'))
  test('in German, too', () => expect(explainAlert(alertOf(raised, escalated), 'de')).toContain('8 mm/s, über der Grenze von 7,1 mm/s.'))
})
