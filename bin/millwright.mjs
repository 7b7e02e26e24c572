#!/usr/bin/env node
/** The `millwright` command. In a checkout it installs and builds what is missing or out of date first. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { passProxyOnLoopback, requireNode, requirePackages, root } from './requirements.mjs'

requireNode()
passProxyOnLoopback()
if (existsSync(join(root, 'cli'))) {
  await requirePackages()
  const { build, isStale } = await import('./build.mjs')
  if (isStale()) await build()
}
await import('../dist/cli/main.mjs')
