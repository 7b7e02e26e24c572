/** `npm start`: `millwright start`, with a word about what is going on before it. */
import { join } from 'node:path'
import { passProxyOnLoopback, requireNode, requirePackages, root } from './requirements.mjs'

requireNode()
passProxyOnLoopback()
await requirePackages()
const { build, isStale } = await import('./build.mjs')
if (isStale()) {
  process.stdout.write('building …\n')
  process.stdout.write(`built in ${await build()} ms\n`)
}
process.argv = [process.execPath, join(root, 'bin', 'millwright.mjs'), 'start', ...process.argv.slice(2)]
// npm hands a signal to the shell between it and this process; the shell dies of it without a word.
if (process.env.npm_lifecycle_event !== undefined) {
  const shell = process.ppid
  setInterval(() => process.ppid !== shell && process.kill(process.pid, 'SIGTERM'), 500).unref()
}
await import('../dist/cli/main.mjs')
