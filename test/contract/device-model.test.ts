import { describe, expect, test } from 'vitest'
import { deviceModel, deviceModels, signalDisplayName, unusualAlarm } from '../../contract/device-model.ts'

describe('device models', () => {
  test.each(deviceModels().map((model) => [model.interface.displayName, model] as const))(
    '%s: telemetry, signals and alarms agree',
    (_, model) => {
      const telemetry = model.interface.contents
        .filter(({ '@type': type }) => type === 'Telemetry' || (Array.isArray(type) && type.includes('Telemetry')))
        .map(({ name }) => name)
      expect(Object.keys(model.signals).sort()).toEqual(telemetry.sort())
      for (const { signal, respondWithinMin } of model.alarms) {
        expect(telemetry).toContain(signal)
        expect(respondWithinMin).toBeGreaterThan(0)
      }
      expect(new Set(model.alarms.map(({ signal, condition }) => `${signal}/${condition}`)).size).toBe(model.alarms.length)
    },
  )

  test('a device without a model is no special case', () => {
    expect(deviceModel('dtmi:nobody:Knows;1')).toBeUndefined()
    expect(deviceModel(undefined)).toBeUndefined()
    expect(signalDisplayName(undefined, 'flow')).toBe('flow')
    expect(unusualAlarm(undefined, 'flow')).toMatchObject({ signal: 'flow', condition: 'unusual', priority: 'low' })
  })
})
