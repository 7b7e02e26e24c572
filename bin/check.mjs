/** `npm run check`: types, lint, format, dead code. Runs all of them, then says which failed. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { requireNode, requirePackages, root } from './requirements.mjs'

requireNode()
await requirePackages()
const checks = {
  types: ['typescript/bin/tsc', '-p', '.'],
  lint: ['oxlint/bin/oxlint', '--type-aware', '--deny-warnings', '.'],
  format: ['oxfmt/bin/oxfmt', '--check', '.'],
  'dead code': ['knip/bin/knip.js', '--no-progress'],
}
const failed = []
for (const [name, [script, ...options]] of Object.entries(checks)) {
  const started = Date.now()
  const { status } = spawnSync(process.execPath, [join(root, 'node_modules', script), ...options], { cwd: root, stdio: 'inherit' })
  process.stdout.write(`${status === 0 ? 'ok' : 'FAILED'}  ${name} (${Date.now() - started} ms)\n`)
  if (status !== 0) failed.push(name)
}
process.exit(failed.length === 0 ? 0 : 1)
