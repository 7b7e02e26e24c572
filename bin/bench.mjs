/** `npm run bench [-- NAME …]`: runs the measurements in `bench/`, all of them or those named. */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { passProxyOnLoopback, requireNode, requirePackages, root } from './requirements.mjs'

requireNode()
passProxyOnLoopback()
await requirePackages()
const known = readdirSync(join(root, 'bench'))
  .filter((file) => file.endsWith('.bench.ts'))
  .map((file) => file.replace('.bench.ts', ''))
const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !known.includes(name))
if (unknown.length > 0) {
  process.stderr.write(`there is no measurement '${unknown.join("', '")}'; there are ${known.join(', ')}\n`)
  process.exit(2)
}
for (const name of wanted.length > 0 ? wanted : known) {
  const { status } = spawnSync(process.execPath, ['--import', 'tsx', join(root, 'bench', `${name}.bench.ts`)], {
    cwd: root,
    stdio: 'inherit',
  })
  if (status !== 0) process.exit(status ?? 1)
}
