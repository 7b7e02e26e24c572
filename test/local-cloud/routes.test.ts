import { describe, expect, test } from 'vitest'
import { parseRoute } from '../../local-cloud/edge-runtime/routes.ts'
import { QuerySyntaxError } from '../../local-cloud/query/tokens.ts'
import { parseMessageCondition } from '../../local-cloud/routing/message-condition.ts'

/** Whether a condition lets a message through. */
function lets(condition: string, application: Record<string, string> = {}, system: Record<string, string | undefined> = {}): boolean {
  return parseMessageCondition(condition)({ application, system })
}

describe('route conditions', () => {
  test.each([
    ["level = 'critical'", true],
    ["level = 'low'", false],
    ["level != 'low' AND temperature > 20", true],
    ['temperature >= 21.5', true],
    ['temperature < 21.5', false],
    ["level = 'low' OR temperature = 21.5", true],
    ["NOT (level = 'low')", true],
    ['IS_DEFINED(level)', true],
    ['IS_DEFINED(missing)', false],
    ['NOT IS_DEFINED($connectionModuleId)', true],
    ["$connectionDeviceId = 'dev-1'", true],
    ["$CONNECTIONDEVICEID = 'dev-1'", true],
    ["level = 'low' OR level = 'critical' AND temperature > 100", false],
    ["(level = 'low' OR level = 'critical') AND temperature < 100", true],
    ['true', true],
  ])('%s is %s', (condition, expected) => {
    expect(lets(condition, { level: 'critical', temperature: '21.5' }, { connectionDeviceId: 'dev-1' })).toBe(expected)
  })

  test('a comparison with something undefined lets nothing through, negated or not', () => {
    expect(lets("missing = 'x'")).toBe(false)
    expect(lets("missing != 'x'")).toBe(false)
    expect(lets("NOT (missing = 'x')")).toBe(false)
  })

  test('properties named like parts of every object are not defined', () => expect(lets('IS_DEFINED(constructor)')).toBe(false))

  test.each(['level =', "level = 'x", 'AND', "level = 'x' level", 'level = = 3', '(level'])('%s is refused', (condition) =>
    expect(() => parseMessageCondition(condition)).toThrow(QuerySyntaxError),
  )
})

describe('edge routes', () => {
  const fromDevice = { moduleId: undefined, output: undefined, application: {}, system: {} }
  const fromModule = { moduleId: 'filter', output: 'alerts', application: {}, system: { connectionModuleId: 'filter' } }

  test('know their sources', () => {
    const sources = (source: string) =>
      [fromDevice, fromModule].map((message) => parseRoute(`FROM ${source} INTO $upstream`).matches(message))
    expect(sources('/messages/*')).toEqual([true, true])
    expect(sources('/messages/modules/filter/*')).toEqual([false, true])
    expect(sources('/messages/modules/filter/outputs/alerts')).toEqual([false, true])
    expect(sources('/messages/modules/filter/outputs/other')).toEqual([false, false])
    expect(sources('/messages/modules/other/outputs/*')).toEqual([false, false])
  })

  test('know their sinks', () => {
    expect(parseRoute('FROM /messages/* INTO $upstream').endpoint).toEqual({ kind: 'upstream' })
    expect(
      parseRoute('FROM /messages/* WHERE NOT IS_DEFINED($connectionModuleId) INTO BrokeredEndpoint("/modules/m/inputs/i")').endpoint,
    ).toEqual({ kind: 'module-input', moduleId: 'm', input: 'i' })
  })

  test.each(['FROM /messages/*', 'FROM /nowhere INTO $upstream', 'FROM /messages/* INTO nowhere', 'INTO $upstream'])(
    '%s is refused',
    (route) => expect(() => parseRoute(route)).toThrow(QuerySyntaxError),
  )
})
