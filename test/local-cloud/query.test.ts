import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseQuery } from '../../local-cloud/query/select.ts'
import { QuerySyntaxError } from '../../local-cloud/query/tokens.ts'
import { parseMessageCondition } from '../../local-cloud/routing/message-condition.ts'

const twins = [
  {
    deviceId: 'a',
    status: 'enabled',
    tags: { location: { region: 'US', plant: 'Redmond43' }, 'my tag': 1 },
    properties: { desired: { $version: 3 }, reported: { sendFrequencyInSecs: 20, levels: [1, 5], connectivity: { type: 'cellular' } } },
  },
  {
    deviceId: 'b',
    status: 'enabled',
    tags: { location: { region: 'US' } },
    properties: { desired: {}, reported: { sendFrequencyInSecs: 5 } },
  },
  { deviceId: 'c', status: 'disabled', tags: {}, properties: { desired: {}, reported: {} } },
]

const devicesWhere = (condition: string) =>
  parseQuery(`SELECT * FROM devices WHERE ${condition}`)
    .run(twins)
    .map(({ deviceId }) => deviceId)

describe('queries over twins', () => {
  test.each([
    ["tags.location.region = 'US'", ['a', 'b']],
    ["tags.location.region = 'US' AND properties.reported.sendFrequencyInSecs >= 16", ['a']],
    ['properties.reported.sendFrequencyInSecs < 16', ['b']],
    ['is_defined(properties.reported.connectivity)', ['a']],
    ['NOT is_defined(properties.reported.connectivity)', ['b', 'c']],
    ["properties.reported.connectivity IN ['wired', 'wireless']", []],
    ["deviceId IN ['a', 'c']", ['a', 'c']],
    ["deviceId NIN ['a', 'c']", ['b']],
    ["status != 'enabled'", ['c']],
    ["startswith(tags.location.plant, 'Red') AND endswith(tags.location.plant, '43')", ['a']],
    ["tags['location'].region = 'US' AND tags.[[my tag]] = 1", ['a']],
    ['properties.reported.levels[1] = 5', ['a']],
    ['properties.reported.sendFrequencyInSecs * 2 + 1 = 41', ['a']],
    ["contains(lower(tags.location.plant), 'mond')", ['a']],
    ["properties.reported.sendFrequencyInSecs = '20'", []],
    ["tags.nothing = 1 OR deviceId = 'b'", ['b']],
    ['NOT (tags.nothing = 1)', []],
    ['properties.desired.$version = 3', ['a']],
  ])('%s finds %j', (condition, expected) => expect(devicesWhere(condition)).toEqual(expected))

  test('project and aggregate', () => {
    expect(parseQuery('SELECT deviceId, properties.reported.sendFrequencyInSecs AS every FROM devices').run(twins)).toEqual([
      { deviceId: 'a', every: 20 },
      { deviceId: 'b', every: 5 },
      { deviceId: 'c' },
    ])
    expect(parseQuery('SELECT tags.location.region AS region, COUNT() AS n FROM devices GROUP BY tags.location.region').run(twins)).toEqual(
      [{ region: 'US', n: 2 }, { n: 1 }],
    )
    expect(parseQuery('SELECT AVG(properties.reported.sendFrequencyInSecs) AS mean, COUNT() AS n FROM devices').run(twins)).toEqual([
      { mean: 12.5, n: 3 },
    ])
    expect(parseQuery('SELECT TOP 2 * FROM devices').run(twins)).toHaveLength(2)
    expect(parseQuery('SELECT * FROM devices.modules').from).toBe('devices.modules')
  })

  test.each([
    '',
    'SELECT',
    'SELECT * FROM',
    'SELECT * FROM devices WHERE',
    'SELECT * FROM devices WHERE nothing(1) = 1',
    'SELECT * FROM devices x',
    'DROP TABLE',
    `SELECT * FROM devices WHERE ${'('.repeat(5000)}`,
    `SELECT * FROM devices WHERE ${'NOT '.repeat(4000)}`,
  ])('%.60s is refused', (text) => expect(() => parseQuery(text)).toThrow(QuerySyntaxError))

  test('any text is either understood or refused as a query', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 80 }), (text) => {
        try {
          parseQuery(`SELECT * FROM devices WHERE ${text}`).run(twins)
        } catch (error) {
          expect(error).toBeInstanceOf(QuerySyntaxError)
        }
      }),
    )
  })
})

describe('conditions that look into the message', () => {
  const lets = (condition: string, body: string, contentType: string | undefined, contentEncoding: string | undefined) =>
    parseMessageCondition(condition)({
      application: {},
      system: { contentType, contentEncoding },
      body: Buffer.from(body),
      twin: () => ({ tags: { line: 2 } }),
    })

  test('read a JSON body whose properties say so', () => {
    expect(
      lets(
        "$body.weather.temperature > 30 AND $body.days[0].name = 'mon'",
        '{"weather":{"temperature":31},"days":[{"name":"mon"}]}',
        'application/json',
        'utf-8',
      ),
    ).toBe(true)
    expect(lets('$body.a = 1', '{"a":1}', 'application/json', undefined)).toBe(false)
    expect(lets('$body.a = 1', '{"a":1}', undefined, 'utf-8')).toBe(false)
    expect(lets('$body.a = 1', 'no json', 'application/json', 'utf-8')).toBe(false)
  })

  test('know the sender’s twin', () => expect(lets('$twin.tags.line = 2', '', undefined, undefined)).toBe(true))
})
