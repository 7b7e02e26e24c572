import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { zlibCompression } from '../../cloud-functions/hot-path/compression.ts'
import { bookBlock, ledgerOf, newAccount } from '../../cloud-functions/hot-path/device-account.ts'
import { foldMessage, newPartitionState, noEffects } from '../../cloud-functions/hot-path/fold.ts'
import { encodeEdgeAlerts, edgeAlertsContentType } from '../../contract/edge-alerts.ts'
import type { TelemetryMessage } from '../../contract/telemetry/decode.ts'
import { decodePackedBatch, encodePackedBatch, packedBatchContentType } from '../../contract/telemetry/packed-batch.ts'
import { readingCount } from '../../contract/telemetry/telemetry.ts'
import { applyDesired, defaultConfiguration } from '../../edge-module/configuration.ts'
import { decodeEdgeState, encodeEdgeState, newEdgeState } from '../../edge-module/edge-devices.ts'
import { EdgeCore, edgeLimits } from '../../edge-module/edge-core.ts'
import type { Findings } from '../../edge-module/edge-core.ts'
import { randomOf } from '../../device-sim/random.ts'

const newCore = () => new EdgeCore(newEdgeState('edge-boot'), zlibCompression)
/** Read from a file, bytes lie somewhere in a larger buffer. */
const asFromFile = (bytes: Uint8Array) => Buffer.concat([Buffer.from('x'), bytes, Buffer.from('yz')]).subarray(1, 1 + bytes.length)
/** As after a restart of the module. */
const restarted = (core: EdgeCore) => new EdgeCore(decodeEdgeState(asFromFile(encodeEdgeState(core.state))), zlibCompression)
const configured = (core: EdgeCore, desired: Record<string, unknown>) => {
  core.configure(applyDesired(defaultConfiguration, desired).configuration)
  return core
}
const text = (value: unknown) => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value))
const startMs = 1_700_000_000_000

/** A stamped message of a pump: the readings from `seq` on. */
function message(seq: number, values: Record<string, number>, timeMs = startMs + seq * 1000, deviceId = 'pump-1'): TelemetryMessage {
  const properties = {
    bootId: 'boot-1',
    seq: String(seq),
    count: String(Object.keys(values).length),
    model: 'dtmi:millwright:CentrifugalPump;1',
  }
  return {
    body: text({ time: new Date(timeMs).toISOString(), ...values }),
    contentType: 'application/json',
    contentEncoding: undefined,
    deviceId,
    moduleId: undefined,
    properties,
    arrivedMs: timeMs,
  }
}
const flows = (core: EdgeCore, values: readonly number[], fromSeq = 1) =>
  values.map((flow, index) => core.add(message(fromSeq + index, { flowM3PerH: flow })))
const passedOf = (core: EdgeCore) => core.cut(0).blocks.flatMap(({ series }) => series.flatMap(({ seqs }) => seqs))

describe('edge batch', () => {
  test('passes what moved, sums up what did not, and accounts for both', () => {
    const core = newCore()
    flows(core, [60, 60.05, 59.95, 62, 62.1])
    const [block] = core.cut(startMs + 120_000).blocks
    expect(block).toMatchObject({
      filtered: 3,
      deviceId: 'pump-1',
      bootId: 'boot-1',
      modelId: 'dtmi:millwright:CentrifugalPump;1',
      fromSeq: 1,
      toSeq: 5,
    })
    expect(block!.series[0]).toMatchObject({ values: [60, 62], seqs: [1, 4], filtered: { count: 3, min: 59.95, max: 62.1 } })
    expect(block!.series[0]!.filtered!.mean).toBeCloseTo((60.05 + 59.95 + 62.1) / 3, 3)
  })

  test('drops what a device sends again', () => {
    const core = newCore()
    flows(core, [60, 70])
    flows(core, [60, 70])
    expect(readingCount(core.cut(0).blocks[0]!)).toBe(2)
  })

  test('a hole in the seqs begins a new block, so that it is not papered over', () => {
    const core = newCore()
    core.add(message(1, { flowM3PerH: 60 }))
    core.add(message(5, { flowM3PerH: 70 }))
    expect(core.cut(0).blocks.map(({ fromSeq, toSeq }) => [fromSeq, toSeq])).toEqual([
      [1, 1],
      [5, 5],
    ])
  })

  test('numbers the readings of devices that stamp nothing', () => {
    const core = newCore()
    const foreign = { ...message(1, {}), body: text({ a: 1, b: 2 }), properties: {} }
    core.add(foreign)
    core.add(foreign)
    expect(core.cut(0).blocks[0]).toMatchObject({ bootId: 'edge-boot', fromSeq: 1, toSeq: 4 })
  })

  test('brings readings to the unit of the device model', () => {
    const core = newCore()
    const senml = [
      { n: 'bearingTemperatureC', u: '°F', v: 131 },
      { n: 'dischargePressureBar', u: 'kPa', v: 420 },
    ]
    core.add({ ...message(1, { a: 1, b: 2 }), body: text(senml), contentType: 'application/senml+json' })
    const series = core.cut(0).blocks[0]!.series
    expect(series.map(({ signal, values }) => [signal, values[0]])).toEqual([
      ['bearingTemperatureC', 55],
      ['dischargePressureBar', 4.2],
    ])
  })

  test('a recalled corner of a swinging door moves from the filtered to the stored', () => {
    const door = { groups: { all: { version: '1', signals: { '*': { filter: { kind: 'swinging-door', tolerance: 0.1 } } } } } }
    const core = configured(newCore(), door)
    const account = newAccount()
    // A batch after every reading: the corner is known only in the batch after its own.
    const blocks = [60, 61, 62, 63, 62, 61, 60].flatMap((flow, index) => {
      core.add(message(index + 1, { flowM3PerH: flow }))
      return core.cut(0).blocks
    })
    for (const block of blocks) bookBlock(account, block)
    expect(blocks.flatMap(({ series }) => series.flatMap(({ seqs }) => seqs))).toEqual([1, 4])
    expect(ledgerOf(account)).toMatchObject({ published: 7, stored: 2, filtered: 5, unexplained: 0 })
  })

  test('however messages are cut into batches, and batches delivered again, the ledger explains every reading', () => {
    const flow = fc.double({ min: 55, max: 65, noNaN: true })
    const filter = fc.constantFrom(
      { kind: 'deadband', width: 1 },
      { kind: 'swinging-door', tolerance: 1 },
      { kind: 'aggregate', periodMs: 3000 },
    )
    fc.assert(
      fc.property(
        fc.array(flow, { minLength: 1, maxLength: 60 }),
        filter,
        fc.array(fc.nat(59)),
        fc.array(fc.constantFrom('once', 'twice', 'crash')),
        (values, chosen, cuts, fates) => {
          const desired = { groups: { all: { version: '1', signals: { '*': { filter: chosen } } } } }
          let core = configured(newCore(), desired)
          let [snapshot, from] = [encodeEdgeState(core.state), 0]
          const account = newAccount()
          for (let index = 0; index < values.length; index++) {
            core.add(message(index + 1, { flowM3PerH: values[index]! }))
            if (!cuts.includes(index) && index < values.length - 1) continue
            const { blocks } = decodePackedBatch(encodePackedBatch(core.cut(0), zlibCompression), zlibCompression)
            for (let time = 0; time < (fates[index] === 'twice' ? 2 : 1); time++) for (const block of blocks) bookBlock(account, block)
            if (fates[index] === 'crash') {
              // The module comes back with an older snapshot and folds its journal again; its batches are cut elsewhere.
              core = configured(new EdgeCore(decodeEdgeState(snapshot), zlibCompression), desired)
              for (let again = from; again <= index; again++) core.add(message(again + 1, { flowM3PerH: values[again]! }))
            } else if (index % 3 === 0) {
              ;[snapshot, from] = [encodeEdgeState(core.state), index + 1]
            }
          }
          for (const block of core.cut(0).blocks) bookBlock(account, block)
          expect(ledgerOf(account)).toMatchObject({ published: values.length, inFlight: 0, unexplained: 0 })
          expect(ledgerOf(account).stored + ledgerOf(account).filtered).toBe(values.length)
        },
      ),
    )
  })

  test('a restart changes nothing: state as bytes is state', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 59, max: 61, noNaN: true }), { minLength: 2, maxLength: 80 }), fc.nat(), (values, where) => {
        const at = where % values.length
        const one = newCore()
        const first = flows(one, values.slice(0, at)) && passedOf(one)
        const other = restarted(one)
        flows(one, values.slice(at), at + 1)
        flows(other, values.slice(at), at + 1)
        expect(encodeEdgeState(other.state)).toEqual(encodeEdgeState(one.state))
        expect(passedOf(other)).toEqual(passedOf(one))
        expect(first).toBeDefined()
      }),
    )
  })
})

describe('a device that misbehaves harms only itself, and is named with a reason:', () => {
  test('garbage is handed back, and accounted for', () => {
    const core = newCore()
    core.add(message(1, { flowM3PerH: 60 }))
    const broken = { ...message(2, { a: 1, b: 2, c: 3 }), body: text('{"flow":') }
    expect(core.add(broken).rejected).toMatchObject({ deviceId: 'pump-1', reason: 'not-json' })
    core.add(message(5, { flowM3PerH: 61 }))
    expect(core.cut(0).blocks).toMatchObject([{ fromSeq: 1, toSeq: 5, rejected: [{ seq: 2, count: 3, reason: 'not-json' }] }])
    expect(core.troubles.since(0)).toMatchObject([{ deviceId: 'pump-1', reason: 'not-json', count: 1 }])
  })

  test('a unit that measures something else', () => {
    const senml = [{ n: 'bearingTemperatureC', u: 'bar', v: 4 }]
    const { rejected } = newCore().add({ ...message(1, { a: 1 }), body: text(senml), contentType: 'application/senml+json' })
    expect(rejected).toMatchObject({ reason: 'wrong-unit', detail: "'bearingTemperatureC' came in 'bar', the model has '°C'" })
  })

  test('a flood is summed up, and the others pass as ever', () => {
    const core = configured(newCore(), { readingsPerSMax: 10 })
    for (let seq = 1; seq <= 500; seq++) core.add(message(seq, { flowM3PerH: 60 + (seq % 2) * 5 }, startMs))
    core.add(message(1, { flowM3PerH: 60 }, startMs + 600, 'pump-2'))
    const [flooding, calm] = core.cut(0).blocks
    expect(readingCount(flooding!)).toBe(100)
    expect(flooding!.filtered).toBe(400)
    expect(readingCount(calm!)).toBe(1)
    expect(core.troubles.since(0)).toMatchObject([{ deviceId: 'pump-1', reason: 'flood' }])
  })

  test('a schema that changes for ever', () => {
    const core = newCore()
    let crowded: Findings | undefined
    for (let seq = 1; seq <= edgeLimits.signalsPerDevice + 5; seq++) crowded = core.add(message(seq, { [`signal${seq}`]: seq }))
    expect(crowded!.rejected).toMatchObject({ reason: 'too-many-signals' })
    const [block] = core.cut(0).blocks
    expect(readingCount(block!)).toBe(edgeLimits.signalsPerDevice)
    expect(block!.rejected).toEqual([{ seq: edgeLimits.signalsPerDevice + 1, count: 5, reason: 'too-many-signals' }])
    expect(core.state.devices.get('pump-1')!.signals.size).toBe(edgeLimits.signalsPerDevice)
  })

  test('a clock that runs ahead', () => {
    const core = newCore()
    core.add({ ...message(1, { flowM3PerH: 60 }, startMs + 3_600_000), arrivedMs: startMs })
    expect(core.troubles.since(0)).toMatchObject([{ reason: 'clock-ahead' }])
  })

  test('readings that were kept too long are told of as expired', () => {
    const core = newCore()
    core.expire(message(1, { a: 1, b: 2 }))
    const account = newAccount()
    for (const block of core.cut(0).blocks) bookBlock(account, block)
    expect(ledgerOf(account)).toMatchObject({ published: 2, expired: 2, deadLettered: 0, unexplained: 0 })
  })

  test('a device that gave up what it had sent already says nothing new of that', () => {
    const core = newCore()
    const account = newAccount()
    core.add(message(1, { a: 1, b: 2, c: 3 }))
    const range = { fromSeq: 1, toSeq: 10, receivedSeq: 10 }
    const block = { deviceId: 'pump-1', bootId: 'boot-1', modelId: '', ...range, series: [], filtered: 0 }
    const statement = encodePackedBatch({ cutAtMs: 0, blocks: [{ ...block, rejected: [{ seq: 1, count: 10, reason: 'expired' }] }] })
    core.add({ ...message(1, { a: 1 }), body: statement, contentType: packedBatchContentType, properties: {} })
    for (const told of core.cut(0).blocks) bookBlock(account, told)
    expect(ledgerOf(account)).toMatchObject({ published: 10, stored: 3, expired: 7, filtered: 0, unexplained: 0 })
  })
})

describe('a filter never hides an alert', () => {
  /** Healthy noise, then a fault that lies wholly within the filter's width. */
  function withFault(core: EdgeCore, { faultAt, length }: { faultAt: number; length: number }) {
    const random = randomOf('fault')
    const findings: Findings[] = []
    for (let seq = 1; seq <= length; seq++) {
      const level = seq >= faultAt && seq < faultAt + 40 ? 3.5 : 2
      findings.push(core.add(message(seq, { vibrationMmPerS: Math.round((level + 0.01 * random.normal()) * 1000) / 1000 })))
    }
    return findings.flatMap(({ alerts }) => alerts)
  }
  const blind = {
    groups: { all: { version: '1', maxIntervalMs: 86_400_000, signals: { '*': { filter: { kind: 'deadband', width: 1e6 } } } } },
  }

  test('not even one that passes nothing at all: it opens, and the raw window travels with the alert', () => {
    const core = configured(newCore(), blind)
    const alerts = withFault(core, { faultAt: 100, length: 200 })
    expect(alerts.map(({ event }) => event.kind)).toEqual(['raised', 'returned'])
    const [raised] = alerts
    expect(raised!.event).toMatchObject({ kind: 'raised', signal: 'vibrationMmPerS', evidence: { firstSeenMs: startMs + 100_000 } })
    expect(raised!.event.kind === 'raised' && raised!.event.evidence.window.values).toHaveLength(48)
    const passed = passedOf(core)
    // Closed before, open through the episode and a while after, closed again.
    expect(passed).toEqual([1, ...Array.from({ length: passed.length - 1 }, (_, index) => 100 + index)])
    expect(passed.length).toBeGreaterThan(40 + edgeLimits.openReadings - 10)
    expect(passed.at(-1)).toBeLessThan(200)
  })

  test('what the edge saw and what the cloud sees of it become one alert', () => {
    const core = configured(newCore(), blind)
    const partition = newPartitionState()
    const effects = noEffects()
    let sequenceNumber = 0
    const deliver = (body: Uint8Array, contentType: string) =>
      foldMessage(
        partition,
        {
          body,
          contentType,
          contentEncoding: undefined,
          deviceId: 'gateway-1',
          moduleId: 'edge-module',
          properties: {},
          arrivedMs: startMs,
          sequenceNumber: sequenceNumber++,
        },
        zlibCompression,
        effects,
      )
    const random = randomOf('both')
    for (let seq = 1; seq <= 400; seq++) {
      const level = seq >= 150 && seq < 220 ? 9 : 2
      const { alerts } = core.add(message(seq, { vibrationMmPerS: Math.round((level + 0.01 * random.normal()) * 1000) / 1000 }))
      // At least once: everything comes twice. Alerts overtake the readings that caused them, which wait for their batch.
      for (const _ of alerts.length > 0 ? [1, 2] : []) deliver(encodeEdgeAlerts(alerts), edgeAlertsContentType)
      if (seq % 57 === 0) deliver(encodePackedBatch(core.cut(startMs), zlibCompression), packedBatchContentType)
    }
    const told = effects.alertEvents.map(({ event }) => event)
    expect(new Set(told.map(({ alertId }) => alertId)).size).toBe(1)
    expect(told.map(({ kind }) => kind)).toEqual(
      ['raised', 'escalated', 'returned'].filter((kind) => told.some((event) => event.kind === kind)),
    )
    expect(told[0]!.kind).toBe('raised')
    expect(told.at(-1)!.kind).toBe('returned')
    expect(effects.deadLetters).toEqual([])
  })
})
