import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { deviceModel } from '../../contract/device-model.ts'
import { zlibCompression } from '../../cloud-functions/hot-path/compression.ts'
import { ledgerOf } from '../../cloud-functions/hot-path/device-account.ts'
import { clockBehindMs } from '../../cloud-functions/hot-path/device-clock.ts'
import { decodeSnapshot, encodeSnapshot, UnreadableSnapshotError } from '../../cloud-functions/hot-path/device-state.ts'
import { foldMessage, newPartitionState, noEffects } from '../../cloud-functions/hot-path/fold.ts'
import type { Effects, LoggedMessage, PartitionState } from '../../cloud-functions/hot-path/fold.ts'
import { addReading, decodeSegment, encodeSegment, openSegment, segmentLimits } from '../../cloud-functions/hot-path/open-segment.ts'
import { encodePackedBatch, packedBatchContentType } from '../../contract/telemetry/packed-batch.ts'
import { unknownDeviceId } from '../../contract/unknown-device.ts'
import { edgeAlertsContentType, encodeEdgeAlerts } from '../../contract/edge-alerts.ts'
import { previewProperty, rejectedAtEdge } from '../../contract/telemetry/decode.ts'
import { telemetryLimits } from '../../contract/telemetry/telemetry.ts'
import type { DeviceBlock } from '../../contract/telemetry/telemetry.ts'

const startMs = 1_700_000_000_000
const text = (value: unknown) => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value))

/** A log of stamped pump messages: vibration, one reading a message. */
function pumpLog(values: readonly number[]): LoggedMessage[] {
  return values.map((vibrationMmPerS, index) => ({
    sequenceNumber: index,
    body: text({ time: startMs + index * 1000, vibrationMmPerS }),
    contentType: 'application/json',
    contentEncoding: undefined,
    deviceId: 'pump-1',
    moduleId: undefined,
    properties: { bootId: 'b1', seq: String(index + 1), count: '1', model: 'dtmi:millwright:CentrifugalPump;1' },
    arrivedMs: startMs + index * 1000 + 20,
  }))
}

/** Folds a log, in batches cut at the given places; returns the state and all effects together. */
function fold(
  log: readonly LoggedMessage[],
  { partition = newPartitionState(), cuts = [] as number[] } = {},
): { partition: PartitionState; effects: Effects[] } {
  const effects: Effects[] = []
  let batch = noEffects()
  log.forEach((message, index) => {
    foldMessage(partition, message, zlibCompression, batch)
    if (cuts.includes(index)) {
      effects.push(batch)
      batch = noEffects()
    }
  })
  return { partition, effects: [...effects, batch] }
}

/** Rows that would be written, as comparable text: the same keys replace each other. */
function rows(effects: readonly Effects[]): string[] {
  const written = new Map<string, string>()
  for (const { closedSegments, alertEvents, deadLetters } of effects) {
    for (const { deviceId, segment } of closedSegments)
      written.set(`segment ${deviceId} ${segment.openedMs} ${segment.firstSeq}`, Buffer.from(encodeSegment(segment)).toString('hex'))
    for (const { sequenceNumber, event } of alertEvents)
      written.set(`event ${event.alertId} ${sequenceNumber} ${event.kind}`, JSON.stringify(event))
    for (const { sequenceNumber, reason } of deadLetters) written.set(`letter ${sequenceNumber}`, reason)
  }
  return [...written].map((row) => row.join(' = ')).sort()
}

const states = ({ devices }: PartitionState) => [...devices.values()].map((device) => Buffer.from(encodeSnapshot(device)).toString('hex'))
const vibrations = fc.array(
  fc.oneof({ weight: 6, arbitrary: fc.double({ min: 1.95, max: 2.05, noNaN: true }) }, { weight: 1, arbitrary: fc.constantFrom(4, 9) }),
  { minLength: 30, maxLength: 150 },
)

describe('hot path', () => {
  test('however the log is cut into batches, state and rows are the same', () => {
    fc.assert(
      fc.property(vibrations, fc.array(fc.nat(149)), (values, cuts) => {
        const log = pumpLog(values)
        const whole = fold(log)
        const pieces = fold(log, { cuts })
        expect(states(pieces.partition)).toEqual(states(whole.partition))
        expect(rows(pieces.effects)).toEqual(rows(whole.effects))
      }),
      { numRuns: 40 },
    )
  })

  test('a batch delivered twice, or in part again, changes nothing', () => {
    fc.assert(
      fc.property(vibrations, fc.nat(), fc.nat(), (values, a, b) => {
        const log = pumpLog(values)
        const { partition, effects } = fold(log)
        const before = states(partition)
        const [from, to] = [a % log.length, b % log.length].sort((x, y) => x - y)
        const again = fold(log.slice(from, to! + 1), { partition })
        expect(states(partition)).toEqual(before)
        expect(rows([...effects, ...again.effects])).toEqual(rows(effects))
      }),
      { numRuns: 40 },
    )
  })

  test('going on from any older snapshot writes the same rows again, and no second alert', () => {
    fc.assert(
      fc.property(vibrations, fc.nat(), (values, where) => {
        const log = pumpLog(values)
        const at = where % log.length
        const first = fold(log.slice(0, at + 1))
        const snapshots = [...first.partition.devices.values()].map((device) => decodeSnapshot(Buffer.from(encodeSnapshot(device))))
        // The crash: everything after the snapshot was written, too, but is forgotten.
        const forgotten = fold(log.slice(at + 1), { partition: first.partition })
        const restored: PartitionState = {
          appliedSequence: at,
          appliedMs: 0,
          devices: new Map(snapshots.map((device) => [device.deviceId, device])),
        }
        const replayed = fold(log.slice(at + 1), { partition: restored })
        expect(states(restored)).toEqual(states(first.partition))
        expect(rows([...first.effects, ...forgotten.effects, ...replayed.effects])).toEqual(rows(fold(log).effects))
      }),
      { numRuns: 40 },
    )
  })

  test('a device that is ahead of its partition skips what it has', () => {
    const log = pumpLog([2, 2, 2, 2])
    const { partition } = fold(log)
    const before = states(partition)
    partition.appliedSequence = 1
    fold(log.slice(2), { partition })
    expect(states(partition)).toEqual(before)
  })

  test('a device that sends again what was acknowledged late is counted once', () => {
    const log = pumpLog([2, 2, 2])
    const repeated = log.map((message, index) => ({ ...message, sequenceNumber: 3 + index }))
    const { partition } = fold([...log, ...repeated])
    expect(ledgerOf(partition.devices.get('pump-1')!.account)).toMatchObject({ published: 3, stored: 3, duplicates: 3, unexplained: 0 })
  })

  test('a hole in the seqs shows as unexplained', () => {
    const log = pumpLog([2, 2, 2, 2]).filter((_, index) => index !== 2)
    expect(ledgerOf(fold(log).partition.devices.get('pump-1')!.account)).toMatchObject({ published: 4, stored: 3, unexplained: 1 })
  })

  test('bad messages are set aside with their reason, and their neighbours go on', () => {
    const [good, bad, ugly, last] = pumpLog([2, 2, 2, 2]) as [LoggedMessage, LoggedMessage, LoggedMessage, LoggedMessage]
    const nobody = { ...last, sequenceNumber: 4, deviceId: undefined, properties: {} }
    const { partition, effects } = fold([
      good,
      { ...bad, body: text('{oops') },
      { ...ugly, body: text('{"vibrationMmPerS":NaN}') },
      last,
      nobody,
    ])
    expect(effects[0]!.deadLetters.map(({ sequenceNumber, deviceId, reason }) => [sequenceNumber, deviceId, reason])).toEqual([
      [1, 'pump-1', 'not-json'],
      [2, 'pump-1', 'not-finite'],
      [4, unknownDeviceId, 'unknown-device'],
    ])
    expect(ledgerOf(partition.devices.get('pump-1')!.account)).toMatchObject({ published: 4, stored: 2, deadLettered: 2, unexplained: 0 })
    expect(ledgerOf(partition.devices.get(unknownDeviceId)!.account)).toMatchObject({ published: 1, deadLettered: 1, unexplained: 0 })
  })

  test('one message may hold several blocks of a device, from two of its boots', () => {
    const block = (bootId: string, fromSeq: number) => ({
      deviceId: 'pump-1',
      bootId,
      modelId: '',
      fromSeq,
      toSeq: fromSeq,
      receivedSeq: fromSeq,
      filtered: 0,
      rejected: [],
      series: [{ signal: 'vibrationMmPerS', timesMs: [startMs], seqs: [fromSeq], values: [2] }],
    })
    const body = encodePackedBatch({ cutAtMs: startMs, blocks: [block('old', 1), block('old', 2), block('new', 1)] }, zlibCompression)
    const [message] = pumpLog([2]) as [LoggedMessage]
    const packed = { ...message, deviceId: 'gateway', moduleId: 'edge-module', contentType: packedBatchContentType, body, properties: {} }
    const { partition } = fold([packed, packed])
    expect(ledgerOf(partition.devices.get('pump-1')!.account)).toMatchObject({ published: 3, stored: 3, unexplained: 0 })
  })

  test('a batch that tells again what came before, and more, is taken for the more', () => {
    const upTo = (toSeq: number): DeviceBlock => {
      const seqs = Array.from({ length: toSeq }, (_, index) => index + 1)
      const columns = { timesMs: seqs.map((seq) => startMs + seq * 1000), seqs, values: seqs.map((seq) => seq / 10) }
      const series = [{ signal: 'vibrationMmPerS', ...columns }]
      return { deviceId: 'pump-1', bootId: 'b1', modelId: '', fromSeq: 1, toSeq, receivedSeq: toSeq, filtered: 0, rejected: [], series }
    }
    const log = [3, 5, 4].map((toSeq, sequenceNumber): LoggedMessage => {
      const body = encodePackedBatch({ cutAtMs: startMs, blocks: [upTo(toSeq)] }, zlibCompression)
      const from = { deviceId: 'gateway', moduleId: 'edge-module', contentType: packedBatchContentType, body, properties: {} }
      return { ...pumpLog([2])[0]!, ...from, sequenceNumber }
    })
    const { segment, account } = fold(log).partition.devices.get('pump-1')!
    expect(segment!.series.get('vibrationMmPerS')!.seqs).toEqual([1, 2, 3, 4, 5])
    expect(ledgerOf(account)).toMatchObject({ published: 5, stored: 5, duplicates: 7, unexplained: 0 })
  })

  test('devices that stamp nothing are numbered by the log', () => {
    const log = pumpLog([1, 2, 3]).map((message) => ({ ...message, properties: {} }))
    const { partition } = fold([...log, ...log])
    expect(ledgerOf(partition.devices.get('pump-1')!.account)).toMatchObject({ published: 3, stored: 3, unexplained: 0 })
  })

  test('what the edge rejected is kept for inspection, under the device it came from', () => {
    const [message] = pumpLog([2]) as [LoggedMessage]
    const properties = { [rejectedAtEdge.device]: 'pump-9', [rejectedAtEdge.reason]: 'not-json' }
    const { partition, effects } = fold([{ ...message, deviceId: 'gateway', moduleId: 'edge-module', properties, body: text('{oops') }])
    expect(effects[0]!.deadLetters).toMatchObject([{ deviceId: 'pump-9', reason: 'not-json' }])
    expect(partition.devices.size).toBe(0)
  })

  test('a device cannot make itself a rejecting edge', () => {
    const [message] = pumpLog([2]) as [LoggedMessage]
    const { effects } = fold([{ ...message, properties: { ...message.properties, [rejectedAtEdge.device]: 'pump-9' } }])
    expect(effects[0]!.deadLetters).toEqual([])
  })
})

describe('a device that names its boot as it likes', () => {
  test.each(['__proto__', 'constructor', 'toString', '7'])("is kept account of like any other, and harms nobody: '%s'", (bootId) => {
    const log = pumpLog([2, 2, 2, 2]).map((message) => ({ ...message, properties: { ...message.properties, bootId } }))
    log[2] = { ...log[2]!, body: text('not telemetry') }
    const { partition } = fold([...log, { ...log[1]!, sequenceNumber: 9 }])
    const device = partition.devices.get('pump-1')!
    expect(ledgerOf(device.account)).toMatchObject({ published: 4, stored: 3, deadLettered: 1, duplicates: 1, unexplained: 0 })
    expect(ledgerOf(decodeSnapshot(encodeSnapshot(device)).account)).toEqual(ledgerOf(device.account))
    const stranger: Record<string, unknown> = {}
    expect([stranger.appliedSeq, stranger.receivedSeq]).toEqual([undefined, undefined])
  })

  test('may name its signals as it likes, too: they are strangers to its model', () => {
    const names = ['constructor', 'toString', '__proto__', 'hasOwnProperty']
    const body = text(`{"time":${startMs},"vibrationMmPerS":2,${names.map((name, index) => `"${name}":${index}`).join(',')}}`)
    const [message] = pumpLog([2])
    const { partition, effects } = fold([{ ...message!, body, properties: { ...message!.properties, count: '5' } }])
    expect(effects[0]!.deadLetters).toEqual([])
    const { latest, modelId, watch } = partition.devices.get('pump-1')!
    expect([...latest.keys()].sort()).toEqual(['vibrationMmPerS', ...names].sort())
    for (const name of names) {
      expect(deviceModel(modelId)!.signals[name]).toBeUndefined()
      expect(watch.signals.get(name)!.traits).toMatchObject({ isJumpy: false, resolution: 0, ratePerSMax: undefined })
    }
  })

  test('is remembered by its last boots, in the order they came, whatever their names', () => {
    const boots = ['90', 'b', '5', '4', '3', '2', '1', 'c', '0']
    const log = boots.flatMap((bootId) => pumpLog([2, 2]).map((message) => ({ ...message, properties: { ...message.properties, bootId } })))
    const numbered = log.map((message, sequenceNumber) => ({ ...message, sequenceNumber }))
    const again = { ...numbered[3]!, sequenceNumber: numbered.length }
    const { partition } = fold([...numbered, again])
    const { account } = partition.devices.get('pump-1')!
    expect([...account.boots.keys()]).toEqual(boots.slice(1))
    expect(ledgerOf(account)).toMatchObject({ published: 18, stored: 18, duplicates: 1, unexplained: 0 })
  })
})

describe('a device whose schema changes for ever', () => {
  const most = telemetryLimits.signalsPerDeviceMax
  /** Ten signals a message, under names that do not come again. */
  const log = Array.from({ length: Math.ceil(most / 10) + 5 }, (_, index): LoggedMessage => {
    const names = Array.from({ length: 10 }, (__, n) => `signal${index * 10 + n}`)
    return {
      sequenceNumber: index,
      body: text({ time: startMs + index * 1000, ...Object.fromEntries(names.map((name, n) => [name, n])) }),
      contentType: 'application/json',
      contentEncoding: undefined,
      deviceId: 'odd-1',
      moduleId: undefined,
      properties: { bootId: 'b1', seq: String(index * 10 + 1), count: '10', model: 'dtmi:millwright:CentrifugalPump;1' },
      arrivedMs: startMs + index * 1000 + 20,
    }
  })

  test('keeps the signals it began with; the others are set aside, and accounted for', () => {
    const { partition, effects } = fold(log)
    const { account, latest, watch } = partition.devices.get('odd-1')!
    expect([latest.size, watch.signals.size]).toEqual([most, most])
    const letters = effects.flatMap(({ deadLetters }) => deadLetters)
    expect(new Set(letters.map(({ reason }) => reason))).toEqual(new Set(['too-many-signals']))
    expect(letters).toHaveLength(log.length - Math.floor(most / 10))
    expect(ledgerOf(account)).toMatchObject({ stored: most, deadLettered: log.length * 10 - most, unexplained: 0 })
    // Whatever was cut where, and however often it came.
    expect(states(fold([...log, ...log], { cuts: [3, 27, 28] }).partition)).toEqual(states(partition))
  })

  test('has room for what its model names, and for what it has', () => {
    const known = { flowM3PerH: 60, signal0: 5 }
    const last = { ...log.at(-1)!, sequenceNumber: log.length, body: text({ time: startMs + 99_000, ...known }) }
    const { partition } = fold([...log, { ...last, properties: { ...last.properties, seq: String(log.length * 10 + 1), count: '2' } }])
    const { latest } = partition.devices.get('odd-1')!
    expect([latest.get('flowM3PerH')?.value, latest.get('signal0')?.value]).toEqual([60, 5])
  })
})

describe('what an edge module may say', () => {
  const block = (values: readonly number[], fromSeq = 1): DeviceBlock => {
    const seqs = values.map((_, index) => fromSeq + index)
    const series = [{ signal: 'vibrationMmPerS', timesMs: seqs.map((seq) => startMs + seq * 1000), seqs, values }]
    const toSeq = fromSeq + values.length - 1
    return {
      deviceId: 'pump-1',
      bootId: 'b1',
      modelId: 'dtmi:millwright:CentrifugalPump;1',
      fromSeq,
      toSeq,
      receivedSeq: toSeq,
      series,
      filtered: 0,
      rejected: [],
    }
  }
  const packed = (blocks: readonly DeviceBlock[], change: Partial<LoggedMessage> = {}): LoggedMessage => ({
    ...pumpLog([2])[0]!,
    body: encodePackedBatch({ cutAtMs: startMs, blocks }, zlibCompression),
    contentType: packedBatchContentType,
    deviceId: 'gateway-1',
    moduleId: 'edge-module',
    properties: {},
    ...change,
  })
  const abnormal = [...Array.from({ length: 40 }, (_, index) => 2 + (index % 3) / 100), 9, 9, 9, 9]

  test('a preview shows the newest value, and is neither stored nor counted nor judged', () => {
    const { partition, effects } = fold([packed([block([9])], { properties: { [previewProperty]: '1' } })])
    const device = partition.devices.get('pump-1')!
    expect(device.latest.get('vibrationMmPerS')).toEqual({ timeMs: startMs + 1000, value: 9 })
    expect(ledgerOf(device.account).published).toBe(0)
    expect([device.segment, device.watch.signals.size, effects[0]!.alertEvents]).toEqual([undefined, 0, []])
  })

  test('a preview that is older than what is known changes nothing', () => {
    const { partition } = fold([
      packed([block([2, 3])]),
      packed([block([9])], { properties: { [previewProperty]: '1' }, sequenceNumber: 1 }),
    ])
    expect(partition.devices.get('pump-1')!.latest.get('vibrationMmPerS')!.value).toBe(3)
  })

  test('what it has judged is learned and raises nothing; from a device itself the same words count for nothing', () => {
    const judged = [{ ...block(abnormal), isJudged: true }]
    expect(fold([packed(judged)]).effects[0]!.alertEvents).toEqual([])
    const own = packed(judged, { deviceId: 'pump-1', moduleId: undefined })
    expect(fold([own]).effects[0]!.alertEvents.map(({ event }) => event.kind)).toContain('raised')
  })

  test('alerts of somebody who is no edge module are set aside', () => {
    const body = encodeEdgeAlerts([
      { deviceId: 'pump-1', signal: 'vibrationMmPerS', event: { kind: 'returned', alertId: 'x', atMs: 1, why: 'normal-again' } },
    ])
    const { effects } = fold([packed([], { body, contentType: edgeAlertsContentType, deviceId: 'pump-2', moduleId: undefined })])
    expect(effects[0]!.deadLetters).toMatchObject([{ deviceId: 'pump-2', reason: 'foreign-device' }])
  })
})

describe('snapshot', () => {
  test('that is damaged or of another version is refused, at every byte of its header', () => {
    const device = fold(pumpLog([2, 2, 2])).partition.devices.get('pump-1')!
    const bytes = encodeSnapshot(device)
    expect(() => decodeSnapshot(bytes.subarray(0, bytes.length - 8))).toThrow(UnreadableSnapshotError)
    expect(() => decodeSnapshot(new Uint8Array())).toThrow(UnreadableSnapshotError)
    const newer = Uint8Array.from(bytes)
    newer[0]!++
    expect(() => decodeSnapshot(newer)).toThrow(UnreadableSnapshotError)
    const why = (() => {
      try {
        return decodeSnapshot(newer)
      } catch (error) {
        return (error as Error).cause
      }
    })()
    expect(String(why)).toMatch(/a snapshot of version \d+, this program reads \d+/)
  })
})

describe('segment', () => {
  test('comes back as it was', () => {
    const segment = openSegment('b1', 7, startMs)
    addReading(segment, 'flow', startMs - 5, 7, 1.25)
    addReading(segment, 'flow', startMs + 1000, 9, 1.5)
    addReading(segment, 'vibration', startMs, 8, Math.PI)
    expect(decodeSegment(encodeSegment(segment))).toEqual(segment)
  })

  test('is cut when it is full', () => {
    const { effects } = fold(
      pumpLog(Array.from({ length: segmentLimits.readingsMax + 1 }, () => 2)).map((message) => ({ ...message, arrivedMs: startMs })),
    )
    expect(effects[0]!.closedSegments).toHaveLength(1)
    expect(effects[0]!.closedSegments[0]!.segment.readings).toBe(segmentLimits.readingsMax)
  })
})

describe('event times that cannot be', () => {
  const message = (index: number, time: number, arrivedMs: number): LoggedMessage => ({
    ...pumpLog([2])[0]!,
    sequenceNumber: index,
    body: text({ time, vibrationMmPerS: 2 }),
    properties: { bootId: 'b1', seq: String(index + 1), count: '1', model: 'dtmi:millwright:CentrifugalPump;1' },
    arrivedMs,
  })
  const deviceAfter = (log: readonly LoggedMessage[]) => fold(log).partition.devices.get('pump-1')!
  const hour = 3_600_000

  test('are moved to when the hub took them, and their own time can be had back', () => {
    for (const aheadMs of [hour, 80 * 365 * 24 * hour]) {
      const { segment, latest, account } = deviceAfter(
        [0, 1, 2].map((index) => message(index, startMs + index * 1000 + aheadMs, startMs + index * 1000 + 30)),
      )
      expect(segment!.series.get('vibrationMmPerS')!.timesMs).toEqual([startMs + 30, startMs + 1030, startMs + 2030])
      expect(segment!.clock).toEqual([{ fromSeq: 1, offsetMs: 30 - aheadMs }])
      expect(latest.get('vibrationMmPerS')!.timeMs).toBe(startMs + 2030)
      expect(ledgerOf(account)).toMatchObject({ stored: 3, unexplained: 0 })
      expect(decodeSegment(encodeSegment(segment!))).toEqual(segment)
    }
  })

  test('of a clock that was never set are, too', () => {
    const { segment } = deviceAfter([message(0, 86_400_000, startMs)])
    expect(segment!.series.get('vibrationMmPerS')!.timesMs).toEqual([startMs])
  })

  test('that are only old are left alone: they may have waited, or be a recording', () => {
    const { segment, clock } = deviceAfter([message(0, startMs - 5 * 365 * 24 * hour, startMs)])
    expect(segment!.series.get('vibrationMmPerS')!.timesMs).toEqual([startMs - 5 * 365 * 24 * hour])
    expect(clockBehindMs(clock)).toBe(5 * 365 * 24 * hour)
  })

  test('of what the edge held back are moved with the rest', () => {
    const filtered = { count: 3, min: 1, max: 3, mean: 2, lastTimeMs: startMs + hour }
    const series = [{ signal: 'vibrationMmPerS', timesMs: [], seqs: [], values: [], filtered }]
    const block: DeviceBlock = {
      deviceId: 'pump-1',
      bootId: 'b1',
      modelId: '',
      fromSeq: 1,
      toSeq: 3,
      receivedSeq: 3,
      filtered: 3,
      rejected: [],
      series,
    }
    const body = encodePackedBatch({ cutAtMs: startMs, blocks: [block] }, zlibCompression)
    const from = {
      deviceId: 'gateway',
      moduleId: 'edge-module',
      contentType: packedBatchContentType,
      body,
      properties: {},
      arrivedMs: startMs,
    }
    const { segment } = deviceAfter([{ ...pumpLog([2])[0]!, ...from }])
    expect(segment!.series.get('vibrationMmPerS')!.filtered).toEqual([{ ...filtered, lastTimeMs: startMs }])
  })

  test('end with the clock that made them: what follows is taken as it is', () => {
    const { segment, clock } = deviceAfter([message(0, startMs + hour, startMs), message(1, startMs + 1000, startMs + 1040)])
    expect(segment!.series.get('vibrationMmPerS')!.timesMs).toEqual([startMs, startMs + 1000])
    expect(segment!.clock).toEqual([
      { fromSeq: 1, offsetMs: -hour },
      { fromSeq: 2, offsetMs: 0 },
    ])
    expect(clockBehindMs(clock)).toBe(40)
  })

  test('the least of the delays lately seen is how far the clock is behind', () => {
    const delays = [900_000, 40_000, 700, 5_000]
    const { clock } = deviceAfter(delays.map((delay, index) => message(index, startMs + index * 1000, startMs + index * 1000 + delay)))
    expect(clockBehindMs(clock)).toBe(700)
  })
})
