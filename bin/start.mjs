/** `npm start`: `millwright start`, with a word about what is going on before it. */
import { join } from 'node:path'
import { requireNode, requirePackages, root } from './requirements.mjs'

requireNode()
await requirePackages()
const { build, isStale } = await import('./build.mjs')
if (isStale()) {
  process.stdout.write('building …\n')
  process.stdout.write(`built in ${await build()} ms\n`)
}
process.argv = [process.execPath, join(root, 'bin', 'millwright.mjs'), 'start', ...process.argv.slice(2)]
await import('../dist/cli/main.mjs')
