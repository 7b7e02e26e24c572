/** What every script needs before it can do its work: a Node that is new enough, and the packages of the lockfile. */
import { spawn } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))

export function requireNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > 20 || (major === 20 && minor >= 19)) return
  process.stderr.write(
    `Millwright needs Node 20.19 or later, this is ${process.versions.node}. Install a newer one from your system's packages.\n`,
  )
  process.exit(1)
}

/** Where the environment names a proxy, Azure's clients ask it for everything: also for what is on this computer, which it cannot reach. */
export function passProxyOnLoopback() {
  for (const name of ['NO_PROXY', 'no_proxy'])
    process.env[name] = [process.env[name], 'localhost', '127.0.0.1', '::1'].filter(Boolean).join(',')
}

/** Installs what the lockfile names, unless that is there already. */
export async function requirePackages() {
  const lockfile = join(root, 'package-lock.json')
  // A package installed by npm brings its dependencies along and has no lockfile.
  if (!existsSync(lockfile)) return
  // npm writes its own copy last, when an installation is complete.
  const installed = join(root, 'node_modules', '.package-lock.json')
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lockfile).mtimeMs) return
  const started = Date.now()
  process.stdout.write('installing packages (once) …\n')
  // What builds and tests is among them, also where NODE_ENV says production.
  const options = ['ci', '--include=dev', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error']
  const npm = spawn('npm', options, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], shell: process.platform === 'win32' })
  const progress = setInterval(() => process.stdout.write(`… ${((Date.now() - started) / 1000).toFixed(0)} s\n`), 5_000)
  const status = await new Promise((done) => npm.once('error', () => done(1)).once('close', done))
  clearInterval(progress)
  if (status !== 0) {
    process.stderr.write('the packages could not be installed: see above. `npm ci --ignore-scripts` does the same by hand.\n')
    process.exit(1)
  }
  process.stdout.write(`packages installed in ${((Date.now() - started) / 1000).toFixed(0)} s\n`)
}
