import { getEventListeners } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { bookBlock, ledgerOf, newAccount } from '../../cloud-functions/hot-path/device-account.ts'
import type { DeviceAccount } from '../../cloud-functions/hot-path/device-account.ts'
import { expiredReason } from '../../contract/telemetry/telemetry.ts'
import { OfflineBuffer } from '../../device-sim/agents/offline-buffer.ts'
import type { NextMessage } from '../../device-sim/agents/offline-buffer.ts'
import { randomOf } from '../../device-sim/random.ts'

let directory: string
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'buffer-'))))
afterEach(() => rmSync(directory, { recursive: true }))

const open = (bootId: string, bytesMax = 8_388_608) => new OfflineBuffer({ directory, bytesMax, bootId, onTrouble: () => {} })
const never = new AbortController().signal

/** Books a message as the cloud does. */
function arrives(account: DeviceAccount, message: NextMessage): void {
  const { bootId, seq, count } =
    message.kind === 'expired' ? message.range : { bootId: message.bootId, seq: message.firstSeq, count: message.readings }
  const toSeq = seq + count - 1
  const whole = { deviceId: 'agent', bootId, modelId: '', fromSeq: seq, toSeq, receivedSeq: toSeq, filtered: 0 }
  const seqs = Array.from({ length: count }, (_, index) => seq + index)
  bookBlock(
    account,
    message.kind === 'expired'
      ? { ...whole, series: [], rejected: [{ seq, count, reason: expiredReason }] }
      : { ...whole, series: [{ signal: 'x', timesMs: seqs, seqs, values: seqs }], rejected: [] },
  )
}

describe('an agent’s buffer', () => {
  test('numbers readings as they are taken, and gives them back in order, several samples a message', async () => {
    const buffer = open('a')
    buffer.add({ timeMs: 1, values: { x: 1, y: 2 } })
    buffer.add({ timeMs: 2, values: { x: 3 } })
    await buffer.more(never)
    const next = buffer.next()!
    expect(next).toMatchObject({
      kind: 'samples',
      bootId: 'a',
      firstSeq: 1,
      readings: 3,
      samples: [{ timeMs: 1 }, { timeMs: 2, values: { x: 3 } }],
    })
    buffer.acknowledged(next)
    expect(buffer.next()).toBeUndefined()
    await buffer.close()
  })

  test('leaves nothing behind on the signal that ends its waits', async () => {
    const buffer = open('a')
    for (let wait = 0; wait < 3; wait++) {
      buffer.add({ timeMs: wait, values: { x: wait } })
      await buffer.more(never)
      buffer.acknowledged(buffer.next()!)
    }
    expect(getEventListeners(never, 'abort')).toEqual([])
    await buffer.close()
  })

  test('sends everything it keeps again when a loss of power has taken its position', async () => {
    for (const left of ['', '{"position":4', '{}']) {
      const before = open('a')
      before.add({ timeMs: 1, values: { x: 1 } })
      await before.written()
      const sent = before.next()!
      before.acknowledged(sent)
      await before.close()
      writeFileSync(join(directory, 'buffer-position.json'), left)
      const after = open('b')
      expect(after.next()).toEqual(sent)
      await after.close()
      rmSync(directory, { recursive: true })
    }
    directory = mkdtempSync(join(tmpdir(), 'buffer-'))
  })

  test('survives the end of the program: the old boot’s first, under the same numbers, then its own', async () => {
    const before = open('a')
    before.add({ timeMs: 1, values: { x: 1 } })
    await before.more(never)
    before.acknowledged(before.next()!)
    before.add({ timeMs: 2, values: { x: 2 } })
    await before.close()
    const after = open('b')
    after.add({ timeMs: 3, values: { x: 3 } })
    await after.more(never)
    expect(after.next()).toMatchObject({ bootId: 'a', firstSeq: 2, readings: 1 })
    after.acknowledged(after.next()!)
    await after.more(never)
    expect(after.next()).toMatchObject({ bootId: 'b', firstSeq: 1, samples: [{ values: { x: 3 } }] })
    await after.close()
  })

  test('without room the oldest give way, and a statement says which, before the rest', async () => {
    const buffer = open('a', 4_000)
    for (let second = 1; second <= 200; second++) {
      buffer.add({ timeMs: second, values: { x: second, y: 0 } })
      // Each on disk by itself, so that files fill one after the other.
      await buffer.written()
    }
    expect(buffer.bytes).toBeLessThanOrEqual(4_600)
    const statement = buffer.next()!
    expect(statement).toMatchObject({ kind: 'expired', range: { bootId: 'a', seq: 1 } })
    const expired = statement.kind === 'expired' ? statement.range.count : 0
    await buffer.close()
    // Also the next program states it.
    const again = open('b', 4_000)
    expect(again.next()).toEqual(statement)
    again.acknowledged(again.next()!)
    let seq = expired + 1
    for (let next = again.next(); next?.kind === 'samples'; next = again.next()) {
      expect(next.firstSeq).toBe(seq)
      seq += next.readings
      again.acknowledged(next)
    }
    expect(seq).toBe(401)
    await again.close()
  })

  test('whatever is lost on the way, or killed, ends as stored or as expired, and nothing as both', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string(), fc.integer({ min: 1, max: 4 }), fc.boolean(), async (seed, programs, losesPower) => {
        rmSync(directory, { recursive: true, force: true })
        const random = randomOf(seed)
        const account = newAccount()
        let taken = 0
        for (let program = 0; program < programs; program++) {
          const buffer = open(`boot-${program}`, 2_400)
          const isLast = program === programs - 1
          let inFlight: NextMessage | undefined
          for (let step = 0; step < 120; step++) {
            // On disk before much has gathered, so that files fill one after the other.
            if (step % 4 === 3) await buffer.written()
            const kind = random.next()
            if (kind < 0.8) taken += buffer.add({ timeMs: step, values: random.next() < 0.5 ? { x: step, y: 0 } : { x: step } })
            else if (!inFlight) inFlight = buffer.next()
            // It arrives, and its acknowledgement may be lost on the way.
            else {
              arrives(account, inFlight)
              if (random.next() < 0.8) buffer.acknowledged(inFlight)
            }
            if (kind >= 0.95) inFlight = undefined
          }
          await buffer.written()
          for (let next = buffer.next(); isLast && next; next = buffer.next()) {
            arrives(account, next)
            buffer.acknowledged(next)
          }
          await buffer.close()
          // A loss of power takes what was not synced: what had expired of an earlier program is known to nobody then.
          if (!isLast && losesPower) rmSync(join(directory, 'buffer-position.json'), { force: true })
        }
        const { published, stored, expired, filtered, unexplained } = ledgerOf(account)
        expect({ published, filtered, unexplained }).toEqual({ published: stored + expired, filtered: 0, unexplained: 0 })
        if (!losesPower) expect(published).toBe(taken)
      }),
      { numRuns: 10 },
    )
  }, 60_000)
})
