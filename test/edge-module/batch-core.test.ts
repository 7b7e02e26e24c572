import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { zlibCompression } from '../../cloud-functions/hot-path/compression.ts'
import { bookBlock, ledgerOf, newAccount } from '../../cloud-functions/hot-path/device-account.ts'
import type { TelemetryMessage } from '../../contract/telemetry/decode.ts'
import { decodePackedBatch, encodePackedBatch } from '../../contract/telemetry/packed-batch.ts'
import { filteredCount, readingCount } from '../../contract/telemetry/telemetry.ts'
import { BatchCore, FilterSettings } from '../../edge-module/batch-core.ts'
import type { CoreMemory } from '../../edge-module/batch-core.ts'

const settings = FilterSettings.parse({})
const options = { compression: zlibCompression, unstampedBoot: 'edge-boot' }
const newCore = (memory: CoreMemory = { devices: {} }) => new BatchCore(structuredClone(memory), options)
const text = (value: unknown) => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value))

/** A stamped message of a pump: `count` readings from `seq` on. */
function message(seq: number, values: Record<string, number>, timeMs = 1_700_000_000_000 + seq * 1000): TelemetryMessage {
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
    deviceId: 'pump-1',
    moduleId: undefined,
    properties,
    arrivedMs: timeMs,
  }
}

const noneWaiting = new Map<string, { bootId: string; seq: number }>()

describe('edge batch', () => {
  test('passes what moved, sums up what did not, and accounts for both', () => {
    const core = newCore()
    const flows = [60, 60.05, 59.95, 62, 62.1]
    flows.forEach((flow, index) => core.add(message(index + 1, { flowM3PerH: flow }), settings))
    const [block] = core.cut(0, noneWaiting).batch.blocks
    expect(block).toMatchObject({
      deviceId: 'pump-1',
      bootId: 'boot-1',
      modelId: 'dtmi:millwright:CentrifugalPump;1',
      fromSeq: 1,
      toSeq: 5,
      receivedSeq: 5,
    })
    expect(block!.series[0]).toMatchObject({ values: [60, 62], seqs: [1, 4], filtered: { count: 3, min: 59.95, max: 62.1 } })
    expect(block!.series[0]!.filtered!.mean).toBeCloseTo((60.05 + 59.95 + 62.1) / 3, 9)
  })

  test('drops what a device sends again', () => {
    const core = newCore()
    core.add(message(1, { flowM3PerH: 60 }), settings)
    core.add(message(2, { flowM3PerH: 70 }), settings)
    core.add(message(1, { flowM3PerH: 60 }), settings)
    core.add(message(2, { flowM3PerH: 70 }), settings)
    expect(readingCount(core.cut(0, noneWaiting).batch.blocks[0]!)).toBe(2)
  })

  test('a hole in the seqs begins a new block, so that it is not papered over', () => {
    const core = newCore()
    core.add(message(1, { flowM3PerH: 60 }), settings)
    core.add(message(5, { flowM3PerH: 70 }), settings)
    expect(core.cut(0, noneWaiting).batch.blocks.map(({ fromSeq, toSeq }) => [fromSeq, toSeq])).toEqual([
      [1, 1],
      [5, 5],
    ])
  })

  test('numbers the readings of devices that stamp nothing', () => {
    const core = newCore()
    const foreign = { ...message(1, {}), body: text({ a: 1, b: 2 }), properties: {} }
    core.add(foreign, settings)
    core.add(foreign, settings)
    expect(core.cut(0, noneWaiting).batch.blocks[0]).toMatchObject({ bootId: 'edge-boot', fromSeq: 1, toSeq: 4 })
  })

  test('hands back what it cannot decode, and keeps account of it', () => {
    const core = newCore()
    core.add(message(1, { flowM3PerH: 60 }), settings)
    const broken = { ...message(2, { a: 1, b: 2, c: 3 }), body: text('{"flow":') }
    expect(core.add(broken, settings)).toMatchObject({ deviceId: 'pump-1', reason: 'not-json' })
    core.add(message(5, { flowM3PerH: 61 }), settings)
    expect(core.cut(0, noneWaiting).batch.blocks).toMatchObject([
      { fromSeq: 1, toSeq: 5, rejected: [{ seq: 2, count: 3, reason: 'not-json' }] },
    ])
  })

  test('says how much of a device still waits', () => {
    const core = newCore()
    core.add(message(1, { flowM3PerH: 60 }), settings)
    expect(core.cut(0, new Map([['pump-1', { bootId: 'boot-1', seq: 9 }]])).batch.blocks[0]).toMatchObject({ toSeq: 1, receivedSeq: 9 })
  })

  test('however messages are cut into batches, and batches delivered again, the ledger explains every reading', () => {
    const flow = fc.double({ min: 55, max: 65, noNaN: true })
    fc.assert(
      fc.property(fc.array(flow, { minLength: 1, maxLength: 60 }), fc.array(fc.nat(59)), fc.array(fc.boolean()), (flows, cuts, again) => {
        let core = newCore()
        const account = newAccount()
        flows.forEach((value, index) => {
          core.add(message(index + 1, { flowM3PerH: value }), settings)
          if (!cuts.includes(index) && index < flows.length - 1) return
          const { batch, memory } = core.cut(0, noneWaiting)
          const delivered = decodePackedBatch(encodePackedBatch(batch, zlibCompression), zlibCompression)
          for (let time = 0; time < (again[index] ? 2 : 1); time++) for (const block of delivered.blocks) bookBlock(account, block)
          // The module may have been restarted from its checkpoint in between.
          core = newCore(memory)
        })
        expect(ledgerOf(account)).toMatchObject({ published: flows.length, inFlight: 0, unexplained: 0 })
        expect(ledgerOf(account).stored + ledgerOf(account).filtered).toBe(flows.length)
      }),
    )
  })

  test('replaying the journal after a crash makes the same readings pass', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 59, max: 61, noNaN: true }), { minLength: 2, maxLength: 50 }), fc.nat(), (flows, where) => {
        const crashAt = where % flows.length
        const messages = flows.map((value, index) => message(index + 1, { flowM3PerH: value }))
        const run = (core: BatchCore, part: readonly TelemetryMessage[]) => {
          for (const one of part) core.add(one, settings)
          return core.cut(0, noneWaiting)
        }
        const first = run(newCore(), messages.slice(0, crashAt + 1))
        // The crash: what was folded after the checkpoint is forgotten and folded again.
        const lost = newCore(first.memory)
        for (const one of messages.slice(crashAt + 1)) lost.add(one, settings)
        const after = run(newCore(first.memory), messages.slice(crashAt + 1))
        const passed = [...first.batch.blocks, ...after.batch.blocks].flatMap((block) => block.series.flatMap(({ seqs }) => seqs))
        const whole = run(newCore(), messages).batch.blocks
        expect(passed).toEqual(whole.flatMap((block) => block.series.flatMap(({ seqs }) => seqs)))
        expect(whole.reduce((sum, block) => sum + filteredCount(block) + readingCount(block), 0)).toBe(flows.length)
      }),
    )
  })
})
