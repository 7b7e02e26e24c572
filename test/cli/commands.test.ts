/** The command line, as a person meets it: help, mistakes, and what doctor says. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import https from 'node:https'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { randomOf } from '../../device-sim/random.ts'
import { serverCertificate } from '../../local-cloud/security/certificates.ts'
import { eventually } from '../support/eventually.ts'
import { root, runCommand } from '../support/product.ts'

let folder: string
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'cli-'))))
afterAll(() => rmSync(folder, { recursive: true }))

const commands = ['start', 'cloud', 'simulate', 'agent', 'edge', 'functions', 'replay', 'detect', 'rebuild', 'sign-in', 'doctor']

describe('help', () => {
  test('every command has it, and the list names them all', async () => {
    const { code, stdout } = await runCommand(['--help'])
    expect(code).toBe(0)
    for (const name of commands) expect(stdout).toContain(`  ${name} `)
    const helps = await Promise.all(commands.map((name) => runCommand([name, '--help'])))
    for (const [index, help] of helps.entries())
      expect([help.code, help.stdout]).toEqual([0, expect.stringContaining(`usage: millwright ${commands[index]}`)])
  })
  test('wrong use ends with 2', async () => {
    expect((await runCommand([])).code).toBe(2)
    expect((await runCommand(['fly'])).code).toBe(2)
    expect((await runCommand(['start', '--wings'])).code).toBe(2)
  })
})

describe('settings', () => {
  test('every mistake is reported at once', async () => {
    const { code, stderr } = await runCommand(['start', '--devices', 'many'], { PORT: '99999999', MILLWRIGHT_DATA: folder })
    expect(code).toBe(2)
    expect(stderr).toContain('PORT')
    expect(stderr).toContain('--devices')
  })
  test('a port that is taken is said before anything is started', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise((done) => server.once('listening', done))
    const { port } = server.address() as AddressInfo
    const { code, stderr } = await runCommand(['start', '--data', join(folder, 'taken')], { PORT: String(port) })
    server.close()
    expect(code).toBe(1)
    expect(stderr).toContain(`port ${port} is taken`)
  })
  test('a data folder has one cloud: a second one, and a start beside it, are told who has it', async () => {
    const data = join(folder, 'one-cloud')
    const first = spawn(process.execPath, [join(root, 'bin', 'millwright.mjs'), 'cloud', '--data', data], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let said = ''
    first.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
    await eventually(() => (said.includes('ready:') ? true : undefined), { withinMs: 30_000, what: 'ready' })
    const refusal = { code: 1, stderr: expect.stringMatching(new RegExp(`process ${first.pid} has .*cloud\\.lock`)) }
    expect(await runCommand(['cloud', '--data', data, '--port', '0'])).toMatchObject(refusal)
    expect(await runCommand(['start', '--data', data, '--port', '0'])).toMatchObject(refusal)
    const ended = new Promise((done) => first.once('exit', done))
    first.kill('SIGTERM')
    expect(await ended).toBe(0)
  }, 60_000)
  test('a target that is not there, and a fault that no machine has', async () => {
    expect(await runCommand(['simulate', '--target', join(folder, 'nothing.json')])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('cannot be read'),
    })
    writeFileSync(join(folder, 'bad.json'), '{"iotHub": 5}')
    expect(await runCommand(['simulate', '--target', join(folder, 'bad.json')])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('iotHub'),
    })
    expect((await runCommand(['replay', join(folder, 'none.csv'), '--device', 'd'])).code).toBe(2)
  })
  test('a folder where a file is expected, and a number that nobody has set', async () => {
    const isFolder = { code: 2, stderr: expect.stringContaining(`'${folder}' is a folder`) }
    expect(await runCommand(['detect', folder])).toMatchObject(isFolder)
    expect(await runCommand(['replay', folder])).toMatchObject(isFolder)
    expect(await runCommand(['simulate', '--rate', ''])).toMatchObject({ code: 2, stderr: expect.stringContaining('--rate') })
  })
})

describe('doctor', () => {
  const doctor = async (args: string[], environment: Record<string, string> = {}) => {
    const { code, stdout } = await runCommand(['doctor', '--json', ...args], { MILLWRIGHT_DATA: join(folder, 'data'), ...environment })
    const findings = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { check: string; ok: boolean; detail: string })
    return { code, wrong: findings.filter(({ ok }) => !ok) }
  }
  test('says that a port is taken, and how to choose another', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise((done) => server.once('listening', done))
    const { code, wrong } = await doctor(['--port', String((server.address() as AddressInfo).port)])
    server.close()
    expect([code, wrong]).toEqual([
      1,
      [expect.objectContaining({ check: 'port', detail: expect.stringContaining('another program listens there') })],
    ])
  })
  test('says what is wrong with a connection string, and not what is secret in it', async () => {
    const good = {
      iotHub: 'HostName=localhost:1;SharedAccessKeyName=owner;SharedAccessKey=YWJj',
      eventHub: 'Endpoint=sb://localhost:1;SharedAccessKeyName=a;SharedAccessKey=b;EntityPath=c',
      storage: 'AccountName=a;AccountKey=YWJj',
    }
    const target = join(folder, 'connection.json')
    const wrongWith = async (change: object) => {
      writeFileSync(target, JSON.stringify({ ...good, ...change }))
      return (await doctor(['--port', '0', '--target', target])).wrong
    }
    expect(await wrongWith({ iotHub: 'HostName=localhost:1;SharedAccessKey=TOPSECRET' })).toEqual([
      expect.objectContaining({ check: 'iotHub', detail: expect.stringContaining('lacks SharedAccessKeyName') }),
    ])
    expect(await wrongWith({ storage: 'AccountName=a;AccountKey=cut short' })).toEqual(
      expect.arrayContaining([expect.objectContaining({ check: 'storage', detail: expect.stringContaining('not base64') })]),
    )
    expect(JSON.stringify(await wrongWith({ iotHub: 'HostName=h;SharedAccessKeyName=n;SharedAccessKey=TOPSECRET' }))).not.toContain(
      'TOPSECRET',
    )
    expect(await wrongWith({})).toEqual([expect.objectContaining({ check: 'hub', detail: expect.stringContaining('cannot be reached') })])
  })
})

describe('doctor and the clock', () => {
  test('says when this computer and the hub do not agree on the time', async () => {
    const certificate = await serverCertificate(join(folder, 'certificates'))
    const hub = https.createServer({ key: certificate.key, cert: certificate.cert }, (_, response) => {
      response.setHeader('date', new Date(Date.now() + 3_600_000).toUTCString())
      response.end()
    })
    await new Promise<void>((done) => hub.listen(0, '127.0.0.1', done))
    const connection = {
      iotHub: `HostName=localhost:${(hub.address() as AddressInfo).port};SharedAccessKeyName=owner;SharedAccessKey=YWJj`,
      eventHub: 'Endpoint=sb://localhost:1;SharedAccessKeyName=a;SharedAccessKey=b;EntityPath=c',
      storage: 'AccountName=a;AccountKey=YWJj',
      ca: certificate.caFile,
    }
    const target = join(folder, 'skewed.json')
    writeFileSync(target, JSON.stringify(connection))
    const { code, stdout } = await runCommand(['doctor', '--port', '0', '--target', target], { MILLWRIGHT_DATA: join(folder, 'data') })
    hub.close()
    expect([code, stdout]).toEqual([1, expect.stringMatching(/WRONG {2}clock +differs from the hub by (3599|3600|3601) s/)])
  })
})

describe('detect', () => {
  const longSeries = (count: number) => {
    const file = join(folder, 'long.csv')
    const at = (index: number) => new Date(Date.UTC(2024, 0, 1) + index * 1000).toISOString()
    writeFileSync(file, `timestamp,value\n${Array.from({ length: count }, (_, index) => `${at(index)},${index % 7}`).join('\n')}\n`)
    return file
  }

  test('ends in silence when its reader has seen enough', async () => {
    const child = spawn(process.execPath, [join(root, 'dist', 'cli', 'main.mjs'), 'detect', longSeries(20_000)])
    let said = ''
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
    child.stdout.once('data', () => child.stdout.destroy())
    const code = await new Promise<number | null>((resolve) => child.once('exit', resolve))
    expect([said, code]).toEqual(['', 0])
  })

  test('writes every row, also to a reader that is slow', async () => {
    const count = 20_000
    const file = longSeries(count)
    const child = spawn(process.execPath, [join(root, 'dist', 'cli', 'main.mjs'), 'detect', file], { stdio: ['ignore', 'pipe', 'inherit'] })
    let lines = 0
    const exited = new Promise<number | null>((resolve) => child.once('close', resolve))
    for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
      lines += chunk.toString().split('\n').length - 1
      // A reader with work of its own to do between two pieces.
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    expect([await exited, lines]).toEqual([0, count + 1])
  })

  test('scores a series as it comes, and stands out where it should', async () => {
    const file = join(folder, 'series.csv')
    const value = (index: number) => (index >= 150 && index < 160 ? 40 : 20 + Math.sin(index * 1.7) * 0.5)
    writeFileSync(
      file,
      `timestamp,value\n${Array.from({ length: 200 }, (_, index) => `2024-01-01 ${String(Math.floor(index / 60)).padStart(2, '0')}:${String(index % 60).padStart(2, '0')}:00,${value(index)}`).join('\n')}\n`,
    )
    const { code, stdout } = await runCommand(['detect', file])
    const [header, ...rows] = stdout.trim().split('\n')
    expect([code, header, rows.length]).toEqual([0, 'timestamp,value,anomaly_score,expected_min,expected_max,detector,state', 200])
    const scores = rows.map((row) => Number(row.split(',')[2]))
    expect(Math.max(...scores.slice(0, 150))).toBeLessThan(0.5)
    // Told once, at its onset.
    expect(scores[150]).toBeGreaterThan(0.5)
    expect(Math.max(...scores.slice(151))).toBeLessThan(0.5)
    // Nothing after a value may change its score.
    const shorter = join(folder, 'shorter.csv')
    writeFileSync(shorter, readFileSync(file, 'utf8').split('\n').slice(0, 121).join('\n'))
    expect((await runCommand(['detect', shorter])).stdout.trim()).toBe([header, ...rows.slice(0, 120)].join('\n'))
  })

  test('goes on where a value is missing, and says which line is no number', async () => {
    const file = join(folder, 'missing.csv')
    const rows = (values: readonly string[]) =>
      `timestamp,value\n${values.map((value, index) => `${1_700_000_000 + 60 * index},${value}`).join('\n')}\n`
    writeFileSync(file, rows(['20', '', 'NaN', '21']))
    const { code, stdout } = await runCommand(['detect', file])
    const states = stdout
      .trim()
      .split('\n')
      .map((row) => row.split(','))
      .map(([, value, score, , , , state]) => [value, score, state])
    expect([code, ...states.slice(1)]).toEqual([
      0,
      ['20', '0.000000', 'learning'],
      ['', '0.000000', 'missing'],
      ['NaN', '0.000000', 'missing'],
      ['21', '0.000000', 'learning'],
    ])
    const steady = Array.from({ length: 40 }, (_, index) => String(20 + (index % 7) / 10))
    writeFileSync(file, rows([...steady, ...Array.from({ length: 60 }, () => '')]))
    const overdue = (await runCommand(['detect', file])).stdout.split('\n').filter((row) => !row.endsWith(',0.000000,,,,missing'))
    expect(overdue.filter((row) => row.endsWith('missing'))).toEqual(['1700003600,,0.500000,20.4,20.4,missing,missing'])
    writeFileSync(file, rows(['20', 'broken']))
    expect(await runCommand(['detect', file])).toMatchObject({ code: 2, stderr: expect.stringContaining("line 3: 'broken' is no number") })
  })

  test('scores the signals of a machine by themselves and by each other', async () => {
    const file = join(folder, 'machine.csv')
    const random = randomOf('machine')
    const rows = Array.from({ length: 12_000 }, (_, index) => {
      const lost = Math.min(4, 0.02 * Math.max(0, index - 11_000))
      const pressure = 6 + Math.sin(index / 50) + 0.02 * random.normal()
      const flow = 10 * pressure + 0.1 * random.normal() - lost
      return `${1_700_000_000 + index},${pressure},${index === 100 ? '' : flow},${lost > 0 ? 'a leak' : 'fine'}`
    })
    writeFileSync(file, `timestamp,"pressure, bar",flow,label\n${rows.join('\n')}\n`)
    const refused = (stderr: string) => ({ code: 2, stderr: expect.stringContaining(stderr) })
    expect(await runCommand(['detect', file])).toMatchObject(refused("line 2: 'fine' is no number, in column label"))
    expect(await runCommand(['detect', file, '--signal', 'level'])).toMatchObject(
      refused('has no column level; it has timestamp, pressure, bar, flow'),
    )

    const scored = async (...signals: string[]) => {
      const { code, stdout } = await runCommand(['detect', file, ...signals.flatMap((signal) => ['--signal', signal])])
      const [header, ...lines] = stdout.trim().split('\n')
      const alerts = lines.filter((line) => Number(line.split(',').at(-5)) >= 0.5)
      return { code, header, lines, alerts }
    }
    const alone = await scored('flow')
    expect(alone).toMatchObject({ code: 0, header: 'timestamp,value,anomaly_score,expected_min,expected_max,detector,state', alerts: [] })
    expect(alone.lines).toHaveLength(12_000)

    // The flow is well within what it does, but not what it does at such a pressure.
    const together = await scored('pressure, bar', 'flow')
    expect(together.header).toBe('timestamp,signal,value,anomaly_score,expected_min,expected_max,detector,state')
    expect(together.lines).toHaveLength(24_000)
    expect(together.lines[201]).toBe('1700000100,flow,,0.000000,,,,missing')
    expect(together.alerts).toEqual([expect.stringMatching(/^1700011\d\d\d,("pressure, bar"|flow),.*,relation,judged$/)])
  })

  test('takes the only other column for the values, and says what it misses', async () => {
    const file = join(folder, 'columns.csv')
    writeFileSync(file, 'time,cpu\n2024/01/01 00:00,20\n2024/01/01 00:01,21\n')
    const { code, stdout } = await runCommand(['detect', file])
    expect([code, stdout.split('\n')[2]]).toEqual([0, expect.stringMatching(/^2024\/01\/01 00:01,21,0\.000000,.*learning$/)])
    writeFileSync(file, 'when,value\n2024-01-01,20\n')
    expect(await runCommand(['detect', file])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('must have the columns timestamp and value; it has when, value'),
    })
  })
})

describe('agent', () => {
  test('reads what this computer has, and invents nothing', async () => {
    const { code, stdout } = await runCommand(['agent', '--once', '--json'])
    const values = JSON.parse(stdout) as Record<string, unknown>
    expect(code).toBe(0)
    expect(values).toMatchObject({ memoryUsedPct: expect.any(Number) })
    for (const value of Object.values(values)) expect(Number.isFinite(value)).toBe(true)
  })
})

describe('backtest', () => {
  test('lists the alerts that another configuration would add, remove or move', async () => {
    const file = join(folder, 'backtest.csv')
    const value = (index: number) => (index >= 150 && index < 160 ? 22.5 : 20 + Math.sin(index * 1.7) * 0.5)
    const rows = Array.from({ length: 200 }, (_, index) => `${new Date(1.7e12 + index * 60_000).toISOString()},${value(index)}`)
    writeFileSync(file, `timestamp,flow\n${rows.join('\n')}\n`)
    const config = join(folder, 'new.json')
    writeFileSync(config, JSON.stringify({ detection: { rollingScore: 100, marginRanges: 10 } }))
    const { code, stdout } = await runCommand(['backtest', file, '--config', config, '--json'])
    const lines = stdout
      .trim()
      .split('\n')
      .map((text) => JSON.parse(text) as Record<string, unknown>)
    expect(code).toBe(0)
    expect(lines.at(-1)).toMatchObject({ samples: 200, added: 0, removed: 1 })
    expect(lines[0]).toMatchObject({ change: 'removed', signal: 'flow' })
    writeFileSync(config, '{ "detection": { "sensitivity": 1 } }')
    expect((await runCommand(['backtest', file, '--config', config])).code).toBe(2)
    expect((await runCommand(['backtest', file])).code).toBe(2)
  })
})
