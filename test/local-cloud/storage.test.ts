/** Azurite's tables keep what was acknowledged, however it ends, and are not written to disk all the time. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TableClient } from '@azure/data-tables'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Faults } from '../../local-cloud/faults.ts'
import { CommitLog } from '../../local-cloud/log/commit-log.ts'
import { startStorage } from '../../local-cloud/storage/storage.ts'
import type { Storage } from '../../local-cloud/storage/storage.ts'
import { TableSaves } from '../../local-cloud/storage/table-saves.ts'
import { eventually } from '../support/eventually.ts'

let folder: string
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'storage-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))

const start = () =>
  startStorage(folder, { blob: 0, queue: 0, table: 0 }, new Faults(Date.now), (event, fields) => {
    throw new Error(`${event} ${JSON.stringify(fields)}`)
  })
const tableOf = ({ connectionString }: Storage) =>
  TableClient.fromConnectionString(connectionString, 'things', { allowInsecureConnection: true })
const mark = () => readFileSync(join(folder, 'table-journal', 'saved.json'), 'utf8')

async function contents(storage: Storage): Promise<Record<string, unknown>> {
  const rows: Record<string, unknown> = {}
  for await (const { rowKey, n } of tableOf(storage).listEntities()) rows[String(rowKey)] = n
  return rows
}

async function kill(storage: Storage): Promise<void> {
  const ended = new Promise((done) => storage.process.once('exit', done))
  storage.process.kill('SIGKILL')
  await ended
  await storage.stop()
}

test('what the tables acknowledged is there after a kill, before a save and after one, and after another', async () => {
  let storage = await start()
  const table = tableOf(storage)
  await table.createTable()
  for (let n = 0; n < 20; n++) await table.upsertEntity({ partitionKey: 'p', rowKey: `early-${n}`, n }, 'Replace')
  // The first save covers these, the kill comes before the second.
  const first = await eventually(() => mark(), { withinMs: 30_000, what: 'a save' })
  await table.deleteEntity('p', 'early-3')
  await table.submitTransaction([
    ['update', { partitionKey: 'p', rowKey: 'early-4', n: 400 }, 'Merge', { etag: '*' }],
    ['create', { partitionKey: 'p', rowKey: 'late', n: 1 }],
  ])
  await kill(storage)
  const expected = Object.fromEntries(
    Array.from({ length: 20 }, (_, n) => [`early-${n}`, n === 4 ? 400 : n]).filter(([name]) => name !== 'early-3'),
  )
  for (let again = 0; again < 2; again++) {
    storage = await start()
    expect(await contents(storage)).toEqual({ ...expected, late: 1 })
    expect(mark()).toBe(first)
    await kill(storage)
  }
  storage = await start()
  await storage.stop()
  expect(mark()).not.toBe(first)
  storage = await start()
  expect(await contents(storage)).toEqual({ ...expected, late: 1 })
  await storage.stop()
}, 60_000)

describe('saving', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
  afterEach(() => void vi.useRealTimers())

  /** Saves that take as long as they are told to, by a clock of their own. */
  async function saves() {
    let nowMs = 1_000_000
    const begun: { readonly end: () => void; readonly covers: number }[] = []
    const troubles: unknown[] = []
    const log = await CommitLog.open({ directory: join(folder, 'log'), partitions: 1, segmentBytesMax: 1_000, nowMs: () => nowMs })
    let failure: Error | undefined
    const made = new TableSaves({
      log,
      markFile: join(folder, 'saved.json'),
      async save() {
        await new Promise<void>((end) => begun.push({ end, covers: log.info(0).endSequence }))
        if (failure) throw failure
      },
      nowMs: () => nowMs,
      onTrouble: (error) => troubles.push(error),
    })
    return {
      log,
      made,
      troubles,
      begun,
      pass(ms: number) {
        nowMs += ms
        vi.advanceTimersByTime(ms)
      },
      fail: (error: Error | undefined) => (failure = error),
      async change() {
        const bytes = Buffer.alloc(500)
        await log.append(0, () => bytes)
        made.note(bytes.length)
      },
    }
  }

  test('covers what was there when it began, and gives up no more of the journal', async () => {
    const { log, made, begun, change, pass } = await saves()
    for (let n = 0; n < 10; n++) await change()
    pass(15_000)
    const { covers, end } = await eventually(() => begun[0])
    for (let n = 0; n < 10; n++) await change()
    expect(made.nextSequence).toBe(0)
    end()
    await eventually(() => (made.nextSequence > 0 ? true : undefined))
    expect([made.nextSequence, covers]).toEqual([10, 10])
    expect(log.info(0).beginSequence).toBeLessThanOrEqual(covers)
    expect(log.info(0).endSequence).toBe(20)
    await made.stop()
    await log.close()
  })

  test('that fails covers nothing, says so, and is tried again', async () => {
    const { log, made, begun, change, fail, pass, troubles } = await saves()
    await change()
    pass(15_000)
    fail(new Error('the disk is full'))
    ;(await eventually(() => begun[0])).end()
    await eventually(() => (troubles.length === 1 ? true : undefined))
    expect([made.nextSequence, log.info(0).beginSequence]).toEqual([0, 0])
    fail(undefined)
    await change()
    pass(15_000)
    ;(await eventually(() => begun[1])).end()
    await eventually(() => (made.nextSequence === 2 ? true : undefined))
    await made.stop()
    await log.close()
  })

  test('takes a hundredth of the time: after a long one the next one waits', async () => {
    const { log, made, begun, change, pass } = await saves()
    await change()
    pass(15_000)
    const first = await eventually(() => begun[0])
    pass(700)
    first.end()
    await eventually(() => (made.nextSequence === 1 ? true : undefined))
    await change()
    expect(made.nextSaveMs).toBe(1_015_700 + 70_000)
    await made.stop()
    await log.close()
  })
})
