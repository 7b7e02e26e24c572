/** Which release of the agent runs: the state and its changes, against every order of events. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { atStart, confirmed, decide, goneBack, onTrial, Release } from '../../device-sim/updates/release.ts'
import type { ReleaseState } from '../../device-sim/updates/release.ts'

const release = (version: string, attempt?: number) =>
  Release.parse({
    version,
    url: `https://releases.example/${version}.cjs`,
    sha256: version.charCodeAt(0).toString(16).padStart(64, '0'),
    signature: 'AA==',
    ...(attempt === undefined ? {} : { attempt }),
  })
const runsAt = (state: ReleaseState) => atStart(state).runs?.version

describe('a release', () => {
  test('that is confirmed stays, and the one before is kept to go back to', () => {
    const second = confirmed(onTrial(confirmed(onTrial({}, release('a'))), release('b')))
    expect(runsAt(second)).toBe('b')
    expect(decide(second, release('b'))).toEqual({ kind: 'runs' })
    expect(decide(second, release('a'))).toEqual({ kind: 'switch', isHere: true })
    expect(decide(second, release('c'))).toEqual({ kind: 'switch', isHere: false })
  })
  test('on trial that ends three times before it is confirmed gives way to the one before', () => {
    let state = onTrial(confirmed(onTrial({}, release('a'))), release('b'))
    const ran: (string | undefined)[] = []
    for (let start = 0; start < 5; start++) {
      const next = atStart(state)
      ran.push(next.runs?.version)
      state = next.state
    }
    expect(ran).toEqual(['b', 'b', 'b', 'a', 'a'])
    expect(decide(state, release('b'))).toMatchObject({ kind: 'went-back', reason: expect.stringContaining('3 times') })
  })
  test('that was gone back from is tried again only when asked for as another attempt', () => {
    const state = goneBack(onTrial({}, release('a')), 'it failed')
    expect(decide(state, release('a'))).toEqual({ kind: 'went-back', reason: 'it failed' })
    expect(decide(state, release('a', 2))).toEqual({ kind: 'switch', isHere: false })
  })
  test('is named with https, a hash and a signature, or is none', () => {
    const good = release('a')
    for (const bad of [
      { url: 'http://releases.example/a.cjs' },
      { url: 'file:///a.cjs' },
      { sha256: 'ab' },
      { signature: '!' },
      { attempt: 0 },
    ])
      expect(Release.safeParse({ ...good, ...bad }).success).toBe(false)
  })
})

test('whatever happens, what runs outside a trial was confirmed once or was installed, and nothing runs unconfirmed more than three times', () => {
  const Events = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant('ask' as const), version: fc.constantFrom('a', 'b', 'c'), attempt: fc.integer({ min: 1, max: 2 }) }),
      fc.constant({ kind: 'start' as const }),
      fc.constant({ kind: 'acknowledged' as const }),
      fc.constant({ kind: 'failed' as const }),
    ),
    { maxLength: 40 },
  )
  fc.assert(
    fc.property(Events, (events) => {
      let state: ReleaseState = {}
      let running: string | undefined
      const good = new Set<string | undefined>([undefined])
      let unconfirmedStarts = 0
      for (const event of events) {
        if (event.kind === 'ask') {
          const wanted = release(event.version, event.attempt)
          if (decide(state, wanted).kind === 'switch') {
            state = onTrial(state, wanted)
            unconfirmedStarts = 0
          }
        } else if (event.kind === 'start') {
          const next = atStart(state)
          state = next.state
          running = next.runs?.version
          if (!good.has(running)) expect(++unconfirmedStarts).toBeLessThanOrEqual(3)
          if (!state.trial) expect(good).toContain(running)
        } else if (event.kind === 'acknowledged') {
          // Only what runs on trial can be confirmed.
          if (state.trial && running === state.trial.release.version) {
            good.add(running)
            state = confirmed(state)
          }
        } else if (state.trial && running === state.trial.release.version) {
          state = goneBack(state, 'failed')
        }
      }
    }),
  )
})
