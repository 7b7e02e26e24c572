/** From one command to an explained alert that an operator acknowledges: the whole product, as a person uses it. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { AxeBuilder } from '@axe-core/playwright'
import { EventHubProducerClient } from '@azure/event-hubs'
import type { Browser, BrowserContextOptions } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import {
  AlertDetail,
  AlertExplanation,
  AlertList,
  DeadLetterList,
  DeviceList,
  DeviceView,
  Health,
  LedgerView,
  ReadingsView,
  SilenceExplanation,
} from '../../contract/api.ts'
import { launch } from '../browser/chromium.ts'
import { eventually } from '../support/eventually.ts'
import { connectDevice } from '../support/mqtt-device.ts'
import { openPage as openProductPage } from '../support/page.ts'
import { listeningAddresses, newFolder, processTree, removeFolder, root, runCommand, startProduct } from '../support/product.ts'
import type { Product } from '../support/product.ts'

const folder = newFolder()
const output = join(root, 'test', 'output')
/** With this set, the pictures of the documentation are taken anew. */
const pictures = process.env.MILLWRIGHT_UPDATE_PICTURES ? join(root, 'docs', 'images') : output
const nab = join(root, '..', 'shared', 'data', 'nab', 'data', 'realAWSCloudwatch')

let product: Product
let browser: Browser
let readyAtMs = 0

beforeAll(async () => {
  mkdirSync(pictures, { recursive: true })
  mkdirSync(output, { recursive: true })
  ;[product, browser] = await Promise.all([startProduct(folder), launch(inject('browser'))])
  readyAtMs = Date.now()
}, 120_000)

afterAll(async () => {
  await browser?.close()
  await product?.stop()
  removeFolder(folder)
})

/** A page of its own; every error in it fails the test that asked. */
const openPage = (path: string, options: BrowserContextOptions = {}, { signedIn = true } = {}) =>
  openProductPage(browser, product, path, { ...options, ...(signedIn ? {} : { who: 'nobody' as const }) })

describe('from one command to the first alert', () => {
  test('everything is ready in time, and at least 21 devices of many kinds report', async () => {
    expect(product.readyMs).toBeLessThan(90_000)
    const devices = await eventually(async () => {
      const { devices: all } = await product.get('devices', DeviceList.parse)
      return all.length >= 25 ? all : undefined
    })
    // Eight kinds of machine, and this computer.
    expect(new Set(devices.map(({ kind }) => kind)).size).toBe(9)
    expect(await product.get('health', Health.parse)).toMatchObject({ status: 'ok', signedIn: false })
  })

  test('within a minute the alert for the injected fault stands on the page, with its explanation', async () => {
    const { page, problems } = await openPage('/')
    const alert = page.locator('.alert', { hasText: 'pump-002' })
    await alert.waitFor({ timeout: 60_000 })
    expect(Date.now() - readyAtMs).toBeLessThan(60_000)
    expect(await alert.innerText()).toMatch(/Vibration is (unusually high|[\d.]+ mm\/s, above its limit)/)
    const { alerts } = await product.get('alerts', AlertList.parse)
    expect(alerts).toMatchObject([{ deviceId: 'pump-002', signal: 'vibrationMmPerS', state: 'active-unacknowledged' }])
    expect(alerts[0]!.evidence.window.values.length).toBeGreaterThan(20)
    const truth = JSON.parse(readFileSync(join(folder, 'truth.ndjson'), 'utf8').split('\n')[0]!) as { deviceId: string; onset: string }
    expect(truth.deviceId).toBe('pump-002')
    expect(alerts[0]!.evidence.firstSeenMs).toBeGreaterThanOrEqual(Date.parse(truth.onset))
    expect(problems).toEqual([])
    await page.context().close()
  }, 80_000)

  test('the bearing goes on failing: the alert escalates, and stays one alert', async () => {
    const alert = await eventually(
      async () => {
        const { alerts } = await product.get('alerts', AlertList.parse)
        return alerts.find(({ condition }) => condition === 'high-high')
      },
      { withinMs: 40_000 },
    )
    expect(alert).toMatchObject({ deviceId: 'pump-002', priority: 'high', evidence: { detector: 'hard-limit', expectedMax: 7.1 } })
    expect((await product.get('alerts?device=pump-002&state=all', AlertList.parse)).alerts).toHaveLength(1)
  }, 60_000)

  test('the service department has it, as one work order', async () => {
    const { alerts } = await product.get('alerts', AlertList.parse)
    const detail = await eventually(async () => {
      const found = await product.get(`alerts/${alerts[0]!.alertId}`, AlertDetail.parse)
      return found.deliveries[0]?.status === 'delivered' ? found : undefined
    })
    expect(detail.deliveries[0]).toMatchObject({
      transition: 'raised',
      channel: 'webhook',
      status: 'delivered',
      attempts: 1,
      lastError: '',
      workOrder: 'WO-0001',
    })
    const orders = readFileSync(join(folder, 'service-department', 'work-orders.ndjson'), 'utf8')
      .trim()
      .split('\n')
    expect(orders).toHaveLength(1)
  })

  test('the alert is recomputed from its evidence, bit for bit, and a quiet signal says what came nearest to one', async () => {
    const { alerts } = await product.get('alerts', AlertList.parse)
    const explained = await product.get(`alerts/${alerts[0]!.alertId}/explain`, AlertExplanation.parse)
    expect(explained).toMatchObject({ isReproduced: true, recomputed: { detector: explained.evidence.detector } })
    const span = `from=${Date.now() - 30_000}&to=${Date.now()}`
    const silence = await product.get(`devices/pump-001/explain?signal=flowM3PerH&${span}`, SilenceExplanation.parse)
    expect(silence).toMatchObject({ abnormalReadings: 0, wouldBegin: 0, openAlerts: [] })
    expect(silence.readings).toBeGreaterThan(0)
    expect(silence.learning).toContain('season')
  })

  test('readings are exported as a job: accepted, finished, fetched', async () => {
    const request = { devices: ['pump-001'], from: new Date(readyAtMs - 3_600_000), to: new Date(Date.now() + 60_000), format: 'ndjson' }
    const ask = (headers: Record<string, string>) =>
      fetch(`${product.url}/api/v1/exports`, { method: 'POST', headers, body: JSON.stringify(request) })
    expect((await ask({})).status).toBe(401)
    const accepted = await ask({ authorization: `Bearer ${product.operatorToken()}` })
    expect(accepted.status).toBe(202)
    const address = accepted.headers.get('location')!
    const job = await eventually(async () => {
      const status = (await (await fetch(product.url + address)).json()) as { status: string; readings: number; content: string }
      return status.status === 'finished' ? status : undefined
    })
    const rows = (await (await fetch(product.url + job.content)).text()).trim().split('\n')
    expect(rows).toHaveLength(job.readings)
    expect(JSON.parse(rows[0]!)).toMatchObject({ device: 'pump-001', value: expect.any(Number), seq: expect.any(Number) })
  })

  test('somebody who is not signed in reads, and may not act', async () => {
    const { alerts } = await product.get('alerts', AlertList.parse)
    const acknowledge = (headers: Record<string, string>) =>
      fetch(`${product.url}/api/v1/alerts/${alerts[0]!.alertId}/acknowledge`, { method: 'POST', headers, body: '{}' })
    expect((await acknowledge({})).status).toBe(401)
    expect((await acknowledge({ authorization: 'Bearer wrong' })).status).toBe(401)
    const { page } = await openPage('/', {}, { signedIn: false })
    await page.getByText('You are reading').waitFor()
    await page.locator('.alert button').first().click()
    expect(await page.getByRole('alert').innerText()).toContain('sign-in link')
    await page.context().close()
  })

  test.each(['//', '/%', '/api/v1/%zz', 'http://elsewhere/', '/..%2f..%2fetc%2fpasswd', '*'])(
    'the address %s is answered, and harms nobody',
    async (path) => {
      const { request } = await import('node:http')
      const { hostname, port } = new URL(product.url)
      const status = await new Promise((done) =>
        request({ hostname, port, path, headers: { host: `${hostname}:${port}` } }, (response) => done(response.statusCode)).end(),
      )
      expect([200, 400, 404]).toContain(status)
      expect((await product.get('health', Health.parse)).status).toBe('ok')
    },
  )

  test('another site cannot reach the page by a name that points here', async () => {
    const { request } = await import('node:http')
    const status = await new Promise((done) =>
      request(product.url, { headers: { host: 'evil.example' } }, (response) => done(response.statusCode)).end(),
    )
    expect(status).toBe(421)
  })

  test('the alert’s page draws the window and says what to do; acknowledging closes the loop', async () => {
    const { page, problems } = await openPage('/')
    await page.locator('.alert a', { hasText: 'pump-002' }).click()
    await page.getByText('Stop the pump, check bearing and coupling').waitFor()
    await page.locator('.plot canvas').first().waitFor()
    await page.getByLabel('Note').fill('Bearing noise confirmed')
    await page.getByRole('button', { name: 'Acknowledge' }).click()
    await page.getByText('Acknowledged by operator: “Bearing noise confirmed”').waitFor()
    const { alerts } = await product.get('alerts', AlertList.parse)
    expect(alerts[0]).toMatchObject({ state: 'active-acknowledged', acknowledged: { by: 'operator', note: 'Bearing noise confirmed' } })
    const again = await fetch(`${product.url}/api/v1/alerts/${alerts[0]!.alertId}/acknowledge`, {
      method: 'POST',
      headers: { authorization: `Bearer ${product.operatorToken()}` },
      body: '{}',
    })
    expect(again.status).toBe(409)
    expect(problems).toEqual([])
    await page.context().close()
  })

  test('a device’s charts are alive', async () => {
    const { page, problems } = await openPage('/devices/pump-002')
    await page.locator('[data-signal="vibrationMmPerS"] canvas').waitFor()
    expect(await page.locator('.charts figure').count()).toBe(5)
    const label = () => page.locator('[data-signal="vibrationMmPerS"] [role="img"]').getAttribute('aria-label')
    const before = await label()
    await eventually(async () => ((await label()) === before ? undefined : true))
    expect(problems).toEqual([])
    await page.context().close()
  })

  test('every sensor is in exactly one state, and the sum is the plant', async () => {
    const { page } = await openPage('/')
    await page.locator('.tile').first().waitFor()
    const figures = await page.locator('.counts > div').evaluateAll((rows) =>
      rows.map((row) => ({
        name: row.querySelector('dt')!.textContent,
        value: Number(row.querySelector('dd')!.textContent),
        isState: row.getAttribute('data-part') === 'true',
      })),
    )
    const states = figures.filter(({ isState }) => isState)
    expect(states).toHaveLength(7)
    expect(states.reduce((sum, { value }) => sum + value, 0)).toBe(figures.find(({ name }) => name === 'Sensors')?.value)
    await page.context().close()
  })

  test('the ledger adds up', async () => {
    const { total, devices } = await product.get('ledger', LedgerView.parse)
    expect(total.published).toBeGreaterThan(1_000)
    expect(total.stored + total.filtered + total.deadLettered + total.expired + total.inFlight).toBe(total.published)
    expect(devices.filter(({ unexplained }) => unexplained !== 0)).toEqual([])
    expect(total.filtered).toBeGreaterThan(total.published / 4)
  })

  test('an ETag saves the second answer', async () => {
    const first = await fetch(`${product.url}/api/v1/alerts?state=normal`)
    const second = await fetch(`${product.url}/api/v1/alerts?state=normal`, { headers: { 'if-none-match': first.headers.get('etag')! } })
    expect([first.status, second.status]).toEqual([200, 304])
  })

  test.each([
    'alerts/none',
    'alerts/0123456789abcdef',
    'devices/nobody',
    'devices/pump-002/readings',
    'alerts?state=sideways',
    'devices/pump-002/readings?signal=flowM3PerH&from=9&to=3',
  ])('%s is answered with a problem, not a stack', async (path) => {
    const response = await fetch(`${product.url}/api/v1/${path}`)
    expect([400, 404]).toContain(response.status)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(await response.json()).toMatchObject({ status: response.status, title: expect.any(String), detail: expect.any(String) })
  })
})

describe('input that is bad', () => {
  test('is set aside with its reason, while neighbours go on', async () => {
    const { connection } = product.connection()
    const device = await connectDevice(product, 'careless')
    await device.send('this is not JSON')
    await device.send('{"temperature": NaN}')
    await device.send('{"name":"no number"}')
    await device.send('{"temperature": 21}')
    await device.end()
    const producer = new EventHubProducerClient(connection.eventHub)
    await producer.sendBatch([{ body: { temperature: 21 } }])
    await producer.sendBatch([{ body: Buffer.alloc(300_000, 0x20), properties: {} }])
    await producer.close()
    const letters = await eventually(async () => {
      const { deadLetters } = await product.get('dead-letters', DeadLetterList.parse)
      return deadLetters.length >= 5 ? deadLetters : undefined
    })
    expect(letters.map(({ deviceId, reason }) => `${deviceId} ${reason}`).sort()).toEqual([
      '(unknown) too-large',
      '(unknown) unknown-device',
      'careless not-finite',
      'careless not-json',
      'careless not-telemetry',
    ])
    expect(letters.find(({ reason }) => reason === 'not-json')?.preview).toBe('this is not JSON')
    // Pages are shown what is new twice a second.
    const careless = await eventually(async () => {
      const device = await product.get('devices/careless', DeviceView.parse)
      return device.ledger.published >= 4 ? device : undefined
    })
    expect(careless).toMatchObject({
      signals: [{ signal: 'temperature', value: 21 }],
      ledger: { published: 4, stored: 1, deadLettered: 3, unexplained: 0 },
    })
  })
})

describe('recorded data', () => {
  test('is published through the same protocol', async () => {
    const file = join(folder, 'recorded.csv')
    const rows = Array.from(
      { length: 500 },
      (_, index) =>
        `${new Date(Date.UTC(2024, 0, 1) + index * 300_000).toISOString().slice(0, 19).replace('T', ' ')},${(20 + Math.sin(index / 20)).toFixed(3)}`,
    )
    writeFileSync(file, `timestamp,value\n${rows.join('\n')}\n`)
    const { code, stdout } = await runCommand([
      'replay',
      file,
      '--device',
      'recorded-1',
      '--speed',
      'max',
      '--json',
      '--target',
      join(folder, 'connection.json'),
    ])
    expect([code, JSON.parse(stdout)]).toMatchObject([0, { samples: 500, published: 500, acknowledged: 500, errors: 0 }])
    const device = await eventually(async () => {
      const found = await product.get('devices/recorded-1', DeviceView.parse)
      return found.ledger.stored === 500 ? found : undefined
    })
    expect(device.ledger.unexplained).toBe(0)
    const readings = await product.get(
      'devices/recorded-1/readings?signal=value&from=2024-01-01T00:00:00Z&to=2024-01-03T00:00:00Z',
      ReadingsView.parse,
    )
    expect(readings.count.reduce((sum, count) => sum + count, 0)).toBe(500)
    expect(readings.timesMs.length).toBeLessThanOrEqual(1_000)
    expect(readings.interpolation).toBe('linear')
  })

  test.skipIf(!existsSync(nab))('of the Numenta benchmark is taken as it is', async () => {
    const { code, stdout } = await runCommand([
      'replay',
      join(nab, 'ec2_cpu_utilization_5f5533.csv'),
      '--device',
      'nab-1',
      '--json',
      '--target',
      join(folder, 'connection.json'),
    ])
    expect([code, JSON.parse(stdout)]).toMatchObject([0, { samples: 4032, acknowledged: 4032 }])
    await eventually(async () => ((await product.get('devices/nab-1', DeviceView.parse)).ledger.stored === 4032 ? true : undefined))
  })
})

describe('the page for everybody', () => {
  const readyMark = { overview: '.tile', alert: 'canvas', device: 'canvas', pipeline: 'table', alerts: '.alert', kpis: 'table' } as const
  const contexts: [string, BrowserContextOptions][] = [
    ['light', { colorScheme: 'light' }],
    ['dark', { colorScheme: 'dark' }],
    ['phone', { colorScheme: 'light', viewport: { width: 390, height: 844 } }],
  ]
  test.each(contexts)(
    'passes the accessibility checks: %s',
    async (name, options) => {
      const { alerts } = await product.get('alerts', AlertList.parse)
      for (const [view, path] of [
        ['overview', '/'],
        ['alert', `/alerts/${(alerts.find(({ deviceId }) => deviceId === 'pump-002') ?? alerts[0])!.alertId}`],
        ['device', '/devices/pump-002'],
        ['pipeline', '/pipeline'],
        ['alerts', '/alerts'],
        ['kpis', '/kpis'],
      ] as const) {
        const { page, problems } = await openPage(path, options)
        await page.locator(readyMark[view]).first().waitFor()
        const { violations } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']).analyze()
        expect(violations.map(({ id, nodes }) => `${view} ${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(' | ')}`)).toEqual([])
        const width = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
        expect(width, `${view} is wider than the screen`).toBeLessThanOrEqual(0)
        await page.screenshot({ path: join(pictures, `${view}-${name}.png`) })
        expect(problems).toEqual([])
        await page.context().close()
      }
    },
    60_000,
  )

  test('and the checks would notice', async () => {
    const { page } = await openPage('/')
    await page.locator('.tile').first().waitFor()
    await page.evaluate(() => {
      const faint = document.createElement('p')
      faint.textContent = 'too faint to read'
      faint.style.color = '#cfcfcf'
      faint.style.background = '#ffffff'
      document.querySelector('main')!.append(faint)
    })
    const { violations } = await new AxeBuilder({ page }).withTags(['wcag2aa']).analyze()
    expect(violations.map(({ id }) => id)).toContain('color-contrast')
    await page.context().close()
  })

  test('weighs no more than 100 KB of script', async () => {
    const response = await fetch(`${product.url}/app.js`, { headers: { 'accept-encoding': 'gzip' } })
    const { gzipSync } = await import('node:zlib')
    expect(gzipSync(Buffer.from(await response.arrayBuffer())).length).toBeLessThan(100 * 1024)
  })
})

describe('the process tree', () => {
  test.skipIf(process.platform !== 'linux')('listens on loopback alone', () => {
    const addresses = processTree(product.process.pid!).flatMap(({ pid }) => listeningAddresses(pid))
    expect(addresses.length).toBeGreaterThan(5)
    expect(addresses.filter((address) => !address.startsWith('127.'))).toEqual([])
  })

  test('no log holds a key', async () => {
    const { connection } = product.connection()
    const secrets = [
      /SharedAccessKey=([^;]+)/.exec(connection.iotHub)![1]!,
      product.operatorToken(),
      readFileSync(join(folder, 'webhook-secret'), 'utf8').trim(),
    ]
    const { readdirSync } = await import('node:fs')
    for (const name of readdirSync(join(folder, 'logs'))) {
      const text = readFileSync(join(folder, 'logs', name), 'utf8')
      for (const secret of secrets) expect(text.includes(secret), name).toBe(false)
    }
  })

  test('doctor finds nothing wrong while it runs', async () => {
    const { code, stdout } = await runCommand(
      ['doctor', '--json', '--port', new URL(product.url).port, '--target', join(folder, 'connection.json')],
      { MILLWRIGHT_DATA: folder },
    )
    const findings = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { check: string; ok: boolean })
    expect(findings.filter(({ ok }) => !ok)).toEqual([])
    expect(code).toBe(0)
    expect(findings.map(({ check }) => check)).toEqual([
      'node',
      'port',
      'data folder',
      'disk',
      'iotHub',
      'eventHub',
      'storage',
      'hub',
      'clock',
      'group functions',
      'group replay',
    ])
  })

  test.skipIf(process.platform !== 'linux')(
    'ends within five seconds of Ctrl-C, and the next start continues with the data',
    async () => {
      const tree = processTree(product.process.pid!).map(({ pid }) => pid)
      const { total } = await product.get('ledger', LedgerView.parse)
      const { alerts } = await product.get('alerts?state=all', AlertList.parse)
      expect(await product.stop()).toBeLessThan(5_000)
      expect(tree.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([])
      product = await startProduct(folder)
      const after = await eventually(async () => {
        const ledger = await product.get('ledger', LedgerView.parse)
        return ledger.total.published > total.published + 200 ? ledger : undefined
      })
      expect(after.devices.filter(({ unexplained }) => unexplained !== 0)).toEqual([])
      const { alerts: kept } = await product.get('alerts?state=all', AlertList.parse)
      expect(kept.map(({ alertId }) => alertId)).toEqual(expect.arrayContaining(alerts.map(({ alertId }) => alertId)))
      expect(kept.find(({ deviceId }) => deviceId === 'pump-002')?.acknowledged?.note).toBe('Bearing noise confirmed')
    },
    60_000,
  )
})
