import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { FolderInUseError, FolderLock, isRunning, markOf } from '../../journal/folder-lock.ts'

const folder = mkdtempSync(join(tmpdir(), 'lock-'))
const path = join(folder, 'in', 'it', 'some.lock')
afterAll(() => rmSync(folder, { recursive: true }))
beforeEach(() => FolderLock.take(path, '').release())

/** A process that lives until it is killed. */
function somebody() {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
  return {
    pid: child.pid!,
    end: () =>
      new Promise<unknown>((resolve) => {
        child.once('exit', resolve)
        child.kill('SIGKILL')
      }),
  }
}

test('whoever comes second is told who is there, and what to do; after a kill it is free', async () => {
  const other = somebody()
  writeFileSync(path, JSON.stringify(markOf(other.pid)))
  expect(() => FolderLock.take(path, 'take another')).toThrow(FolderInUseError)
  expect(() => FolderLock.take(path, 'take another')).toThrow(new RegExp(`process ${other.pid} .*take another`))
  await other.end()
  expect(isRunning(markOf(other.pid))).toBe(false)
  FolderLock.take(path, '').release()
})

test('a lock that was given back is free, as is one that a crash cut short, and one of this process’s own number', () => {
  FolderLock.take(path, '')
  FolderLock.take(path, '').release()
  writeFileSync(path, '{"pid": 1')
  FolderLock.take(path, '').release()
})

test('is told from its successor by ps where there is no /proc, and by a person on Windows', async () => {
  const other = somebody()
  const mark = markOf(other.pid, 'darwin')
  expect(mark.began).toMatch(/^[A-Z][a-z]{2} [A-Z][a-z]{2} +\d+ [\d:]{8} \d{4}$/)
  expect(isRunning(mark, 'darwin')).toBe(true)
  expect(isRunning({ ...mark, began: 'Mon Jan  1 00:00:00 2024' }, 'darwin')).toBe(false)
  writeFileSync(path, JSON.stringify(markOf(other.pid, 'win32')))
  expect(() => FolderLock.take(path, 'take another')).toThrow(/take another; if that process is not Millwright's, remove '.*some.lock'/)
  await other.end()
})

test.skipIf(process.platform !== 'linux')('a process that has the number of one that is gone is somebody else', async () => {
  const other = somebody()
  const { pid, began } = markOf(other.pid)
  expect(began).toMatch(/^[0-9a-f-]{36}\/\d+$/)
  for (const earlier of [`${began}0`, began.replace(/^./, (digit) => (digit === '0' ? '1' : '0'))]) {
    writeFileSync(path, JSON.stringify({ pid, began: earlier }))
    FolderLock.take(path, '').release()
  }
  await other.end()
})
