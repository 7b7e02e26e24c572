/**
 * Finds a browser without asking anybody to install one: CHROME_PATH, the Chromium inside `@sparticuz/chromium` on Linux
 * x64, one on PATH, or the one Playwright's channels know.
 */
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, dirname, join } from 'node:path'
import { chromium } from 'playwright-core'
import type { Browser, LaunchOptions } from 'playwright-core'

export type BrowserChoice = Pick<LaunchOptions, 'executablePath' | 'channel'> & { readonly env?: Record<string, string> }

const flags = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
]

export function launch(choice: BrowserChoice): Promise<Browser> {
  const { env, ...where } = choice
  return chromium.launch({ ...where, args: flags, env: { ...(process.env as Record<string, string>), ...env } })
}

export async function findBrowser(): Promise<BrowserChoice> {
  const named = process.env.CHROME_PATH
  if (named) {
    accessSync(named, constants.X_OK)
    return { executablePath: named }
  }
  if (process.platform === 'linux' && process.arch === 'x64') return packagedChromium()
  const onPath = ['chromium-headless-shell', 'chromium', 'google-chrome', 'microsoft-edge']
    .flatMap((name) => (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, name)))
    .find((path) => existsSync(path))
  return onPath === undefined ? { channel: process.platform === 'win32' ? 'msedge' : 'chrome' } : { executablePath: onPath }
}

/** The package unpacks itself for AWS Lambda; four of its habits would fail here without a word. */
async function packagedChromium(): Promise<BrowserChoice> {
  const entry = createRequire(import.meta.url).resolve('@sparticuz/chromium')
  const { version } = JSON.parse(readFileSync(packageFileOf(entry), 'utf8')) as { version: string }
  const cache = join(entry.slice(0, entry.lastIndexOf('node_modules')), 'node_modules', '.cache', `chromium-${version}`)
  const ready = join(cache, '.ok')
  // What an interrupted unpacking left would be used again.
  if (!existsSync(ready)) rmSync(cache, { recursive: true, force: true })
  mkdirSync(cache, { recursive: true })
  const names = ['TMPDIR', 'AWS_EXECUTION_ENV', 'LD_LIBRARY_PATH', 'FONTCONFIG_PATH', 'HOME'] as const
  const before = names.map((name) => [name, process.env[name]] as const)
  let executablePath: string
  try {
    // It brings the libraries it needs only to a Lambda, and unpacks to the temporary folder, whatever lies there.
    process.env.AWS_EXECUTION_ENV = 'AWS_Lambda_nodejs22.x'
    process.env.TMPDIR = cache
    delete process.env.LD_LIBRARY_PATH
    const { default: sparticuz } = await import('@sparticuz/chromium')
    executablePath = await sparticuz.executablePath()
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
  // Its own configuration names another folder: no font would load, and all text be invisible.
  const fonts = join(cache, 'fonts.conf')
  writeFileSync(
    fonts,
    `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><dir>${join(cache, 'fonts')}</dir><cachedir>${join(cache, 'fonts-cache')}</cachedir></fontconfig>`,
  )
  const choice = { executablePath, env: { LD_LIBRARY_PATH: join(cache, 'al2023', 'lib'), FONTCONFIG_FILE: fonts } }
  if (!existsSync(ready)) {
    const browser = await launch(choice)
    await browser.close()
    writeFileSync(ready, version)
  }
  return choice
}

function packageFileOf(entry: string): string {
  for (let folder = dirname(entry); folder !== dirname(folder); folder = dirname(folder)) {
    const file = join(folder, 'package.json')
    if (existsSync(file) && readFileSync(file, 'utf8').includes('"@sparticuz/chromium"')) return file
  }
  throw new Error(`no package.json above ${entry}`)
}
