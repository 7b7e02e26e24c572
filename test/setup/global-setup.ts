/** Once a run: fresh bundles, since the end-to-end tests start what is deployed, and a browser. */
import type { TestProject } from 'vitest/node'
import { findBrowser } from '../browser/chromium.ts'
import type { BrowserChoice } from '../browser/chromium.ts'

declare module 'vitest' {
  interface ProvidedContext {
    browser: BrowserChoice
  }
}

export default async function setup(project: TestProject): Promise<void> {
  const { build, isStale } = (await import(new URL('../../bin/build.mjs', import.meta.url).href)) as {
    build(): Promise<number>
    isStale(): boolean
  }
  if (isStale()) await build()
  project.provide('browser', await findBrowser())
}
