import { spawn } from 'node:child_process'
import { expect, test } from 'vitest'
import { endWithParent } from '../../local-cloud/storage/azurite.ts'

/** Azurite while it starts: it does not yet end by itself when it is told to. */
const deaf = "process.send('started'); setInterval(() => {}, 1000)"

test('storage that is told to end while it starts does end', async () => {
  const child = spawn(process.execPath, ['--import', `data:text/javascript,${encodeURIComponent(endWithParent)}`, '-e', deaf], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  await new Promise((resolve) => child.once('message', resolve))
  child.kill('SIGTERM')
  expect(await ended).toBe(1)
}, 20_000)
