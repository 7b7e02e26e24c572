/** A page of the product in a browser of its own: every error in it is kept, so that a test can say there was none. */
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { signInCode } from '../../cloud-functions/api/identity.ts'
import type { Identity } from '../../cloud-functions/api/identity.ts'
import type { Product } from './product.ts'

export type OpenPage = { readonly page: Page; readonly problems: string[]; close(): Promise<void> }
export type OpenPageOptions = BrowserContextOptions & { readonly who?: Identity | 'nobody' }

export async function openPage(browser: Browser, product: Product, path: string, options: OpenPageOptions = {}): Promise<OpenPage> {
  const { who = { name: 'operator', role: 'engineer' }, ...contextOptions } = options
  const context = await browser.newContext({
    locale: 'en-GB',
    timezoneId: 'Europe/Helsinki',
    viewport: { width: 1280, height: 900 },
    ...contextOptions,
  })
  const page = await context.newPage()
  // Sooner than a test ends: what was waited for stands in the failure.
  page.setDefaultTimeout(8_000)
  const problems: string[] = []
  page.on('pageerror', (error) => problems.push(error.message))
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()))
  if (who !== 'nobody') await page.goto(`${product.url}/api/v1/sign-in?code=${signInCode(product.operatorToken(), Date.now(), who)}`)
  if (path !== '/' || who === 'nobody') await page.goto(product.url + path)
  return { page, problems, close: () => context.close() }
}
