import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, unlinkSync, writeFileSync, appendFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { Journal, JournalFullError } from '../../journal/journal.ts'

let folder: string
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'journal-'))))
afterEach(() => rmSync(folder, { recursive: true }))

const Header = z.object({ from: z.string() })
type Opened = { journal: Journal<z.infer<typeof Header>>; committed: (position: number) => Promise<void>; troubles: (string | undefined)[] }

/** A journal, and a way to wait until it has something on disk. */
function open(bytesMax = 1e9): Opened {
  const waiting: { position: number; resolve: () => void }[] = []
  const troubles: (string | undefined)[] = []
  const journal = new Journal({
    directory: folder,
    bytesMax,
    header: Header,
    onCommitted: (position) => {
      for (const waiter of waiting) if (waiter.position <= position) waiter.resolve()
    },
    onTrouble: (error) => troubles.push(error?.message),
  })
  const committed = (position: number) =>
    journal.committed >= position ? Promise.resolve() : new Promise<void>((resolve) => waiting.push({ position, resolve }))
  return { journal, committed, troubles }
}
const append = ({ journal }: Opened, text: string) => journal.append({ from: 'd' }, new TextEncoder().encode(text))
const texts = ({ journal }: Opened, from = 0) => [...journal.read(from)].map(({ body }) => Buffer.from(body).toString())

describe('journal', () => {
  test('gives back what was appended, also to the next process, from any position', async () => {
    const first = open()
    const position = append(first, 'one')
    append(first, 'two')
    await first.journal.close()
    const again = open()
    expect(texts(again)).toEqual(['one', 'two'])
    expect(texts(again, position)).toEqual(['two'])
    expect([...again.journal.read(0)][0]!.header).toEqual({ from: 'd' })
    await again.journal.close()
  })

  test('says that something is committed only when it stands in the file', async () => {
    const opened = open()
    const position = append(opened, 'one')
    expect(texts(opened)).toEqual([])
    await opened.committed(position)
    expect(readFileSync(join(folder, readdirSync(folder)[0]!)).length).toBe(position)
    await opened.journal.close()
  })

  test('cuts off a write that a crash cut short, at every byte', async () => {
    const written = open()
    const end = append(written, 'whole')
    append(written, 'torn')
    await written.journal.close()
    const file = join(folder, readdirSync(folder)[0]!)
    const contents = readFileSync(file)
    for (let length = end; length < contents.length; length++) {
      writeFileSync(file, contents.subarray(0, length))
      const opened = open()
      expect(texts(opened)).toEqual(['whole'])
      expect(opened.journal.end).toBe(end)
      await opened.journal.close()
    }
  })

  test('goes on behind garbage that was cut off', async () => {
    const first = open()
    append(first, 'one')
    await first.journal.close()
    appendFileSync(join(folder, readdirSync(folder)[0]!), Buffer.alloc(14, 9))
    const opened = open()
    await opened.committed(append(opened, 'two'))
    expect(texts(opened)).toEqual(['one', 'two'])
    await opened.journal.close()
  })

  test('refuses more than its limit, and takes again once what is handed on is dropped', async () => {
    const opened = open(2_000)
    const fill = async () => {
      for (let i = 0; i < 100; i++) await opened.committed(append(opened, 'x'.repeat(50)))
    }
    await expect(fill()).rejects.toThrow(JournalFullError)
    opened.journal.dropBefore(opened.journal.end)
    expect(opened.journal.bytes).toBeLessThan(1_000)
    expect(texts(opened, opened.journal.end)).toEqual([])
    await opened.committed(append(opened, 'again'))
    expect(texts(opened).at(-1)).toBe('again')
    await opened.journal.close()
  })

  test.skipIf(process.platform !== 'linux')(
    'on a full disk commits nothing, says so once, and goes on by itself when there is room',
    async () => {
      const file = join(folder, '0000000000000000.journal')
      const opened = open()
      // From now on the file lies on a disk that has no byte left.
      unlinkSync(file)
      symlinkSync('/dev/full', file)
      const position = append(opened, 'one')
      await expect.poll(() => opened.troubles).toEqual([expect.stringContaining('ENOSPC')])
      expect(opened.journal.committed).toBe(0)
      append(opened, 'two')
      unlinkSync(file)
      await opened.committed(position)
      expect(opened.troubles).toEqual([expect.stringContaining('ENOSPC'), undefined])
      expect(texts(opened)).toEqual(['one', 'two'])
      await opened.journal.close()
    },
  )
})
