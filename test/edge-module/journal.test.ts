import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readCheckpoint, writeCheckpoint } from '../../edge-module/checkpoint.ts'
import { Journal, JournalFullError } from '../../edge-module/journal.ts'

let folder: string
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'journal-'))))
afterEach(() => rmSync(folder, { recursive: true }))

const message = (text: string) => ({
  deviceId: 'd',
  contentType: 'application/json',
  properties: { seq: '1' },
  arrivedMs: 5,
  body: new TextEncoder().encode(text),
})
const texts = (journal: Journal, from = 0) => [...journal.read(from)].map(({ message: { body } }) => Buffer.from(body).toString())

describe('journal', () => {
  test('gives back what was appended, also to the next process, from any position', () => {
    const journal = new Journal(folder, 1e9)
    const position = journal.append(message('one'))
    journal.append(message('two'))
    journal.close()
    const again = new Journal(folder, 1e9)
    expect(texts(again)).toEqual(['one', 'two'])
    expect(texts(again, position)).toEqual(['two'])
    expect([...again.read(0)][0]!.message).toMatchObject({
      deviceId: 'd',
      contentType: 'application/json',
      properties: { seq: '1' },
      arrivedMs: 5,
    })
    again.close()
  })

  test('cuts off a write that a crash cut short, at every byte', () => {
    const journal = new Journal(folder, 1e9)
    const end = journal.append(message('whole'))
    journal.append(message('torn'))
    journal.close()
    const file = join(folder, readdirSync(folder)[0]!)
    const contents = readFileSync(file)
    for (let length = end; length < contents.length; length++) {
      writeFileSync(file, contents.subarray(0, length))
      const opened = new Journal(folder, 1e9)
      expect(texts(opened)).toEqual(['whole'])
      expect(opened.end).toBe(end)
      opened.close()
    }
  })

  test('goes on behind garbage that was cut off', () => {
    const journal = new Journal(folder, 1e9)
    journal.append(message('one'))
    journal.close()
    appendFileSync(join(folder, readdirSync(folder)[0]!), Buffer.from([9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]))
    const opened = new Journal(folder, 1e9)
    opened.append(message('two'))
    expect(texts(opened)).toEqual(['one', 'two'])
    opened.close()
  })

  test('refuses more than its limit', () => {
    const journal = new Journal(folder, 200)
    expect(() => {
      for (let i = 0; i < 10; i++) journal.append(message('x'.repeat(50)))
    }).toThrow(JournalFullError)
    journal.close()
  })

  test('takes again what it refused, once what is handed on is dropped', () => {
    const journal = new Journal(folder, 2_000)
    const fill = () => {
      for (let i = 0; i < 100; i++) journal.append(message('x'.repeat(50)))
    }
    expect(fill).toThrow(JournalFullError)
    journal.dropBefore(journal.end)
    expect(journal.bytes).toBeLessThan(1_000)
    expect(texts(journal, journal.end)).toEqual([])
    journal.append(message('again'))
    expect(texts(journal).at(-1)).toBe('again')
    journal.close()
  })
})

describe('checkpoint', () => {
  test('survives, batch and all, and begins empty', () => {
    const path = join(folder, 'deep', 'checkpoint.json')
    expect(readCheckpoint(path, 'boot')).toMatchObject({ position: 0, unstampedBoot: 'boot', batch: new Uint8Array() })
    const memory = { devices: { d: { bootId: 'b', modelId: '', appliedSeq: 7, signals: { s: { lastPassed: { timeMs: 1, value: 2 } } } } } }
    writeCheckpoint(path, { position: 42, unstampedBoot: 'boot', memory, batch: Uint8Array.of(1, 2, 3) })
    expect(readCheckpoint(path, 'other')).toEqual({ position: 42, unstampedBoot: 'boot', memory, batch: Buffer.from([1, 2, 3]) })
  })
})
