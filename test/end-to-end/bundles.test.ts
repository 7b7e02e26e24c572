/** What is deployed starts from `dist/` alone, in a folder where nothing else is. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formatDeviceConnectionString } from '../../device-sim/device-credentials.ts'
import { deviceKeyOf } from '../../device-sim/provisioning.ts'
import { isRunning } from '../../journal/folder-lock.ts'
import type { ProcessMark } from '../../journal/folder-lock.ts'
import { WorkerThread } from '../../local-cloud/functions-host/worker-thread.ts'
import { cloudForTests } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { eventually } from '../support/eventually.ts'
import { root } from '../support/product.ts'

let cloud: CloudForTests
let folder: string
beforeAll(async () => {
  cloud = await cloudForTests()
  folder = mkdtempSync(join(tmpdir(), 'alone-'))
  for (const bundle of ['functions', 'edge', 'device']) cpSync(join(root, 'dist', bundle), join(folder, bundle), { recursive: true })
})
afterAll(async () => {
  await cloud.stop()
  rmSync(folder, { recursive: true })
})

/** Another Node may run what goes to devices and gateways: that of another processor, for example. */
const deviceNode = process.env.DEVICE_NODE ?? process.execPath

/** Runs a bundle with only these settings until it has said something, or ended. */
function run(script: string, environment: Record<string, string>, until: RegExp): Promise<{ code: number | null; output: string }> {
  return new Promise((done) => {
    const child = spawn(deviceNode, [script], {
      cwd: folder,
      env: { PATH: process.env.PATH ?? '', ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    const heard = (chunk: Buffer) => {
      output += chunk.toString()
      if (until.test(output)) child.kill('SIGTERM')
    }
    child.stdout.on('data', heard)
    child.stderr.on('data', heard)
    child.once('close', (code) => done({ code, output }))
  })
}

describe('the device bundle', () => {
  test('publishes this computer’s readings', async () => {
    const ca = join(folder, 'ca.pem')
    writeFileSync(ca, cloud.ca)
    const settings = {
      IOTHUB_DEVICE_CONNECTION_STRING: formatDeviceConnectionString(await cloud.device('alone-1')),
      IOTHUB_CA_FILE: ca,
      AGENT_INTERVAL_MS: '100',
    }
    const { code, output } = await run(join(folder, 'device', 'agent.cjs'), settings, /"event":"started"/)
    expect([code, output]).toEqual([0, expect.stringContaining('memoryUsedPct')])
  })
  test('enrols by the provisioning service with a key of its own', async () => {
    const { dps } = cloud.connection
    const settings = {
      IOTHUB_DEVICE_SECURITY_TYPE: 'DPS',
      IOTHUB_DEVICE_DPS_ENDPOINT: dps!.endpoint,
      IOTHUB_DEVICE_DPS_ID_SCOPE: dps!.idScope,
      IOTHUB_DEVICE_DPS_DEVICE_ID: 'alone-2',
      IOTHUB_DEVICE_DPS_DEVICE_KEY: deviceKeyOf(dps!.groupKey, 'alone-2'),
      IOTHUB_CA_FILE: join(folder, 'ca.pem'),
      AGENT_INTERVAL_MS: '100',
    }
    expect(await run(join(folder, 'device', 'agent.cjs'), settings, /"event":"started"/)).toMatchObject({
      code: 0,
      output: expect.stringContaining('"device":"alone-2"'),
    })
    const wrong = { ...settings, IOTHUB_DEVICE_DPS_DEVICE_KEY: Buffer.from('not its key').toString('base64') }
    // It goes on measuring, and asks again: the enrolment may be mended while it runs.
    expect(await run(join(folder, 'device', 'agent.cjs'), wrong, /answered 401 for 'alone-2'/)).toMatchObject({ code: 0 })
  })
  test.skipIf(process.platform === 'win32')('tells systemd that it is ready, and that it lives', async () => {
    // In the place of systemd's own program, one that writes down what it is told.
    const bin = join(folder, 'bin')
    const told = join(folder, 'told')
    mkdirSync(bin)
    writeFileSync(join(bin, 'systemd-notify'), `#!/bin/sh\necho "$1" >> ${told}\n`, { mode: 0o755 })
    const settings = {
      IOTHUB_DEVICE_CONNECTION_STRING: formatDeviceConnectionString(await cloud.device('alone-3')),
      IOTHUB_CA_FILE: join(folder, 'ca.pem'),
      AGENT_INTERVAL_MS: '100',
      NOTIFY_SOCKET: '/run/systemd/notify',
      WATCHDOG_USEC: '200000',
      PATH: `${bin}:${process.env.PATH}`,
    }
    const child = spawn(deviceNode, [join(folder, 'device', 'agent.cjs')], { cwd: folder, env: settings, stdio: 'ignore' })
    const ended = new Promise((done) => child.once('exit', done))
    const lines = () => (existsSync(told) ? readFileSync(told, 'utf8').trim().split('\n') : [])
    await eventually(() => (lines().filter((line) => line === 'WATCHDOG=1').length >= 3 ? true : undefined))
    child.kill('SIGTERM')
    await ended
    expect([lines()[0], lines().at(-1)]).toEqual(['READY=1', 'STOPPING=1'])
  })
  test('names all its wrong settings at once, without the key', async () => {
    const { code, output } = await run(
      join(folder, 'device', 'agent.cjs'),
      { IOTHUB_DEVICE_CONNECTION_STRING: 'HostName=h;SharedAccessKey=TOPSECRET', AGENT_INTERVAL_MS: 'soon' },
      /$^/,
    )
    expect(code).toBe(2)
    expect(output).toContain('lacks DeviceId')
    expect(output).toContain('AGENT_INTERVAL_MS')
    expect(output).not.toContain('TOPSECRET')
  })
})

test.each(['device/agent.cjs', 'edge/edge-module.cjs', 'functions/main.cjs'])('%s is held with one byte a letter', (bundle) => {
  const text = readFileSync(join(folder, bundle), 'utf8')
  expect(Buffer.from(text, 'latin1').toString('latin1') === text).toBe(true)
})

test.each(['device/agent.cjs', 'edge/edge-module.cjs'])('%s says at once when its Node is too old', async (bundle) => {
  const old = join(folder, 'old.cjs')
  writeFileSync(old, `Object.defineProperty(process.versions, 'node', { value: '20.11.0' })\nrequire('./${bundle}')\n`)
  expect(await run(old, {}, /$^/)).toEqual({ code: 2, output: 'Millwright needs Node 20.19 or later, this is 20.11.0\n' })
})

describe('the edge bundle', () => {
  test('starts, and says what the runtime must give it', async () => {
    expect(await run(join(folder, 'edge', 'edge-module.cjs'), {}, /$^/)).toMatchObject({
      code: 2,
      output: expect.stringContaining('MODULE_DATA'),
    })
    const { code, output } = await run(join(folder, 'edge', 'edge-module.cjs'), { MODULE_DATA: join(folder, 'module') }, /$^/)
    expect([code, output]).toEqual([1, expect.stringContaining('IOTEDGE_WORKLOADURI')])
  })
})

describe('the functions bundle', () => {
  test('registers its functions with any host, and names its wrong settings', async () => {
    const worker = await WorkerThread.start({
      workerFile: join(root, 'dist', 'local-cloud', 'functions-worker.cjs'),
      appFile: join(folder, 'functions', 'main.cjs'),
      environment: {},
      log: () => {},
    })
    const triggers = Object.fromEntries(
      worker.functions.map(({ name, bindings }) => [name, Object.values(bindings).find(({ type }) => type.endsWith('Trigger'))?.type]),
    )
    expect(triggers).toMatchObject({
      'ingest-telemetry': 'eventHubTrigger',
      'settle-alerts': 'queueTrigger',
      'sweep-alerts': 'timerTrigger',
      alerts: 'httpTrigger',
      'acknowledge-alert': 'httpTrigger',
    })
    const timer = worker.functions.find(({ name }) => name === 'sweep-alerts')!
    const attempt = worker.invoke('sweep-alerts', {
      inputData: [{ name: Object.keys(timer.bindings)[0]!, data: { json: '{}' } }],
      triggerMetadata: {},
    })
    await expect(attempt).rejects.toThrow(/settings are wrong(?=[\s\S]*AzureWebJobsStorage)(?=[\s\S]*OPERATOR_TOKEN)/)
    await worker.stop()
  })
})

describe('npm start', () => {
  test.skipIf(process.platform === 'win32')('keeps nothing of the build in memory', async () => {
    const copy = mkdtempSync(join(tmpdir(), 'built '))
    const left = ['node_modules', '.git', 'dist', '.millwright'].map((name) => join(root, name))
    cpSync(root, copy, { recursive: true, filter: (path) => !left.includes(path) })
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
    const program = `import('./bin/build.mjs').then(({ build }) => build()).then(() => console.log('built'))\nprocess.stdin.resume()`
    const builder = spawn(process.execPath, ['-e', program], { cwd: copy, stdio: ['pipe', 'pipe', 'inherit'] })
    try {
      await once(builder.stdout, 'data')
      const childrenOf = (pid: number) =>
        execFileSync('ps', ['-A', '-o', 'ppid=,args='], { encoding: 'utf8' })
          .split('\n')
          .filter((line) => Number.parseInt(line, 10) === pid)
      await eventually(() => (childrenOf(builder.pid!).length === 0 ? true : undefined), { what: 'the end of what built' })
    } finally {
      builder.kill()
      await once(builder, 'close')
      rmSync(copy, { recursive: true })
    }
  })
  test.skipIf(process.platform === 'win32')(
    'ends with npm, whoever ends that',
    async () => {
      const data = join(folder, 'npm-start')
      const npm = spawn('npm', ['start'], {
        cwd: root,
        env: { ...process.env, PORT: '0', MILLWRIGHT_DATA: data },
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let output = ''
      npm.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
      await eventually(() => (/^ready: http:\/\/127\.0\.0\.1:\d+$/m.test(output) ? true : undefined), { withinMs: 60_000, what: 'ready' })
      const { supervisor, children } = JSON.parse(readFileSync(join(data, 'start.lock'), 'utf8')) as {
        supervisor: ProcessMark
        children: ProcessMark[]
      }
      expect(children.length).toBeGreaterThanOrEqual(5)
      npm.kill('SIGTERM')
      await eventually(() => ([supervisor, ...children].some((mark) => isRunning(mark)) ? undefined : true), {
        withinMs: 6_000,
        what: 'the end of every process',
      })
    },
    90_000,
  )
})
