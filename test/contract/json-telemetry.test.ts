import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { zlibCompression as compression } from '../../cloud-functions/hot-path/compression.ts'
import { decodeTelemetry } from '../../contract/telemetry/decode.ts'

const arrivedMs = 1_700_000_000_000

/** Decodes a body as a device's message; signal, time and value of each reading, by seq. */
function readings(
  body: string | Uint8Array,
  {
    contentType,
    contentEncoding,
    properties = {},
  }: { contentType?: string; contentEncoding?: string; properties?: Record<string, string> } = {},
) {
  const [block] = decodeTelemetry(
    {
      body: typeof body === 'string' ? new TextEncoder().encode(body) : body,
      contentType,
      contentEncoding,
      deviceId: 'dev',
      moduleId: undefined,
      properties,
      arrivedMs,
    },
    compression,
  )
  return block!.series
    .flatMap(({ signal, seqs, timesMs, values }) => values.map((value, i) => ({ seq: seqs[i]!, signal, timeMs: timesMs[i]!, value })))
    .sort((a, b) => a.seq - b.seq)
}

const reason = (name: string) => expect.objectContaining({ reason: name }) as Error

describe('JSON telemetry', () => {
  test('takes an object of numbers, at the time it arrived', () => {
    expect(readings('{"temperature":21.5,"humidity":40}')).toEqual([
      { seq: 1, signal: 'temperature', timeMs: arrivedMs, value: 21.5 },
      { seq: 2, signal: 'humidity', timeMs: arrivedMs, value: 40 },
    ])
  })

  test('takes an array of rows with times in seconds, milliseconds, microseconds or ISO 8601', () => {
    const rows = [
      { t: 1, time: 1_600_000_000 },
      { t: 2, timestamp: 1_600_000_000_500 },
      { t: 3, ts: 1_600_000_001_000_000 },
      { t: 4, time: '2020-09-13T12:26:42Z' },
    ]
    expect(readings(JSON.stringify(rows)).map(({ timeMs }) => timeMs)).toEqual([
      1_600_000_000_000, 1_600_000_000_500, 1_600_000_001_000, 1_600_000_002_000,
    ])
  })

  test('flattens what the IoT Edge simulated sensor sends', () => {
    const body =
      '{"machine":{"temperature":21.1,"pressure":1.0},"ambient":{"temperature":20.9,"humidity":24},"timeCreated":"2020-09-13T12:26:40Z"}'
    expect(readings(body).map(({ signal }) => signal)).toEqual([
      'machine.temperature',
      'machine.pressure',
      'ambient.temperature',
      'ambient.humidity',
    ])
  })

  test('ignores text, booleans and nulls, but not a message without any number', () => {
    expect(readings('{"site":"A","ok":true,"x":null,"v":1}').map(({ signal }) => signal)).toEqual(['v'])
    expect(() => readings('{"site":"A"}')).toThrow(reason('not-telemetry'))
    expect(() => readings('7')).toThrow(reason('not-telemetry'))
    expect(() => readings('[]')).toThrow(reason('not-telemetry'))
  })

  test('numbers readings from the stamp on', () => {
    expect(readings('[{"a":1,"b":2},{"a":3}]', { properties: { bootId: 'b1', seq: '41', count: '3' } }).map(({ seq }) => seq)).toEqual([
      41, 42, 43,
    ])
  })

  test.each([
    ['{"v":', 'not-json'],
    ['hello', 'not-json'],
    ['{"v":NaN}', 'not-finite'],
    ['{"v": -Infinity}', 'not-finite'],
    ['{"v":1e999}', 'not-finite'],
    ['{"v":"NaN"}', 'not-finite'],
    ['{"v":1,"time":"yesterday"}', 'impossible-time'],
    ['{"v":1,"time":-5}', 'impossible-time'],
    [`{"${'x'.repeat(200)}":1}`, 'not-telemetry'],
  ])('sets %s aside', (body, name) => expect(() => readings(body)).toThrow(reason(name)))

  test('sets bytes that are no UTF-8, too many bytes, and too many readings aside', () => {
    expect(() => readings(Uint8Array.of(0x7b, 0xff, 0x7d))).toThrow(reason('not-json'))
    expect(() => readings(`{"v":1,"pad":"${'x'.repeat(300_000)}"}`)).toThrow(reason('too-large'))
    expect(() => readings(`[${Array.from({ length: 25_001 }, () => '[1]').join()}]`)).toThrow(reason('not-telemetry'))
  })

  test('survives names that mean something to JavaScript', () => {
    expect(readings('{"__proto__":1,"constructor":2,"hasOwnProperty":3}').map(({ signal, value }) => [signal, value])).toEqual([
      ['__proto__', 1],
      ['constructor', 2],
      ['hasOwnProperty', 3],
    ])
  })

  test('unpacks gzip, and refuses a bomb', () => {
    const options = { contentType: 'application/json', contentEncoding: 'gzip' }
    expect(readings(gzipSync('{"v":5}'), options)[0]!.value).toBe(5)
    expect(() => readings(gzipSync(Buffer.alloc(20_000_000)), options)).toThrow(reason('too-large'))
  })

  test('refuses content types it does not know', () =>
    expect(() => readings('<v>1</v>', { contentType: 'application/xml' })).toThrow(reason('unsupported-content-type')))
})

describe('SenML', () => {
  const senml = (records: unknown) => readings(JSON.stringify(records), { contentType: 'application/senml+json' })

  test('resolves base name, base time, base value and relative times', () => {
    const records = [
      { bn: 'urn:dev:ow:10e2073a01080063:', bt: 1_320_067_464, bv: 10, n: 'temperature', v: 1.5 },
      { n: 'temperature', t: -5, v: 2 },
      { n: 'door', vb: true },
    ]
    expect(senml(records)).toEqual([
      { seq: 1, signal: 'temperature', timeMs: 1_320_067_464_000, value: 11.5 },
      { seq: 2, signal: 'temperature', timeMs: 1_320_067_459_000, value: 12 },
    ])
    expect(senml([{ n: 'x', t: -60, v: 1 }])[0]!.timeMs).toBe(arrivedMs - 60_000)
  })

  test('sets aside what is no pack', () => {
    expect(() => senml({ n: 'x', v: 1 })).toThrow(reason('not-telemetry'))
    expect(() => senml([{ n: 'x', v: 'high' }])).toThrow(reason('not-telemetry'))
  })
})
