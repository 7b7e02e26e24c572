/** The package as a stranger installs it: in an empty folder, with nothing of this repository around it. */
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { root } from '../support/product.ts'

const folder = mkdtempSync(join(tmpdir(), 'stranger-'))
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
const run = (program: string, args: readonly string[], cwd = folder) =>
  execFileSync(program, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 16 * 1024 * 1024 })
let packed: { filename: string; size: number; files: { path: string }[] }

beforeAll(() => {
  packed = (JSON.parse(run(npm, ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], root)) as (typeof packed)[])[0]!
  writeFileSync(join(folder, 'package.json'), '{"private":true}')
  run(npm, ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', `./${packed.filename}`])
}, 180_000)
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))

test('holds what runs and what is read, and no tests, sources or maps', () => {
  const paths = packed.files.map(({ path }) => path)
  expect(paths).toEqual(
    expect.arrayContaining([
      'bin/millwright.mjs',
      'dist/cli/main.mjs',
      'dist/functions/main.cjs',
      'dist/dashboards/app.js',
      'README.md',
      'LICENSE',
    ]),
  )
  expect(paths.filter((path) => /\.(ts|tsx|map)$/.test(path))).toEqual([])
  expect(packed.size).toBeLessThan(12 * 1024 * 1024)
})

test('brings no development tool, and nothing that wants an install script', () => {
  const packages = readdirSync(join(folder, 'node_modules'))
  for (const tool of ['typescript', 'vitest', 'esbuild', 'playwright-core']) expect(packages).not.toContain(tool)
  expect(run('npx', ['millwright', 'agent', '--once'])).toContain('memoryUsedPct')
})

test('stands in for Azure by itself, and a fleet of its own publishes to it', async () => {
  const data = join(folder, 'cloud')
  const cloud = spawn(process.execPath, ['node_modules/millwright/bin/millwright.mjs', 'cloud', '--json', '--data', data], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  cloud.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const ended = new Promise((done) => cloud.once('exit', done))
  try {
    await eventually(() => (output.includes('"ready"') ? true : undefined), { withinMs: 60_000, what: 'ready' })
    const target = join(data, 'connection.json')
    const summary = run('npx', ['millwright', 'simulate', '--devices', '2', '--rate', '5', '--for', '2s', '--target', target, '--json'])
    const counts = JSON.parse(summary.trim().split('\n').at(-1)!) as { published: number; acknowledged: number }
    expect(counts.acknowledged).toBe(counts.published)
  } finally {
    cloud.kill('SIGINT')
    await ended
  }
}, 120_000)

test('starts everything, and a fleet of its own publishes to it', async () => {
  const data = join(folder, 'data')
  const product = spawn(
    process.execPath,
    ['node_modules/millwright/bin/millwright.mjs', 'start', '--json', '--port', '0', '--data', data, '--devices', '2'],
    {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  let output = ''
  product.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const ended = new Promise((done) => product.once('exit', done))
  try {
    const ready = await eventually(() => /\{"event":"ready","url":"([^"]+)"\}/.exec(output)?.[1], { withinMs: 90_000, what: 'ready' })
    expect((await fetch(`${ready}/api/v1/health`)).status).toBe(200)
    expect(await (await fetch(ready)).text()).toContain('<title>Millwright</title>')
    const target = join(data, 'connection.json')
    expect(readFileSync(target, 'utf8')).toContain('iotHub')
    const summary = run('npx', ['millwright', 'simulate', '--devices', '2', '--rate', '5', '--for', '2s', '--target', target, '--json'])
    const counts = JSON.parse(summary.trim().split('\n').at(-1)!) as { published: number; acknowledged: number; errors: number }
    expect(counts.published).toBeGreaterThan(5)
    expect(counts).toMatchObject({ acknowledged: counts.published, errors: 0 })
  } finally {
    product.kill('SIGINT')
    await ended
  }
}, 150_000)
