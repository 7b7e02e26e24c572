/** The gateway's queues: what was taken is delivered, the urgent first, in order, and never lost by whoever goes away. */
import { mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from 'node:fs'
import { open as openFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { EdgeMessage } from '../../local-cloud/edge-runtime/edge-message.ts'
import { StoreAndForward } from '../../local-cloud/edge-runtime/store-and-forward.ts'
import { randomOf } from '../../device-sim/random.ts'
import { eventually } from '../support/eventually.ts'

let folder: string
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'queues-'))))
afterEach(() => {
  vi.restoreAllMocks()
  rmSync(folder, { recursive: true })
})

const open = () => StoreAndForward.open(folder, () => 0)
const message = (text: string): EdgeMessage => ({
  deviceId: 'device',
  system: [],
  application: [],
  expiresMs: Number.MAX_SAFE_INTEGER,
  body: Buffer.from(text),
})
const textOf = ({ body }: EdgeMessage) => Buffer.from(body).toString()

describe('queues of an endpoint', () => {
  test('keep a window under way, and fill each place that is free with the most urgent', async () => {
    const store = await open()
    const started: string[] = []
    const acknowledge: (() => void)[] = []
    const numbers = Array.from({ length: 100 }, (_, index) => index)
    await Promise.all(numbers.map((index) => store.append(['low'], message(`low ${index}`))))
    await store.attach('$upstream', ['high', 'low'], (one) => {
      started.push(textOf(one))
      return new Promise((done) => acknowledge.push(done))
    })
    // The window upstream is 32: no more is under way until something is acknowledged.
    await eventually(() => (started.length === 32 ? true : undefined))
    await store.append(['high'], message('high'))
    expect(started).toHaveLength(32)
    acknowledge[5]!()
    await eventually(() => (started.length === 33 ? true : undefined))
    expect(started[32]).toBe('high')
    expect(started.slice(0, 32)).toEqual(numbers.slice(0, 32).map((index) => `low ${index}`))
    await store.close()
  })

  test('hand a message on while it is written, though its sender waits for the disk', async () => {
    const store = await open()
    const happened: string[] = []
    await store.attach('module', ['high', 'low'], async (one) => void happened.push(textOf(one)))
    const written = (text: string) => store.append([text], message(text)).then(() => happened.push(`${text} is written`))
    await Promise.all([written('low'), written('high')])
    expect(happened.slice(0, 2)).toEqual(['high', 'low'])
    expect(happened.slice(2).toSorted()).toEqual(['high is written', 'low is written'])
    await store.close()
  })

  test('take a message again that was handed on, and then not written because of a crash', async () => {
    const delivered: string[] = []
    const deliver = async (one: EdgeMessage) => void delivered.push(textOf(one))
    const store = await open()
    await store.attach('module', ['queue'], deliver)
    await store.append(['queue'], message('kept'))
    const file = join(folder, 'log', readdirSync(join(folder, 'log'))[0]!)
    const { size } = statSync(file)
    await store.append(['queue'], message('unwritten'))
    await store.close()
    expect(delivered).toEqual(['kept', 'unwritten'])
    truncateSync(file, size)
    const again = await open()
    await again.attach('module', ['queue'], deliver)
    await again.append(['queue'], message('unwritten'))
    expect(delivered).toEqual(['kept', 'unwritten', 'unwritten'])
    expect(again.backlog()).toEqual({ queue: 0 })
    await again.close()
  })

  test('hand on what comes under the number of a message that was handed on, and that the disk refused', async () => {
    let nowMs = 0
    const delivered: string[] = []
    const store = await StoreAndForward.open(folder, () => nowMs)
    await store.attach('module', ['queue'], async (one) => void delivered.push(textOf(one)))
    await store.append(['queue'], message('kept'))
    const probe = await openFile(join(folder, 'probe'), 'w')
    vi.spyOn(Object.getPrototypeOf(probe) as typeof probe, 'write').mockRejectedValueOnce(new Error('ENOSPC'))
    await probe.close()
    await expect(store.append(['queue'], message('refused'))).rejects.toThrow('ENOSPC')
    await eventually(() => (delivered.length === 2 ? true : undefined))
    nowMs += 1_000
    // Its sender has it still.
    for (const text of ['refused', 'after']) await store.append(['queue'], message(text))
    await eventually(() => (delivered.length === 4 ? true : undefined))
    expect(delivered).toEqual(['kept', 'refused', 'refused', 'after'])
    await eventually(() => (store.backlog().queue === 0 ? true : undefined))
    await store.close()
  })

  test('lose nothing and keep their order, in whatever order acknowledgements come and however often the gateway starts anew', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 120 }), fc.integer({ min: 1, max: 4 }), fc.string(), async (count, starts, seed) => {
        rmSync(folder, { recursive: true, force: true })
        const random = randomOf(seed)
        const acknowledged = new Set<string>()
        let appended = 0
        for (let start = 0; start < starts; start++) {
          const store = await open()
          const delivered: number[] = []
          const isLast = start === starts - 1
          const waiting: (() => void)[] = []
          await store.attach('module', ['queue'], (one) => {
            delivered.push(Number(textOf(one)))
            return new Promise((done) =>
              waiting.push(() => {
                acknowledged.add(textOf(one))
                done()
              }),
            )
          })
          const upTo = isLast ? count : Math.floor(random.next() * count)
          while (appended < upTo) await store.append(['queue'], message(String(appended++)))
          // Some are acknowledged, in any order; at last all of them.
          const isEnough = () => (isLast ? acknowledged.size === count : random.next() < 0.3)
          await eventually(() => {
            while (waiting.length > 0 && (isLast || random.next() < 0.5))
              waiting.splice(Math.floor(random.next() * waiting.length), 1)[0]!()
            return isEnough() ? true : undefined
          })
          expect(delivered).toEqual(delivered.toSorted((a, b) => a - b))
          await store.close()
        }
        expect(acknowledged.size).toBe(count)
      }),
      { numRuns: 15 },
    )
  }, 60_000)
})
