/** An operator's shift on the running product: by clicks and by keyboard, live, in a storm, with a cut line, and under attack. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { QueueServiceClient } from '@azure/storage-queue'
import { WebPubSubServiceClient } from '@azure/web-pubsub'
import { Validator } from '@seriousme/openapi-schema-validator'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { acknowledgeCode } from '../../cloud-functions/alerting/message-links.ts'
import { signInCode } from '../../cloud-functions/api/identity.ts'
import { alertRow, appendEvent } from '../../cloud-functions/store/alert-store.ts'
import { outboxOf, updateOutbox } from '../../cloud-functions/store/outbox-store.ts'
import { intoTransactions, openTables } from '../../cloud-functions/store/tables.ts'
import type { Tables } from '../../cloud-functions/store/tables.ts'
import { AlertDetail, AlertItems, AlertList, DeadLetterList, DeviceList, DeviceView, Kpis, liveHub } from '../../contract/api.ts'
import type { AlertEvent } from '../../contract/alert.ts'
import { launch } from '../browser/chromium.ts'
import { alertOf, idOf, raisedEvent } from '../support/alerts.ts'
import { answersOf } from '../support/api-description.ts'
import type { ApiDocument } from '../support/api-description.ts'
import { eventually } from '../support/eventually.ts'
import { connectDevice } from '../support/mqtt-device.ts'
import { openPage } from '../support/page.ts'
import { newFolder, removeFolder, root, runCommand, startProduct } from '../support/product.ts'
import type { Product } from '../support/product.ts'

const folder = newFolder()
let product: Product
let browser: Browser
let tables: Tables
let queue: { sendMessage(text: string): Promise<unknown> }

beforeAll(async () => {
  ;[product, browser] = await Promise.all([startProduct(folder, ['--devices', '3', '--no-fault']), launch(inject('browser'))])
  const { connection } = product.connection()
  tables = await openTables(connection.storage)
  queue = QueueServiceClient.fromConnectionString(connection.storage).getQueueClient('alert-transitions')
}, 120_000)

afterAll(async () => {
  await browser?.close()
  await product?.stop()
  removeFolder(folder)
})

/** Something happened to an alert: as the hot path writes it, history first, then the hint. */
async function happens(event: AlertEvent): Promise<void> {
  await appendEvent(tables, event, '0000000000000001')
  await queue.sendMessage(Buffer.from(JSON.stringify({ alertId: event.alertId })).toString('base64'))
}

let used = 0
/** A new alert on a device of its own; its id. */
async function raise(changes: Partial<Parameters<typeof raisedEvent>[0]> = {}): Promise<string> {
  used++
  const alertId = changes.alertId ?? idOf(0xa000 + used)
  await happens(raisedEvent({ deviceId: `unit-${used}`, alertId, atMs: Date.now(), priority: 'medium', ...changes }))
  await eventually(async () => ((await fetch(`${product.url}/api/v1/alerts/${alertId}`)).ok ? true : undefined))
  return alertId
}

const bearer = () => ({ authorization: `Bearer ${product.operatorToken()}` })
const act = (alertId: string, action: string, body: unknown = {}, headers: Record<string, string> = bearer()) =>
  fetch(`${product.url}/api/v1/alerts/${alertId}/${action}`, { method: 'POST', headers, body: JSON.stringify(body) })
const detail = (alertId: string) => product.get(`alerts/${alertId}`, AlertDetail.parse)
const openItems = () => product.get('alerts?view=list&limit=20000', AlertItems.parse)

describe('by clicks and by keyboard', () => {
  test('a new alert appears by the live channel, is acknowledged by a click, with a note by keyboard, shelved and cleared', async () => {
    const { page, problems, close } = await openPage(browser, product, '/alerts', { who: { name: 'ann', role: 'operator' } })
    await page.locator('.freshness[data-channel="live"]').waitFor()
    const [first, second, third] = [await raise(), await raise(), await raise()]
    const row = (alertId: string) => page.locator(`[data-alert="${alertId}"]`)
    // Live: sooner than the page would ask again.
    await row(third).waitFor({ timeout: 5_000 })
    await row(first)
      .getByRole('button', { name: /^Acknowledge/ })
      .click()
    await eventually(async () => ((await detail(first)).acknowledged?.by === 'ann' ? true : undefined))

    // Two actions: the key, and Enter behind the note.
    const focused = () => page.locator('.alert[data-current="true"]').getAttribute('data-alert')
    await page.locator('h1').first().click({ force: true })
    for (let step = 0; step < 30 && (await page.locator(`[data-alert="${second}"][data-current="true"]`).count()) === 0; step++)
      await page.keyboard.press('j')
    expect(await focused()).toBe(second)
    await page.keyboard.press('a')
    await page.keyboard.type('belt is slipping')
    await page.keyboard.press('Enter')
    await eventually(async () => ((await detail(second)).acknowledged?.note === 'belt is slipping' ? true : undefined))

    for (let step = 0; step < 30 && (await page.locator(`[data-alert="${third}"][data-current="true"]`).count()) === 0; step++)
      await page.keyboard.press('k')
    await page.keyboard.press('s')
    await page.keyboard.type('part ordered')
    await page.keyboard.press('Enter')
    await eventually(async () => ((await detail(third)).shelved?.reason === 'part ordered' ? true : undefined))
    await row(third).waitFor({ state: 'detached' })

    await page.getByRole('button', { name: 'Shelved' }).click()
    await row(third).getByRole('checkbox').check()
    await page.getByRole('button', { name: 'Unshelve' }).click()
    await row(third).waitFor({ state: 'detached' })
    expect((await detail(third)).history.map(({ kind }) => kind)).toContain('unshelved')

    await page.getByRole('button', { name: /^Open/ }).click()
    await row(third).getByRole('checkbox').check()
    await page.getByRole('button', { name: 'Clear …' }).click()
    await page.getByRole('textbox', { name: 'Note' }).fill('nothing to see')
    await page.getByRole('dialog').getByRole('button', { name: 'Clear' }).click()
    await eventually(async () => ((await detail(third)).standing === 'closed' ? true : undefined))
    expect(problems).toEqual([])
    await close()
  }, 60_000)

  test('several are chosen at once, and only those that are shown are acted on', async () => {
    const { page, close } = await openPage(browser, product, '/alerts')
    const mine = [await raise({ deviceId: 'press-a' }), await raise({ deviceId: 'press-b' })]
    const other = await raise({ deviceId: 'lathe-a' })
    await page.locator(`[data-alert="${other}"]`).waitFor()
    await page.getByLabel('Select all shown').check()
    await page.getByRole('searchbox').fill('press')
    await page.locator(`[data-alert="${other}"]`).waitFor({ state: 'detached' })
    await page.getByRole('button', { name: 'Assign …' }).click()
    await page.getByLabel('Who takes care of it').fill('bob')
    await page.getByRole('dialog').getByRole('button', { name: 'Assign' }).click()
    await eventually(async () => ((await Promise.all(mine.map(detail))).every(({ assignee }) => assignee === 'bob') ? true : undefined))
    expect((await detail(other)).assignee).toBeUndefined()
    await close()
  }, 30_000)

  test('the alert’s page: comment, explain, feedback, reopen; the service department’s word comes back', async () => {
    const alertId = await raise({ deviceId: 'compressor-001' })
    const { page, problems, close } = await openPage(browser, product, `/alerts/${alertId}`)
    await page.getByRole('button', { name: 'Comment …' }).click()
    await page.getByRole('textbox', { name: 'Comment' }).fill('heard it from the hall')
    await page.getByRole('dialog').getByRole('button', { name: 'Comment' }).click()
    await page.getByText('“heard it from the hall”').waitFor()
    await page.getByRole('button', { name: 'Explain again' }).click()
    await page.getByText('Recomputed from its evidence').waitFor()
    await page.getByRole('button', { name: 'False alarm' }).click()
    await page.getByText(/Judged.*False alarm/).waitFor()
    const { workOrder } = await eventually(async () => {
      const found = await detail(alertId)
      return found.workOrder?.isOpen === true ? found : undefined
    })
    const department = String(product.events.find(({ event }) => event === 'service-department')?.url)
    const done = await fetch(`${department}/work-orders/${workOrder!.number}/done`, { method: 'POST', redirect: 'manual' })
    expect(done.status).toBe(303)
    await page.getByText(`${workOrder!.number}, closed`).waitFor()
    expect(problems).toEqual([])
    await close()
  }, 30_000)

  test('German, another time zone, and no single-key shortcuts, by choice', async () => {
    await raise()
    const { page, close } = await openPage(browser, product, '/alerts')
    await page.locator('.alert').first().waitFor()
    await page.getByText('Settings').click()
    await page.getByLabel('Language').selectOption('de')
    await page.getByText('Nach Vorfall gruppieren').waitFor()
    await page.getByLabel('Zeitzone').selectOption('Asia/Tokyo')
    await page.getByLabel('Tastenkürzel').uncheck()
    await page.keyboard.press('Escape')
    await page.keyboard.press('j')
    expect(await page.locator('.alert[data-current="true"]').count()).toBe(0)
    await page.locator('.alert a').first().click()
    await page
      .getByText(/GMT\+9/)
      .first()
      .waitFor()
    expect(await page.locator('html').getAttribute('lang')).toBe('de')
    await close()
  }, 30_000)
})

describe('live', () => {
  test('cut off, the page takes the line up again: nothing is missing, nothing is twice', async () => {
    const { page, close } = await openPage(browser, product, '/alerts')
    await page.locator('.freshness[data-channel="live"]').waitFor()
    const service = new WebPubSubServiceClient(product.connection().connection.webPubSub!, liveHub, { allowInsecureConnection: true })
    const ids: string[] = []
    for (let turn = 0; turn < 6; turn++) {
      if (turn % 2 === 0) await service.closeAllConnections({ reason: 'a test' })
      ids.push(await raise({ deviceId: `cut-${turn}` }))
    }
    for (const alertId of ids) await page.locator(`[data-alert="${alertId}"]`).waitFor()
    await page.locator('.freshness[data-channel="live"]').waitFor({ timeout: 20_000 })
    const shown = await page.locator('.alert').evaluateAll((rows) => rows.map((row) => row.getAttribute('data-alert')))
    expect(new Set(shown).size).toBe(shown.length)
    const after = await raise({ deviceId: 'cut-after' })
    await page.locator(`[data-alert="${after}"]`).waitFor({ timeout: 8_000 })
    await close()
  }, 60_000)

  test('a plant of hundreds fits the page: what needs somebody first, the rest on demand, any machine by its name', async () => {
    const some = await eventually(async () => (await product.get('devices', DeviceList.parse)).devices[0])
    const ledger = (unexplained: number) => ({ ...some.ledger, unexplained })
    const devices = Array.from({ length: 300 }, (_, index) => ({
      ...some,
      deviceId: `unit-${index}`,
      kind: index % 2 === 0 ? 'Fan' : 'Press',
      site: 'Works',
      line: 'Hall',
      condition: index === 250 ? 'alarm' : 'fine',
      ledger: ledger(index === 260 ? 3 : 0),
    }))
    const { page, problems, close } = await openPage(browser, product, '/kpis')
    const answer = (json: unknown) => ({ contentType: 'application/json', body: JSON.stringify(json) })
    await page.route('**/api/v1/devices', (route) => route.fulfill(answer({ devices })))
    await page.route('**/api/v1/ledger', (route) =>
      route.fulfill(answer({ total: ledger(3), devices: devices.map((device) => ({ deviceId: device.deviceId, ...device.ledger })) })),
    )
    await page.goto(product.url)
    const tiles = page.locator('.tile')
    await page.getByText('Hall: 300 machines').waitFor()
    expect(await tiles.count()).toBe(20)
    expect(await tiles.first().textContent()).toContain('unit-250')
    await page.getByRole('button', { name: 'Show 280 more' }).click()
    expect(await tiles.count()).toBe(300)
    await page.getByRole('button', { name: 'Hide 280' }).click()
    await page.getByLabel('Find a machine').fill('press UNIT-29')
    await eventually(async () => ((await tiles.count()) === 6 ? true : undefined))
    await page.getByLabel('Find a machine').fill('nobody')
    await page.getByText('No machine is called so.').waitFor()

    await page.goto(`${product.url}/pipeline`)
    const rows = page.getByRole('region', { name: 'Ledger by device' }).locator('tbody tr')
    await rows.first().waitFor()
    expect([await rows.count(), await rows.first().textContent()]).toEqual([12, expect.stringContaining('unit-260')])
    await page.getByRole('button', { name: 'Show 288 more' }).click()
    expect(await rows.count()).toBe(300)
    expect(problems).toEqual([])
    await close()
  }, 40_000)

  test('what the page has not been told it does not count: a nought would say that all is well', async () => {
    const { page, close } = await openPage(browser, product, '/kpis')
    await page.route(/\/api\/v1\/(alerts|devices)/, (route) => route.abort())
    await page.goto(product.url)
    const figures = page.locator('.counts dd')
    await figures.first().waitFor()
    expect(new Set(await figures.allTextContents())).toEqual(new Set(['–']))
    expect(await page.getByText('No machine has reported yet.').count()).toBe(0)
    await page.unroute(/\/api\/v1\/(alerts|devices)/)
    await eventually(async () => ((await figures.allTextContents()).every((figure) => /^\d+$/.test(figure)) ? true : undefined))
    await close()
  }, 30_000)

  test.each([
    ['an hour fast', 3_600_000],
    ['ten minutes slow', -600_000],
  ])(
    'on a computer whose clock is %s ages are true, and nothing is stale',
    async (_, offByMs) => {
      const alertId = await raise()
      const { page, close } = await openPage(browser, product, '/kpis')
      await page.addInitScript((off) => {
        const now = Date.now
        Date.now = () => now() + off
      }, offByMs)
      await page.addInitScript(() => {
        const seen: string[] = []
        const look = () => document.querySelectorAll('.freshness[data-stale="true"]').forEach(({ textContent }) => seen.push(textContent))
        new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true })
        Object.assign(window, { stale: seen })
      })
      await page.goto(`${product.url}/alerts`)
      const row = page.locator(`[data-alert="${alertId}"]`)
      await row.getByText(/raised \d+ s ago/).waitFor()
      await page.locator('.freshness[data-channel="live"]').waitFor()
      const minute = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', timeZone: 'Europe/Helsinki' })
      const shown = /(\d\d:\d\d):\d\d/.exec((await page.locator('.freshness').textContent())!)?.[1]
      expect([0, 60_000].map((agoMs) => minute.format(Date.now() - agoMs))).toContain(shown)
      expect(await page.evaluate(() => (window as unknown as { stale: string[] }).stale)).toEqual([])
      await close()
    },
    30_000,
  )

  test('a browser without a language, as on a display of its own, shows the page', async () => {
    const { page, problems, close } = await openPage(browser, product, '/kpis')
    await page.addInitScript(() => Object.defineProperty(Navigator.prototype, 'language', { get: () => 'C', configurable: true }))
    await page.goto(product.url)
    await page.locator('.counts dd').first().waitFor()
    expect(problems).toEqual([])
    await close()
  }, 30_000)

  test('fifty live charts at two points a second leave the page its breath', async () => {
    const device = await connectDevice(product, 'many-signals')
    const signals = Array.from({ length: 50 }, (_, index) => `signal${String(index).padStart(2, '0')}`)
    let turn = 0
    const timer = setInterval(() => {
      turn++
      void device.send(Object.fromEntries(signals.map((name, index) => [name, Math.sin((turn + index) / 5) * 10])))
    }, 500)
    try {
      await eventually(async () => ((await product.get('devices/many-signals', DeviceView.parse)).signals.length === 50 ? true : undefined))
      const { page, problems, close } = await openPage(browser, product, '/devices/many-signals')
      await page.locator('.plot canvas').nth(49).waitFor({ timeout: 20_000 })
      const label = () => page.locator('[data-signal="signal49"] [role="img"]').getAttribute('aria-label')
      const before = await label()
      await eventually(async () => ((await label()) === before ? undefined : true))
      const frames = await page.evaluate(
        () =>
          new Promise<number>((done) => {
            let count = 0
            const startMs = performance.now()
            const look = () => {
              count++
              if (performance.now() - startMs > 4_000) done((1000 * count) / (performance.now() - startMs))
              else requestAnimationFrame(look)
            }
            requestAnimationFrame(look)
          }),
      )
      expect(frames).toBeGreaterThan(15)
      expect(problems).toEqual([])
      await close()
    } finally {
      clearInterval(timer)
      await device.end()
    }
  }, 60_000)
})

describe('the API', () => {
  const description = async () => (await (await fetch(`${product.url}/api/v1/openapi.json`)).json()) as ApiDocument

  test('describes itself: a valid document with every address of the design', async () => {
    const document = await description()
    expect(document.openapi).toBe('3.1.0')
    expect(await new Validator().validate(document as unknown as Record<string, unknown>)).toEqual({ valid: true })
    // A reference to itself is valid, and says nothing.
    for (const [name, schema] of Object.entries(document.components.schemas)) expect(schema, name).not.toHaveProperty('$ref')
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map((match) => match[1]!)
    for (const name of references) expect(document.components.schemas, name).toHaveProperty([name])
    const gets = [
      'health',
      'devices',
      'devices/{id}',
      'devices/{id}/readings',
      'alerts',
      'alerts/{id}',
      'alerts/{id}/explain',
      'ledger',
      'dead-letters',
      'kpis',
    ]
    for (const path of gets) expect(document.paths[`/${path}`], path).toHaveProperty('get')
    for (const action of ['acknowledge', 'shelve', 'unshelve', 'assign', 'comment', 'clear'])
      expect(document.paths[`/alerts/{id}/${action}`]).toHaveProperty('post')
  })

  test('answers as it describes', async () => {
    const document = await description()
    const problemsOf = answersOf(document)
    const alertId = await raise()
    const { deviceId, signals } = await eventually(async () =>
      (await product.get('devices', DeviceList.parse)).devices.find(({ signals: [first] }) => first !== undefined),
    )
    const now = Date.now()
    const values: Record<string, string> = {
      signal: signals[0]!.signal,
      from: new Date(now - 60_000).toISOString(),
      to: new Date(now).toISOString(),
    }
    const send = (method: string, path: string, body?: unknown) =>
      fetch(`${product.url}/api/v1${path}`, {
        method,
        headers: bearer(),
        redirect: 'manual',
        ...(body ? { body: JSON.stringify(body) } : {}),
      })
    const problems: string[] = []
    for (const [path, { get: operation }] of Object.entries(document.paths)) {
      if (!operation) continue
      const query = new URLSearchParams(
        operation.parameters.filter(({ in: place, required }) => place === 'query' && required).map(({ name }) => [name, values[name]!]),
      )
      for (const id of path.startsWith('/alerts/') ? [alertId, 'nobody'] : [deviceId, 'nobody'])
        problems.push(...(await problemsOf(path, 'get', await send('GET', `${path.replace(/\{\w+\}/, id)}?${query}`))))
      for (const { name } of operation.parameters.filter(({ in: place }) => place === 'query'))
        problems.push(...(await problemsOf(path, 'get', await send('GET', `${path.replace(/\{\w+\}/, deviceId)}?${name}=%00`))))
    }
    const posts = [
      ['/alerts/{id}/comment', { text: 'as described' }],
      ['/alerts/{id}/assign', {}],
      ['/alerts/{id}/unshelve', {}],
      ['/deliveries/{about}/{message}/resend', {}],
      ['/work-orders/{number}/close', {}],
      ['/dead-letters/{id}/replay', {}],
      ['/sign-in-links', { name: 'Ann', role: 'viewer' }],
      ['/sign-out', {}],
      ['/exports', { devices: [deviceId], from: values.from, to: values.to, format: 'csv' }],
      ['/exports', { devices: [deviceId], from: values.to, to: values.from, format: 'csv' }],
    ] as const
    for (const [path, body] of posts)
      problems.push(...(await problemsOf(path, 'post', await send('POST', path.replace(/\{\w+\}/g, alertId), body))))
    expect(problems).toEqual([])
  })

  test('says in problem details what is not there, and which methods are', async () => {
    const ask = async (method: string, path: string) => {
      const response = await fetch(`${product.url}/api/v1/${path}`, { method })
      const { headers, status } = response
      return { status, allow: headers.get('allow'), type: headers.get('content-type'), text: await response.text() }
    }
    expect(await ask('GET', 'alrets')).toMatchObject({ status: 404, type: 'application/problem+json' })
    expect(await ask('DELETE', 'alerts')).toMatchObject({ status: 405, allow: 'GET, HEAD', type: 'application/problem+json' })
    expect(await ask('GET', 'alerts/1/acknowledge')).toMatchObject({ status: 405, allow: 'POST' })
    expect(await ask('HEAD', 'health')).toMatchObject({ status: 200, type: 'application/json', text: '' })
  })

  test('gives long lists in pages, each alert once', async () => {
    for (let count = 0; count < 5; count++) await raise({ deviceId: `page-${count}` })
    const all = (await openItems()).alerts.map(({ alertId }) => alertId)
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const page: AlertItems = await product.get(
        `alerts?view=list&limit=2${cursor === undefined ? '' : `&cursor=${cursor}`}`,
        AlertItems.parse,
      )
      seen.push(...page.alerts.map(({ alertId }) => alertId))
      cursor = page.next
    } while (cursor !== undefined)
    expect(seen).toEqual(all)
    const whole = await product.get('alerts?limit=1', AlertList.parse)
    expect([whole.alerts.length, whole.next !== undefined]).toEqual([1, true])
  })

  test('refuses an action on what has changed since it was seen', async () => {
    const alertId = await raise()
    const etag = (await fetch(`${product.url}/api/v1/alerts/${alertId}`)).headers.get('etag')!
    expect((await act(alertId, 'comment', { text: 'first' })).status).toBe(200)
    expect((await act(alertId, 'clear', {}, { ...bearer(), 'if-match': etag })).status).toBe(412)
    expect((await act(alertId, 'clear', {}, { ...bearer(), 'if-match': 'gibberish' })).status).toBe(400)
    const now = (await fetch(`${product.url}/api/v1/alerts/${alertId}`)).headers.get('etag')!
    expect((await act(alertId, 'clear', {}, { ...bearer(), 'if-match': now })).status).toBe(200)
  })

  test.each([
    ['shelve', { minutes: 5 }],
    ['shelve', { reason: 'no end' }],
    ['shelve', { reason: 'x', minutes: 5, until: '2030-01-01T00:00:00Z' }],
    ['comment', {}],
    ['comment', { text: '   ' }],
    ['assign', {}],
    ['feedback', { isTrueAlarm: 'maybe' }],
  ])('refuses %s with %j', async (action, body) => {
    const response = await act(await raise(), action, body)
    expect([response.status, response.headers.get('content-type')]).toEqual([400, 'application/problem+json'])
  })

  test('counts what ISA-18.2 wants counted', async () => {
    const kpis = await product.get('kpis', Kpis.parse)
    expect(kpis.annunciations).toBeGreaterThan(10)
    expect(Object.values(kpis.priorities).reduce((sum, count) => sum + count, 0)).toBe(kpis.annunciations)
    expect(kpis.badActors.length).toBe(10)
  })

  test('tells Prometheus the same', async () => {
    const text = await (await fetch(`${product.url}/api/v1/metrics`)).text()
    expect(text).toMatch(/^millwright_readings\{outcome="unexplained"\} 0$/m)
    expect(Number(/^millwright_alerts_unacknowledged (\d+)$/m.exec(text)?.[1])).toBeGreaterThan(0)
    // And nothing that the dashboard of Grafana asks for is missing.
    const dashboard = readFileSync(join(root, 'docs', 'grafana', 'millwright.json'), 'utf8')
    const asked = new Set([...dashboard.matchAll(/millwright_\w+/g)].map(([name]) => name))
    expect(asked.size).toBeGreaterThan(4)
    for (const name of asked) expect(text).toContain(`\n# TYPE ${name} `.trim())
  })

  test('a message that was given up is sent again under its id, by a click', async () => {
    const alertId = await raise()
    const message = await eventually(async () => (await outboxOf(tables, alertId)).find(({ status }) => status === 'delivered'))
    await updateOutbox(tables, message, { status: 'given-up', lastError: 'nobody was there' })
    const { page, close } = await openPage(browser, product, '/pipeline')
    await page.getByText('nobody was there').waitFor()
    await page.getByRole('button', { name: 'Send again' }).click()
    await page.getByText('nobody was there').waitFor({ state: 'detached' })
    expect((await detail(alertId)).deliveries[0]).toMatchObject({ status: 'delivered', lastError: '' })
    await close()
  })

  test('a message that was set aside is mended and sent again, once', async () => {
    const device = await connectDevice(product, 'clumsy')
    await device.send('{"temperature": 21')
    await device.end()
    const letter = await eventually(async () =>
      (await product.get('dead-letters', DeadLetterList.parse)).deadLetters.find(({ deviceId }) => deviceId === 'clumsy'),
    )
    const { page, problems, close } = await openPage(browser, product, '/pipeline')
    await page
      .getByRole('row', { name: /clumsy/ })
      .getByRole('button', { name: 'Inspect' })
      .click()
    await page.getByRole('textbox', { name: 'Body' }).fill('{"temperature": 21}')
    await page.getByRole('button', { name: 'Mend, and send again' }).click()
    await page.getByRole('row', { name: /clumsy.*sent again/ }).waitFor()
    const mended = await eventually(async () => {
      const found = await product.get('devices/clumsy', DeviceView.parse)
      return found.ledger.stored === 1 ? found : undefined
    })
    expect(mended).toMatchObject({ signals: [{ value: 21 }], ledger: { deadLettered: 1, unexplained: 0 } })
    const again = await fetch(`${product.url}/api/v1/dead-letters/${letter.id}/replay`, { method: 'POST', headers: bearer(), body: '{}' })
    expect(again.status).toBe(409)
    expect(problems).toEqual([])
    await close()
  }, 30_000)

  test('the local cloud is broken from the page, and mended', async () => {
    const { page, close } = await openPage(browser, product, '/pipeline')
    await page.getByLabel('Fault').selectOption('slow-storage')
    await page.getByRole('button', { name: 'Set', exact: true }).click()
    await page.getByText('Set now: slow-storage').waitFor()
    await page.getByRole('button', { name: 'End all' }).click()
    await page.getByText('Set now').waitFor({ state: 'detached' })
    await close()
    const forged = await fetch(`${product.url}/local/faults`, { method: 'POST', body: '{"kind":"offline"}' })
    expect(forged.status).toBe(401)
  }, 30_000)

  test('alerts are rebuilt from their histories by one command, and are what they were', async () => {
    const before = (await openItems()).alerts.map(({ alertId, version }) => `${alertId} ${version}`).sort()
    const { code, stdout } = await runCommand(['rebuild', '--json', '--target', join(folder, 'connection.json')])
    expect([code, JSON.parse(stdout)]).toMatchObject([0, { alerts: expect.any(Number) }])
    const after = (await openItems()).alerts.map(({ alertId, version }) => `${alertId} ${version}`).sort()
    expect(after).toEqual(expect.arrayContaining(before))
  }, 60_000)
})

describe('who may do what', () => {
  const cookieOf = async (role: 'viewer' | 'operator' | 'engineer') => {
    const code = signInCode(product.operatorToken(), Date.now(), { name: 'eve', role })
    const response = await fetch(`${product.url}/api/v1/sign-in?code=${code}`, { redirect: 'manual' })
    return { code, cookie: response.headers.get('set-cookie')?.split(';')[0] ?? '', response }
  }

  test('a viewer looks, an operator acts, an engineer changes the plant', async () => {
    const alertId = await raise()
    const topology = (headers: Record<string, string>) =>
      fetch(`${product.url}/api/v1/topology`, {
        method: 'PUT',
        headers,
        body: JSON.stringify({ places: [{ devices: ['unit-*'], site: 'Hall' }] }),
      })
    const [viewer, operator, engineer] = [await cookieOf('viewer'), await cookieOf('operator'), await cookieOf('engineer')]
    expect((await act(alertId, 'comment', { text: 'x' }, { cookie: viewer.cookie })).status).toBe(403)
    expect((await act(alertId, 'comment', { text: 'x' }, { cookie: operator.cookie })).status).toBe(200)
    expect((await topology({ cookie: operator.cookie })).status).toBe(403)
    expect((await topology({ cookie: engineer.cookie })).status).toBe(200)
    expect((await detail(alertId)).history.at(-1)).toMatchObject({ kind: 'commented', by: 'eve' })
  })

  test('a sign-in link is good once; forged and expired ones never; the cookie is for this page alone', async () => {
    const { code, response } = await cookieOf('operator')
    expect(response.headers.get('set-cookie')).toMatch(/HttpOnly; SameSite=Strict/)
    const signIn = (text: string) => fetch(`${product.url}/api/v1/sign-in?code=${encodeURIComponent(text)}`, { redirect: 'manual' })
    expect((await signIn(code)).status).toBe(401)
    expect((await signIn(signInCode(product.operatorToken(), Date.now() - 2 * 86_400_000))).status).toBe(401)
    expect((await signIn(signInCode('another token than ours', Date.now()))).status).toBe(401)
    expect((await signIn(`${Buffer.from('{"role":"engineer"}').toString('base64url')}.x`)).status).toBe(401)
  })

  test('a forged principal, a foreign page and a stale cookie are nobody', async () => {
    const alertId = await raise()
    const principal = Buffer.from(JSON.stringify({ userDetails: 'boss', userRoles: ['authenticated', 'engineer'] })).toString('base64')
    expect((await act(alertId, 'clear', {}, { 'x-ms-client-principal': principal })).status).toBe(401)
    const { cookie } = await cookieOf('operator')
    expect((await act(alertId, 'clear', {}, { cookie, origin: 'https://evil.example' })).status).toBe(403)
    expect((await act(alertId, 'clear', {}, { cookie, origin: 'null' })).status).toBe(403)
    expect((await act(alertId, 'clear', {}, { cookie, 'sec-fetch-site': 'cross-site' })).status).toBe(403)
    expect((await act(alertId, 'clear', {}, { cookie: `${cookie}x` })).status).toBe(401)
    expect((await detail(alertId)).standing).toBe('open')
  })

  test('the link in a message acknowledges its alert, once', async () => {
    const alertId = await raise()
    const code = acknowledgeCode(product.operatorToken(), alertId, Date.now())
    const byLink = (text: string, id = alertId) => act(id, 'acknowledge-by-link', { code: text }, {})
    expect((await byLink(code, await raise())).status).toBe(403)
    expect((await byLink(acknowledgeCode(product.operatorToken(), alertId, Date.now() - 2 * 86_400_000))).status).toBe(403)
    const { page, close } = await openPage(browser, product, `/alerts/${alertId}#acknowledge=${code}`, { who: 'nobody' })
    await page.getByText('You came by the link in a message').waitFor()
    await page.getByRole('button', { name: 'Acknowledge', exact: true }).click()
    await eventually(async () => ((await detail(alertId)).acknowledged?.by === 'link in a message' ? true : undefined))
    await close()
    await happens({
      kind: 'escalated',
      alertId,
      atMs: Date.now(),
      condition: 'high-high',
      priority: 'high',
      evidence: raisedEvent().evidence,
    })
    await eventually(async () => ((await detail(alertId)).acknowledged ? undefined : true))
    expect((await byLink(code)).status).toBe(409)
  }, 30_000)
})

describe('bad input', () => {
  const script = '<img src=x onerror="window.hacked=1">'

  test('names, comments and answers that are programs are shown as text', async () => {
    const device = await connectDevice(product, 'crafty')
    await device.send({ [script]: 21 })
    await device.end()
    const alertId = await raise({ deviceId: script, signal: script })
    await act(alertId, 'comment', { text: script })
    await act(alertId, 'assign', { to: script })
    await happens({ kind: 'work-order', alertId, atMs: Date.now(), number: script, status: 'opened', note: script })
    await eventually(async () => ((await detail(alertId)).workOrder?.number === script ? true : undefined))
    for (const path of [
      '/',
      '/alerts',
      `/alerts/${alertId}`,
      '/devices/crafty',
      '/pipeline',
      '/kpis',
      `/devices/${encodeURIComponent(script)}`,
    ]) {
      const { page, close } = await openPage(browser, product, path)
      await page.locator('main').waitFor()
      if (path === `/alerts/${alertId}`) await page.getByText(script).first().waitFor()
      await page.waitForFunction(() => document.readyState === 'complete')
      expect(await page.evaluate(() => (window as { hacked?: number }).hacked), path).toBeUndefined()
      expect(await page.locator('img').count(), path).toBe(0)
      await close()
    }
  }, 60_000)

  test('a comment that is a formula is none in the audit’s CSV', async () => {
    const alertId = await raise()
    await act(alertId, 'comment', { text: '=HYPERLINK("http://evil.example","x")' })
    const span = `from=${new Date(Date.now() - 3_600_000).toISOString()}&to=${new Date(Date.now() + 60_000).toISOString()}`
    const csv = await (await fetch(`${product.url}/api/v1/audit?${span}`)).text()
    expect(csv).toContain(`"'=HYPERLINK(""http://evil.example"",""x"")"`)
    expect(csv).not.toMatch(/(^|,)=/m)
  })

  test.each([
    ['alerts?device=' + encodeURIComponent("x' or 1 eq 1 or 'x' eq 'x"), 200],
    ['alerts?view=list&cursor=%00%00', 400],
    ['alerts/..%2f..%2flatest', 404],
    ['devices/' + encodeURIComponent("x' or RowKey ne '"), 404],
    ['dead-letters/' + encodeURIComponent("p000-0' or 'a' eq 'a"), 404],
    ['audit?from=yesterday&to=today', 400],
  ])('%s gives nothing away', async (path, status) => {
    const response = await fetch(`${product.url}/api/v1/${path}`)
    expect(response.status).toBe(status)
    if (status === 200) expect(((await response.json()) as { alerts: unknown[] }).alerts).toEqual([])
  })

  test('bodies that are too large, and too many requests, are refused with a reason', async () => {
    const alertId = await raise()
    expect((await act(alertId, 'comment', { text: 'x'.repeat(70_000) })).status).toBe(413)
    expect((await act(alertId, 'comment', { text: 'x'.repeat(3_000) })).status).toBe(400)
    const statuses: number[] = []
    let retryAfter: string | null = null
    for (let turn = 0; turn < 40 && !statuses.includes(429); turn++) {
      const burst = await Promise.all(Array.from({ length: 20 }, () => act(alertId, 'unshelve', {}, { ...bearer() })))
      statuses.push(...burst.map(({ status }) => status))
      retryAfter = burst.find(({ status }) => status === 429)?.headers.get('retry-after') ?? null
    }
    expect(statuses).toContain(429)
    expect(Number(retryAfter)).toBeGreaterThan(0)
    await eventually(async () => ((await act(alertId, 'comment', { text: 'patience' })).status === 200 ? true : undefined))
  }, 60_000)
})

describe('ten thousand open alerts', () => {
  test('the first list stands within a second on a computer four times slower, the long one scrolls smoothly', async () => {
    const { page: slow, close: closeSlow } = await openPage(browser, product, '/alerts')
    const session = await slow.context().newCDPSession(slow)
    await session.send('Emulation.setCPUThrottlingRate', { rate: 4 })
    const timesMs: number[] = []
    for (let turn = 0; turn < 5; turn++) {
      await slow.goto(`${product.url}/alerts`, { waitUntil: 'commit' })
      await slow.locator('.alert').first().waitFor()
      timesMs.push(await slow.evaluate(() => performance.now()))
    }
    // Other tests run beside this one: the best of five is the page's own time.
    expect(Math.min(...timesMs)).toBeLessThan(1_000)
    await closeSlow()

    const rows = Array.from({ length: 10_000 }, (_, index) => {
      const atMs = Date.now() - 3_600_000 - index
      return [
        'upsert',
        alertRow(alertOf(raisedEvent({ alertId: idOf(0xb0000 + index), deviceId: `fleet-${index}`, atMs })), 1),
        'Replace',
      ] as const
    })
    for (const transaction of intoTransactions(rows.map((row) => [...row]))) await tables.alerts.submitTransaction(transaction)
    const { page, problems, close } = await openPage(browser, product, '/alerts')
    await page.getByText(/Alerts: 10,\d\d\d/).waitFor({ timeout: 90_000 })
    expect(await page.locator('.alert').count()).toBeLessThan(60)
    const frameMs = await page.locator('.virtual').evaluate(
      (list) =>
        new Promise<number[]>((done) => {
          const frames: number[] = []
          let lastMs = performance.now()
          const step = (nowMs: number) => {
            frames.push(nowMs - lastMs)
            lastMs = nowMs
            list.scrollTop += 900
            if (frames.length < 120) requestAnimationFrame(step)
            else done(frames.slice(5))
          }
          requestAnimationFrame(step)
        }),
    )
    const sorted = frameMs.toSorted((a, b) => a - b)
    // Half of the frames at sixty a second or nearly so, and hardly one that an eye would see stop.
    expect(sorted[sorted.length >> 1]).toBeLessThan(34)
    expect(sorted[Math.floor(sorted.length * 0.95)]).toBeLessThan(100)
    await page.getByRole('searchbox').fill('fleet-9999')
    await page.getByText('Alerts: 1', { exact: true }).waitFor()
    await page.screenshot({ path: join(root, 'test', 'output', 'alerts-found.png') })
    expect(problems).toEqual([])
    await close()
  }, 240_000)
})
