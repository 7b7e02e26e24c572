/** `npm test`: packages, bundles, then every test. Arguments go to vitest. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { passProxyOnLoopback, requireNode, requirePackages, root } from './requirements.mjs'

requireNode()
passProxyOnLoopback()
await requirePackages()
const { build, isStale } = await import('./build.mjs')
if (isStale()) await build()
const vitest = spawnSync(process.execPath, [join(root, 'node_modules', 'vitest', 'vitest.mjs'), 'run', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
})
process.exit(vitest.status ?? 1)
