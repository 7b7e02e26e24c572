import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { zlibCompression as compression } from '../../cloud-functions/hot-path/compression.ts'
import { decodeTelemetry } from '../../contract/telemetry/decode.ts'
import { MalformedTelemetryError } from '../../contract/telemetry/malformed.ts'
import { decodePackedBatch, encodePackedBatch, packedBatchContentType } from '../../contract/telemetry/packed-batch.ts'
import type { PackedBatch } from '../../contract/telemetry/packed-batch.ts'

const time = fc.integer({ min: 1_500_000_000_000, max: 2_500_000_000_000 })
const finite = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer({ min: -1_000_000, max: 1_000_000 }).map((scaled) => scaled / 1000),
)
/** Integers around every length that the encoding knows: bytes, 30 bits, 32 bits, 51 bits. */
const edge = fc
  .tuple(fc.constantFrom(6, 7, 13, 14, 20, 21, 28, 29, 30, 31, 32, 50, 51, 52), fc.integer({ min: -2, max: 2 }), fc.boolean())
  .map(([bits, beside, isNegative]) => (isNegative ? -1 : 1) * (2 ** bits + beside))
/** The values of one series: wild ones, or of one number of decimals, or -0 among them. */
const values = fc.oneof(
  fc.constant(finite),
  ...[0, 1, 3, 9].flatMap((decimals) => {
    const short = fc.integer({ min: -50_000, max: 50_000 }).map((integer) => integer / 10 ** decimals)
    const wide = fc.oneof(edge, fc.maxSafeInteger()).map((integer) => integer / 10 ** decimals)
    return [fc.constant(short), fc.constant(fc.oneof({ weight: 9, arbitrary: short }, wide)), fc.constant(wide)]
  }),
  fc.constant(fc.constantFrom(0, -0, 1)),
)
const name = fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' })

const series = fc
  .record({
    signal: name,
    readings: values.chain((value) => fc.array(fc.tuple(time, fc.integer({ min: 1, max: 1_000_000_000 }), value), { maxLength: 40 })),
    filtered: fc.option(
      fc.record({ count: fc.integer({ min: 1, max: 10_000 }), min: finite, max: finite, mean: finite, lastTimeMs: time }),
      { nil: undefined },
    ),
  })
  .map(({ signal, readings, filtered }) => ({
    signal,
    timesMs: readings.map(([timeMs]) => timeMs),
    seqs: readings.map(([, seq]) => seq),
    values: readings.map(([, , value]) => value),
    ...(filtered ? { filtered } : {}),
  }))

const batch: fc.Arbitrary<PackedBatch> = fc.record({
  cutAtMs: time,
  blocks: fc.array(
    fc
      .record({
        deviceId: name,
        bootId: name,
        modelId: name,
        fromSeq: fc.integer({ min: 1, max: 1_000_000 }),
        length: fc.nat(1000),
        waiting: fc.nat(1000),
        series: fc.array(series, { maxLength: 5 }),
        filtered: fc.nat(1000),
        rejected: fc.array(fc.record({ seq: fc.nat(), count: fc.nat(), reason: name }), { maxLength: 3 }),
      })
      .map(({ length, waiting, ...block }) => ({
        ...block,
        toSeq: block.fromSeq + length - 1,
        receivedSeq: block.fromSeq + length - 1 + waiting,
      })),
    { maxLength: 4 },
  ),
})

describe('packed batch', () => {
  test('decodes to exactly what was encoded', () => {
    fc.assert(
      fc.property(batch, (original) => {
        expect(decodePackedBatch(encodePackedBatch(original, compression), compression)).toEqual(original)
      }),
      { numRuns: 500 },
    )
  })

  test('keeps values as far apart as integers of 53 bits can say, and further', () => {
    for (const most of [2 ** 51 - 1, 2 ** 51, 2 ** 51 + 1, Number.MAX_SAFE_INTEGER])
      for (const decimals of [0, 3]) {
        const values = [-most / 10 ** decimals, most / 10 ** decimals, -most / 10 ** decimals]
        const series = [{ signal: 'a', timesMs: [1, 2, 3], seqs: [1, 2, 3], values }]
        const block = { deviceId: 'd', bootId: '', modelId: '', fromSeq: 1, toSeq: 3, receivedSeq: 3, series, filtered: 0, rejected: [] }
        const original = { cutAtMs: 1_700_000_000_000, blocks: [block] }
        expect(decodePackedBatch(encodePackedBatch(original), compression)).toEqual(original)
      }
  })

  test('keeps even and uneven steps of times and seqs, and times that series share', () => {
    const steps = fc.array(fc.tuple(fc.constantFrom(0, 1, 1000, 1000, 61_003, -5), fc.integer({ min: 1, max: 30 })), { maxLength: 6 })
    fc.assert(
      fc.property(steps, steps, (timeSteps, seqSteps) => {
        const walk = (from: number, runs: readonly (readonly [number, number])[], count: number) => {
          const column = [from]
          for (const [step, times] of runs) for (let i = 0; i < times; i++) column.push(column.at(-1)! + step)
          while (column.length < count) column.push(column.at(-1)! + 1)
          return column.slice(0, count)
        }
        const count = 1 + timeSteps.reduce((sum, [, times]) => sum + times, 0)
        const timesMs = walk(1_700_000_000_000, timeSteps, count)
        const seqs = walk(5_000, seqSteps, count)
        const series = ['a', 'b'].map((signal) => ({ signal, timesMs: [...timesMs], seqs, values: seqs.map((seq) => seq / 10) }))
        const block = { deviceId: 'd', bootId: '', modelId: '', fromSeq: 1, toSeq: 9, receivedSeq: 9, series, filtered: 0, rejected: [] }
        const original = { cutAtMs: 1_700_000_000_000, blocks: [block] }
        expect(decodePackedBatch(encodePackedBatch(original), compression)).toEqual(original)
      }),
    )
  })

  test('notices any damaged byte', () => {
    fc.assert(
      fc.property(batch, fc.nat(), fc.integer({ min: 1, max: 255 }), (original, where, flip) => {
        const bytes = encodePackedBatch(original, compression)
        bytes[where % bytes.length]! ^= flip
        expect(() => decodePackedBatch(bytes, compression)).toThrow(MalformedTelemetryError)
      }),
    )
  })

  test('refuses arbitrary bytes with a reason, and nothing worse', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(() => decodePackedBatch(Uint8Array.of(2, ...bytes), compression)).toThrow(MalformedTelemetryError)
      }),
    )
  })

  test('is never larger than its plain form by more than the frame, and far smaller than JSON', () => {
    const readings = Array.from({ length: 300 }, (_, index) => ({
      timeMs: 1_700_000_000_000 + index * 1000,
      value: Math.round((20 + Math.sin(index / 9)) * 100) / 100,
    }))
    const bytes = encodePackedBatch(
      {
        cutAtMs: 1_700_000_300_000,
        blocks: [
          {
            deviceId: 'pump-001',
            bootId: 'a1b2c3d4',
            modelId: '',
            fromSeq: 1,
            toSeq: 300,
            receivedSeq: 300,
            filtered: 0,
            rejected: [],
            series: [
              {
                signal: 'flow',
                timesMs: readings.map((r) => r.timeMs),
                seqs: readings.map((_, i) => i + 1),
                values: readings.map((r) => r.value),
              },
            ],
          },
        ],
      },
      compression,
    )
    expect(bytes.length / readings.length).toBeLessThan(3)
    expect(JSON.stringify(readings).length / bytes.length).toBeGreaterThan(10)
  })

  test('lets only an edge module speak for other devices', () => {
    const body = encodePackedBatch(
      {
        cutAtMs: 1_700_000_000_000,
        blocks: [
          { deviceId: 'other', bootId: 'b', modelId: '', fromSeq: 1, toSeq: 0, receivedSeq: 0, filtered: 0, rejected: [], series: [] },
        ],
      },
      compression,
    )
    const message = {
      body,
      contentType: packedBatchContentType,
      contentEncoding: undefined,
      deviceId: 'gateway',
      properties: {},
      arrivedMs: 0,
    }
    expect(decodeTelemetry({ ...message, moduleId: 'edge-module' }, compression)[0]!.deviceId).toBe('other')
    expect(() => decodeTelemetry({ ...message, moduleId: undefined }, compression)).toThrow(
      expect.objectContaining({ reason: 'foreign-device' }),
    )
  })
})
