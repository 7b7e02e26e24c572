/** The inspector in a browser: it shows what is there, breaks what it is told to, and is readable for everybody. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { AxeBuilder } from '@axe-core/playwright'
import mqtt from 'mqtt'
import type { MqttClient } from 'mqtt'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { launch } from '../browser/chromium.ts'
import { cloudForTests } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { mqttOptions } from '../support/mqtt-options.ts'
import { root } from '../support/product.ts'

let cloud: CloudForTests
let browser: Browser
let page: Page
let device: MqttClient
const problems: string[] = []

beforeAll(async () => {
  ;[cloud, browser] = await Promise.all([cloudForTests(), launch(inject('browser'))])
  const credentials = await cloud.device('pump-1')
  await cloud.rest('PATCH', '/twins/pump-1', { tags: { line: 2 }, properties: { desired: { intervalMs: 1000 } } })
  await cloud.device('pump-<b>2'.replaceAll(/[<>]/g, '+'))
  device = await mqtt.connectAsync(mqttOptions(credentials))
  for (let n = 0; n < 5; n++)
    await device.publishAsync(
      'devices/pump-1/messages/events/site=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E',
      JSON.stringify({ n, temperature: 20 + n }),
      { qos: 1 },
    )
  const context = await browser.newContext({ colorScheme: 'light', viewport: { width: 1200, height: 900 } })
  page = await context.newPage()
  page.on('pageerror', (error) => problems.push(error.message))
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()))
  await page.goto(cloud.connection.inspector!.url)
  await page.getByText('live,').waitFor()
})
afterAll(async () => {
  await device.endAsync(true)
  await browser.close()
  await cloud.stop()
})

describe('the inspector', () => {
  test('shows devices, sessions, partitions and the last messages, all of it as text', async () => {
    await page.getByRole('cell', { name: '{"n":4,"temperature":24}' }).waitFor()
    const text = await page.locator('body').innerText()
    for (const part of ['pump-1', '{"line":2}', 'millwright', '<img src=x onerror=alert(1)>']) expect(text).toContain(part)
    expect(await page.locator('td img').count()).toBe(0)
  })

  test('breaks a connection when it is given the token, and says why when it is not', async () => {
    await page.getByLabel('kind').selectOption('kill-connection')
    await page.getByLabel('target (device, or all)').fill('pump-1')
    await page.getByRole('button', { name: 'Break it' }).click()
    await page.getByText('the token of the inspector is required').waitFor()
    const closed = new Promise<void>((resolve) => device.once('close', () => resolve()))
    await page.getByRole('textbox', { name: 'token' }).fill(cloud.connection.inspector!.token)
    await page.getByRole('button', { name: 'Break it' }).click()
    await page.getByText('struck 1').waitFor()
    await closed
  })

  test.each(['light', 'dark'] as const)('can be read by everybody: %s, wide and on a phone', async (colorScheme) => {
    await page.emulateMedia({ colorScheme })
    mkdirSync(join(root, 'test', 'output'), { recursive: true })
    for (const width of [1200, 390]) {
      await page.setViewportSize({ width, height: 900 })
      await page.screenshot({ path: join(root, 'test', 'output', `inspector-${colorScheme}-${width}.png`), fullPage: true })
      const { violations } = await new AxeBuilder({ page }).analyze()
      expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ''}`)).toEqual([])
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
      expect(overflow).toBeLessThanOrEqual(0)
    }
    // The refusal of the test before is the only thing that went wrong.
    expect(problems.filter((problem) => !problem.includes('401'))).toEqual([])
  })
})
