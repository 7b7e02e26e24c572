/** Who has fallen silent: the device, its gateway, its site, or everything. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { silenceAlertId, silenceEvidence, silenceSettings, silentParts } from '../../detection/silence.ts'
import type { HeardDevice } from '../../detection/silence.ts'

const nowMs = 10_000_000
const device = (deviceId: string, silentForMs: number, changes: Partial<HeardDevice> = {}): HeardDevice => ({
  deviceId,
  modelId: '',
  lastSeenMs: nowMs - silentForMs,
  usualGapMs: 15_000,
  gatewayId: '',
  site: '',
  ...changes,
})
const behind = (gatewayId: string, count: number, silentForMs: number, site = '') =>
  Array.from({ length: count }, (_, index) => device(`${gatewayId}-${index}`, silentForMs + index * 100, { gatewayId, site }))
const silent = (devices: readonly HeardDevice[], watchedSinceMs = 0) =>
  silentParts(devices, watchedSinceMs, nowMs).map(({ name, scope }) => `${scope ?? 'device'} ${name}`)

describe('silence', () => {
  test('is longer than a minute, or than four times what is usual', () => {
    expect(silent([device('a', 60_000), device('b', 1_000)])).toEqual([])
    expect(silent([device('a', 61_000), device('b', 1_000)])).toEqual(['device a'])
    expect(silent([device('a', 61_000, { usualGapMs: 900_000 }), device('b', 1_000)])).toEqual([])
    expect(silent([device('a', 3_600_001, { usualGapMs: 900_000 }), device('b', 1_000)])).toEqual(['device a'])
  })
  test('is counted from when somebody began to listen', () => {
    expect(silent([device('a', 9_000_000), device('b', 1_000)], nowMs - 50_000)).toEqual([])
    expect(silent([device('a', 9_000_000), device('b', 1_000)], nowMs - 70_000)).toEqual(['device a'])
  })
  test('of everything behind a gateway is the gateway’s', () => {
    const others = behind('gateway-2', 3, 0)
    expect(silent([...behind('gateway-1', 500, 70_000), ...others])).toEqual(['gateway gateway-1'])
  })
  test('of one device behind it is the device’s, while its neighbours speak', () => {
    const [first, ...rest] = behind('gateway-1', 5, 0)
    expect(silent([{ ...first!, lastSeenMs: nowMs - 70_000 }, ...rest])).toEqual(['device gateway-1-0'])
  })
  test('of the first few behind a gateway waits for the rest: it may be the gateway', () => {
    // Three have passed their minute, the others stopped with them but are allowed more.
    const early = behind('gateway-1', 3, 65_000)
    const late = behind('gateway-1', 7, 64_000).map((one) => ({ ...one, deviceId: `${one.deviceId}-late`, usualGapMs: 20_000 }))
    const others = behind('gateway-2', 3, 0)
    expect(silent([...early, ...late, ...others])).toEqual([])
    // Late enough, those that are silent are told of by name.
    const later = [...early, ...late.map((one) => ({ ...one, usualGapMs: 900_000 }))].map((one) => ({
      ...one,
      lastSeenMs: one.lastSeenMs - 60_000,
    }))
    expect(silent([...later, ...others])).toEqual(['device gateway-1-0', 'device gateway-1-1', 'device gateway-1-2'])
  })
  test('of a whole site is the site’s; of everything, the plant’s', () => {
    const north = [...behind('gateway-1', 3, 70_000, 'north'), ...behind('gateway-2', 3, 70_000, 'north')]
    expect(silent([...north, ...behind('gateway-3', 3, 0, 'south')])).toEqual(['site north'])
    expect(silent([...north, ...behind('gateway-3', 3, 70_000, 'south')])).toEqual(['plant plant'])
    // With one gateway in it, the gateway says more than the site.
    expect(silent([...behind('gateway-1', 3, 70_000, 'north'), ...behind('gateway-3', 3, 0, 'south')])).toEqual(['gateway gateway-1'])
  })
  test('of a gateway that serves two sites is one silence', () => {
    const shared = [
      ...behind('gateway-1', 3, 70_000, 'north'),
      ...behind('gateway-1', 3, 70_000, 'south').map((one) => ({ ...one, deviceId: `s-${one.deviceId}` })),
    ]
    const alive = [device('a', 0, { site: 'north' }), device('b', 0, { site: 'south' })]
    expect(silent([...shared, ...alive])).toEqual(['gateway gateway-1'])
  })
  test('has one name for one silence, and evidence that says how long', () => {
    const [part] = silentParts([device('a', 90_000), device('b', 0)], 0, nowMs)
    expect(silenceAlertId(part!)).toBe(silenceAlertId({ ...part! }))
    expect(silenceAlertId(part!)).not.toBe(silenceAlertId({ ...part!, lastSeenMs: part!.lastSeenMs + 1 }))
    expect(silenceEvidence(part!, nowMs)).toMatchObject({ observed: 90, expectedMax: 60, severity: 1.5, reason: 'no-data' })
  })

  test('is told of every silent device exactly once, whatever the plant looks like, unless it waits', () => {
    const plant = fc.array(
      fc.record({
        silentForMs: fc.constantFrom(0, 20_000, 70_000, 200_000),
        gateway: fc.integer({ min: 0, max: 3 }),
        site: fc.integer({ min: 0, max: 2 }),
      }),
      { minLength: 1, maxLength: 30 },
    )
    fc.assert(
      fc.property(plant, (machines) => {
        const devices = machines.map(({ silentForMs, gateway, site }, index) =>
          device(`d${index}`, silentForMs, { gatewayId: gateway === 0 ? '' : `g${site}${gateway}`, site: site === 0 ? '' : `s${site}` }),
        )
        const parts = silentParts(devices, 0, nowMs)
        const told = parts.flatMap(({ deviceIds }) => deviceIds)
        expect(new Set(told).size).toBe(told.length)
        for (const deviceId of told) {
          const { lastSeenMs } = devices.find((one) => one.deviceId === deviceId)!
          expect(nowMs - lastSeenMs).toBeGreaterThan(silenceSettings.afterMsMin)
        }
        // Twice as long as it may be, nothing waits any more.
        const overdue = devices.filter(({ lastSeenMs }) => nowMs - lastSeenMs > 2 * silenceSettings.afterMsMin)
        if (overdue.length === devices.filter(({ lastSeenMs }) => nowMs - lastSeenMs > silenceSettings.afterMsMin).length)
          for (const { deviceId } of overdue) expect(told).toContain(deviceId)
      }),
    )
  })
})
