import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { open as openFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { CommitLog } from '../../local-cloud/log/commit-log.ts'
import { DocumentStore } from '../../local-cloud/log/document-store.ts'

let folder: string
let nowMs = 1_000
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'log-'))
  nowMs = 1_000
})
afterEach(() => rmSync(folder, { recursive: true }))

const open = (options: Partial<Parameters<typeof CommitLog.open>[0]> = {}) =>
  CommitLog.open({ directory: folder, partitions: 2, nowMs: () => nowMs, ...options })
const append = (log: CommitLog, partition: number, text: string) => log.append(partition, () => Buffer.from(text))
const all = { count: 1_000, bytes: 1e9 }
const texts = async (log: CommitLog, partition: number, from = 0) =>
  (await log.read(partition, from, all)).map(({ payload }) => payload.toString())

describe('commit log', () => {
  test('numbers the records of each partition, and tells their positions before they are written', async () => {
    const log = await open()
    const positions: number[] = []
    await Promise.all(
      [0, 1, 0, 0].map((partition) =>
        log.append(partition, ({ sequenceNumber }) => {
          positions.push(sequenceNumber)
          return Buffer.from(`${partition}:${sequenceNumber}`)
        }),
      ),
    )
    expect(positions).toEqual([0, 0, 1, 2])
    expect(await texts(log, 0)).toEqual(['0:0', '0:1', '0:2'])
    expect(await texts(log, 1)).toEqual(['1:0'])
    await log.close()
  })

  test('continues after a restart, with the same numbers and offsets', async () => {
    const log = await open()
    await append(log, 0, 'one')
    nowMs = 2_000
    await append(log, 0, 'two')
    const before = await log.read(0, 0, all)
    await log.close()
    const again = await open()
    expect(await again.read(0, 0, all)).toEqual(before)
    await append(again, 0, 'three')
    expect(await texts(again, 0, 1)).toEqual(['two', 'three'])
    expect(again.sequenceAfterTime(0, 1_000)).toBe(1)
    expect(again.sequenceAtOffset(0, before[1]!.offset, { inclusive: true })).toBe(1)
    expect(again.sequenceAtOffset(0, before[1]!.offset, { inclusive: false })).toBe(2)
    await again.close()
  })

  test('cuts off a torn tail wherever the crash tore it', async () => {
    const log = await open()
    await append(log, 0, 'whole')
    const whole = readFileSync(join(folder, readdirSync(folder)[0]!)).length
    await append(log, 0, 'torn')
    await log.close()
    const file = join(folder, readdirSync(folder)[0]!)
    const contents = readFileSync(file)
    for (let length = whole; length < contents.length; length++) {
      writeFileSync(file, contents.subarray(0, length))
      const opened = await open()
      expect(await texts(opened, 0)).toEqual(['whole'])
      await append(opened, 0, 'next')
      expect(await texts(opened, 0)).toEqual(['whole', 'next'])
      await opened.close()
    }
  })

  test('does not serve a record with a flipped bit', async () => {
    const log = await open()
    await append(log, 0, 'good')
    await append(log, 0, 'bad')
    await log.close()
    const file = join(folder, readdirSync(folder)[0]!)
    const contents = readFileSync(file)
    contents[contents.length - 1]! ^= 1
    writeFileSync(file, contents)
    const opened = await open()
    expect(await texts(opened, 0)).toEqual(['good'])
    await opened.close()
  })

  test('leaves a hole where an older segment is damaged, and gives the rest under its own numbers', async () => {
    const log = await open({ segmentBytesMax: 100 })
    for (let i = 0; i < 12; i++) await append(log, 0, `record ${i}`)
    await log.close()
    const file = join(folder, readdirSync(folder).toSorted()[0]!)
    const contents = readFileSync(file)
    contents[contents.length - 1]! ^= 1
    writeFileSync(file, contents)
    const opened = await open({ segmentBytesMax: 100 })
    const damaged = Math.floor(contents.length / 36) - 1
    expect(opened.info(0)).toMatchObject({ beginSequence: 0, endSequence: 12, last: { sequenceNumber: 11 } })
    for (const from of [0, damaged, damaged + 1]) {
      const records = await opened.read(0, from, all)
      const left = Array.from({ length: 12 }, (_, i) => i).filter((i) => i >= from && i !== damaged)
      expect(records.map(({ sequenceNumber, payload }) => [sequenceNumber, String(payload)])).toEqual(left.map((i) => [i, `record ${i}`]))
    }
    await append(opened, 0, 'record 12')
    expect(await texts(opened, 0, 12)).toEqual(['record 12'])
    await opened.close()
  })

  test('deletes what is over its limits, oldest first, and never gives a number twice', async () => {
    const log = await open({ segmentBytesMax: 100, retention: { bytes: 300, ageMs: 1e12 } })
    for (let i = 0; i < 50; i++) await append(log, 0, `record ${i}`)
    expect(log.bytes).toBeLessThanOrEqual(500)
    const { beginSequence, last } = log.info(0)
    expect(beginSequence).toBeGreaterThan(30)
    expect(last?.sequenceNumber).toBe(49)
    expect((await texts(log, 0))[0]).toBe(`record ${beginSequence}`)
    await log.close()
    const again = await open({ segmentBytesMax: 100 })
    expect(again.info(0)).toMatchObject({ beginSequence, last: { sequenceNumber: 49 } })
    await again.close()
  })

  test('goes on counting where it was in a partition whose records have all gone, also after a restart', async () => {
    const options = { segmentBytesMax: 100 }
    const log = await open(options)
    for (const text of ['one', 'two', 'three']) await append(log, 1, text)
    for (let i = 0; i < 20; i++) await append(log, 0, `record ${i}`)
    await log.dropBefore(log.offsetOf(0, 19))
    expect(log.info(1)).toMatchObject({ beginSequence: 3, endSequence: 3, last: undefined })
    await log.close()
    const again = await open(options)
    expect(again.info(1)).toMatchObject({ beginSequence: 3, endSequence: 3, last: undefined })
    expect(again.sequenceAtOffset(1, 0, { inclusive: true })).toBe(3)
    await append(again, 1, 'four')
    expect(again.info(1)).toMatchObject({ beginSequence: 3, endSequence: 4, last: { sequenceNumber: 3 } })
    expect(await texts(again, 1)).toEqual(['four'])
    await again.close()
  })

  test('lets go of what is too old, also of a quiet log whose segments never fill', async () => {
    const log = await open({ retention: { bytes: 1e9, ageMs: 8_000 } })
    for (let i = 0; i < 20; i++) {
      await append(log, 0, `record ${i}`)
      nowMs += 1_000
    }
    const kept = await texts(log, 0)
    expect(kept.at(-1)).toBe('record 19')
    expect(kept.length).toBeGreaterThanOrEqual(8)
    expect(kept.length).toBeLessThanOrEqual(12)
    await log.close()
  })

  test('tells readers when there is more, and only then', async () => {
    const log = await open()
    let grown = 0
    const unsubscribe = log.subscribe(1, () => grown++)
    await append(log, 0, 'elsewhere')
    expect(grown).toBe(0)
    await append(log, 1, 'here')
    expect(grown).toBe(1)
    unsubscribe()
    await append(log, 1, 'here')
    expect(grown).toBe(1)
    await log.close()
  })
})

describe('document store', () => {
  const path = () => join(folder, 'documents.ndjson')
  const openStore = () => DocumentStore.open(path(), (value) => value as { n: number })

  test('keeps what was acknowledged, forgets what was deleted, and ignores a torn last line', async () => {
    const store = await openStore()
    await Promise.all([store.set('a', { n: 1 }), store.set('b', { n: 2 }), store.set('a', { n: 3 })])
    await store.delete('b')
    await store.close()
    writeFileSync(path(), `${readFileSync(path(), 'utf8')}["c",{"n"`)
    const again = await openStore()
    expect([...again.entries()]).toEqual([['a', { n: 3 }]])
    await again.close()
  })

  test('does not grow without end', async () => {
    const store = await openStore()
    for (let n = 0; n < 5_000; n++) void store.set('counter', { n })
    await store.set('counter', { n: 5_000 })
    await store.set('counter', { n: 5_001 })
    expect(readFileSync(path(), 'utf8').length).toBeLessThan(20_000)
    await store.close()
    const again = await openStore()
    expect(again.get('counter')).toEqual({ n: 5_001 })
    await again.close()
  })
})

describe('a disk that refuses', () => {
  const full = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })

  /** The next write of any file puts a part of it on the disk, and fails. */
  async function refuseNext(method: 'write' | 'appendFile'): Promise<void> {
    const probe = await openFile(join(folder, 'probe'), 'w')
    await probe.close()
    const prototype = Object.getPrototypeOf(probe) as Record<string, (...given: unknown[]) => Promise<unknown>>
    const write = prototype.write!
    vi.spyOn(prototype, method).mockImplementationOnce(async function (this: unknown, ...[data, at, length, position]: unknown[]) {
      if (typeof data === 'string') await write.call(this, data.slice(0, data.length / 2))
      else await write.call(this, data, at, Number(length) - 3, position)
      throw full
    })
  }
  afterEach(() => void vi.restoreAllMocks())

  test('takes again after a second: what was refused is not there, and its number is given again', async () => {
    const failures: unknown[] = []
    const log = await open({ onFailure: (error) => failures.push(error) })
    await append(log, 0, 'kept')
    await refuseNext('write')
    await expect(append(log, 0, 'refused')).rejects.toBe(full)
    expect(failures).toEqual([full])
    await expect(append(log, 0, 'at once')).rejects.toThrow('its last write failed')
    nowMs += 1_000
    await Promise.all([append(log, 0, 'x'), append(log, 1, 'other')])
    expect(await texts(log, 0)).toEqual(['kept', 'x'])
    expect(log.info(0)).toMatchObject({ beginSequence: 0, endSequence: 2 })
    const before = await log.read(0, 0, all)
    await log.close()
    const again = await open()
    expect(await again.read(0, 0, all)).toEqual(before)
    expect(await texts(again, 1)).toEqual(['other'])
    await again.close()
  })

  test('costs documents half a line, and none of those that come after it', async () => {
    const path = join(folder, 'documents.ndjson')
    const store = await DocumentStore.open(path, (value) => Number(value))
    await store.set('a', 1)
    await refuseNext('appendFile')
    await expect(store.set('b', 2)).rejects.toBe(full)
    await store.set('c', 3)
    await store.set('d', 4)
    await store.close()
    const again = await DocumentStore.open(path, (value) => Number(value))
    expect([again.get('a'), again.get('c'), again.get('d')]).toEqual([1, 3, 4])
    await again.close()
  })
})
