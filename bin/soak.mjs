/** `npm run soak`: the long runs in `test/soak`. Arguments go to vitest. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { passProxyOnLoopback, requireNode, requirePackages, root } from './requirements.mjs'

requireNode()
passProxyOnLoopback()
await requirePackages()
const { build, isStale } = await import('./build.mjs')
if (isStale()) await build()
const options = ['run', '--config', join(root, 'vitest.soak.config.ts'), ...process.argv.slice(2)]
const vitest = spawnSync(process.execPath, [join(root, 'node_modules', 'vitest', 'vitest.mjs'), ...options], {
  cwd: root,
  stdio: 'inherit',
})
process.exit(vitest.status ?? 1)
