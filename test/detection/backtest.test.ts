import { describe, expect, test } from 'vitest'
import { deviceModel } from '../../contract/device-model.ts'
import { Backtester } from '../../detection/backtest.ts'
import { ProposedChange } from '../../detection/configuration.ts'
import { createPlant } from '../../device-sim/plant.ts'

const modelId = 'dtmi:millwright:CentrifugalPump;1'
const startMs = 1_700_000_000_000
const faults = [
  { deviceId: 'p', kind: 'level-shift', signal: 'flowM3PerH', onsetS: 1800, rampS: 1, endS: 1900 },
  { deviceId: 'p', kind: 'bearing-wear', onsetS: 3600, rampS: 600, endS: 5400 },
]

/** What a change would have made of an hour and a half of a pump with two faults. */
function tried(change: unknown) {
  const [pump] = createPlant({ machines: [{ deviceId: 'p', kind: 'pump' }], seed: 'backtest', faults })
  const tester = new Backtester(ProposedChange.parse(change))
  for (let second = 1; second <= 5400; second++)
    tester.add({ deviceId: 'p', modelId, timeMs: startMs + second * 1000, values: pump!.read(second).values })
  return tester.result()
}

describe('a backtest', () => {
  test('of no change finds none', () => {
    const result = tried({})
    expect(result).toMatchObject({ added: [], removed: [], moved: [] })
    expect(result.before).toBeGreaterThan(1)
    expect(result.after).toBe(result.before)
  })

  test('lists what a duller configuration would not have told', () => {
    const dull = { rollingScore: 500, marginRanges: 500, relationScore: 500, relationSmoothScore: 500 }
    const { removed, added } = tried({ detection: dull })
    expect(removed.map(({ signal }) => signal)).toContain('flowM3PerH')
    expect(added).toEqual([])
  })

  test('lists what another limit of a device model would have told, and when', () => {
    const { alarms } = deviceModel(modelId)!
    const changed = alarms.map((alarm) =>
      alarm.condition === 'high-high' && alarm.signal === 'vibrationMmPerS' ? { ...alarm, limit: 2 } : alarm,
    )
    const { added, moved } = tried({ models: { [modelId]: { alarms: changed } } })
    expect(
      [...added, ...moved.map(({ to }) => to)].some(({ condition, detector }) => condition === 'high-high' && detector === 'hard-limit'),
    ).toBe(true)
  })

  test('a change that is none is refused, with the reason', () => {
    expect(ProposedChange.safeParse({ detection: { rollingScore: -1 } }).success).toBe(false)
    expect(ProposedChange.safeParse({ detection: { sensitivity: 3 } }).success).toBe(false)
  })
})
