import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { LogFile } from '../../cli/supervisor/log-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'log-'))
afterAll(() => rmSync(folder, { recursive: true }))

const ended = (log: LogFile) => new Promise<void>((resolve) => log.end(resolve))

test('the newest lines are kept, in two files of a limited length, over starts', async () => {
  const path = join(folder, 'logs', 'part.log')
  for (let start = 0; start < 3; start++) {
    const log = new LogFile(path, 1_000)
    for (let line = 0; line < 50; line++) log.write(`start ${start} line ${String(line).padStart(2, '0')}\n`)
    await ended(log)
  }
  const [older, newer] = [readFileSync(`${path}.old`, 'utf8'), readFileSync(path, 'utf8')]
  expect(older.length).toBeGreaterThan(900)
  expect(Math.max(older.length, newer.length)).toBeLessThanOrEqual(1_000)
  const lines = (older + newer).trim().split('\n')
  const all = Array.from({ length: 150 }, (_, index) => `start ${Math.floor(index / 50)} line ${String(index % 50).padStart(2, '0')}`)
  expect(lines).toEqual(all.slice(-lines.length))
})

test('a place that cannot be written costs the lines, and nothing else', async () => {
  writeFileSync(join(folder, 'no-folder'), '')
  const log = new LogFile(join(folder, 'no-folder', 'part.log'), 1_000)
  log.write('lost\n')
  log.write('lost, too\n')
  await ended(log)
  expect(log.errored).toBeNull()
})
