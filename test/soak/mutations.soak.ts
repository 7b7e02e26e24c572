/** The tests notice when something that matters is taken away: each change below must make the tests named beside it fail. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { root } from '../support/product.ts'
import { mutations } from './mutations.ts'

const copy = mkdtempSync(join(tmpdir(), 'mutations-'))
const left = ['node_modules', '.git', 'dist', '.millwright']

beforeAll(() => {
  cpSync(root, copy, { recursive: true, filter: (path) => !left.some((name) => path === join(root, name)) })
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
})
afterAll(() => rmSync(copy, { recursive: true, force: true }))

test.each(mutations)(
  'when $what, $tests fails',
  ({ file, from, to, tests }) => {
    const path = join(copy, file)
    const source = readFileSync(path, 'utf8')
    expect(source).toContain(from)
    writeFileSync(path, source.replace(from, to))
    try {
      const { status, stdout } = spawnSync(process.execPath, [join(root, 'node_modules', 'vitest', 'vitest.mjs'), 'run', tests], {
        cwd: copy,
        encoding: 'utf8',
      })
      expect(status, stdout.slice(-2_000)).toBe(1)
      expect(stdout).toMatch(/Tests.*\d+ failed/)
    } finally {
      writeFileSync(path, source)
    }
  },
  180_000,
)
