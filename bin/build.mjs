/**
 * Builds `dist/`: what is deployed (functions app, edge module, device agent, page) as self-contained bundles, and what
 * only this repository runs (command line, Functions worker) with its packages beside it.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync, copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { requireNode, requirePackages, root } from './requirements.mjs'

const dist = join(root, 'dist')
const sources = [
  'bin',
  'cli',
  'cloud-functions',
  'contract',
  'dashboards',
  'detection',
  'journal',
  'device-sim',
  'edge-module',
  'infra',
  'local-cloud',
]
const mark = join(dist, '.built')

const nodeCheck = `{
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19)) {
    process.stderr.write('Millwright needs Node 20.19 or later, this is ' + process.versions.node + '\\n')
    process.exit(2)
  }
}`

/** True when a source is newer than the last build. */
export function isStale() {
  if (!existsSync(mark)) return true
  const builtMs = statSync(mark).mtimeMs
  const isNewer = (path) => {
    const entry = statSync(path)
    return entry.isDirectory() ? readdirSync(path).some((name) => isNewer(join(path, name))) : entry.mtimeMs > builtMs
  }
  return [...sources, 'package.json'].some((name) => existsSync(join(root, name)) && isNewer(join(root, name)))
}

export async function build() {
  const esbuild = await import('esbuild')
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const started = Date.now()
  rmSync(dist, { recursive: true, force: true })
  const common = {
    bundle: true,
    logLevel: 'error',
    sourcemap: true,
    absWorkingDir: root,
    define: { __MILLWRIGHT_VERSION__: JSON.stringify(version) },
  }
  const node = { ...common, platform: 'node', target: 'node20', format: 'cjs', minifySyntax: true }
  // A device or a gateway may bring any Node: an old one would fail at the first reading, and in words that help nobody.
  // Names stay, for whoever reads a stack. Comments go: one letter in them beyond ASCII, and every worker holds the whole text twice as wide.
  const deployed = { ...node, minifyWhitespace: true, banner: { js: nodeCheck } }
  // bufferutil and utf-8-validate are optional accelerators of `ws`; it works without them.
  const external = ['bufferutil', 'utf-8-validate']
  const bundles = [
    // The runtime itself answers for @azure/functions-core.
    esbuild.build({
      ...deployed,
      entryPoints: ['cloud-functions/main.ts'],
      // The blob client looks for files beside itself; in a bundle it is the bundle.
      define: { ...node.define, 'import.meta.url': 'bundleUrl' },
      banner: { js: `${nodeCheck}\nconst bundleUrl = require('node:url').pathToFileURL(__filename).href` },
      outfile: 'dist/functions/main.cjs',
      external: [...external, '@azure/functions-core'],
    }),
    esbuild.build({ ...deployed, entryPoints: ['edge-module/main.ts'], outfile: 'dist/edge/edge-module.cjs', external }),
    esbuild.build({
      ...deployed,
      entryPoints: ['device-sim/main.ts'],
      outfile: 'dist/device/agent.cjs',
      external: [...external, 'osx-temperature-sensor'],
    }),
    esbuild.build({
      ...node,
      minifyWhitespace: true,
      entryPoints: ['local-cloud/functions-host/worker.ts'],
      outfile: 'dist/local-cloud/functions-worker.cjs',
    }),
    // In pieces, so that each command loads what it needs and no more.
    esbuild.build({
      ...node,
      format: 'esm',
      packages: 'external',
      splitting: true,
      entryPoints: ['cli/main.ts'],
      outdir: 'dist/cli',
      outExtension: { '.js': '.mjs' },
    }),
    esbuild.build({
      ...common,
      platform: 'browser',
      target: 'es2022',
      format: 'esm',
      minify: true,
      jsx: 'automatic',
      jsxImportSource: 'preact',
      entryPoints: ['dashboards/app.tsx'],
      outfile: 'dist/dashboards/app.js',
    }),
    esbuild.build({ ...common, sourcemap: false, minify: true, entryPoints: ['dashboards/app.css'], outfile: 'dist/dashboards/app.css' }),
  ]
  try {
    await Promise.all(bundles)
  } finally {
    // Its own process would stay for as long as this one does, with all that it has read.
    await esbuild.stop()
  }
  const copies = [
    ['cloud-functions/host.json', 'functions/host.json'],
    ['dashboards/index.html', 'dashboards/index.html'],
    ['dashboards/icon.svg', 'dashboards/icon.svg'],
    ['dashboards/staticwebapp.config.json', 'dashboards/staticwebapp.config.json'],
    ['infra/edge/Dockerfile', 'infra/Dockerfile'],
    ['infra/systemd/millwright-agent.service', 'infra/millwright-agent.service'],
  ]
  for (const [from, to] of copies) {
    mkdirSync(join(dist, to, '..'), { recursive: true })
    copyFileSync(join(root, from), join(dist, to))
  }
  writeFileSync(
    join(dist, 'functions', 'package.json'),
    `${JSON.stringify({ name: 'millwright-functions', version, private: true, main: 'main.cjs' }, null, 2)}\n`,
  )
  writeFileSync(join(dist, 'infra', 'deployment.json'), laptopDeployment(version))
  writeFileSync(mark, '')
  return Date.now() - started
}

/** The deployment as a laptop wants it: this version's module, and readings within a second rather than packed for ten. */
function laptopDeployment(version) {
  const template = readFileSync(join(root, 'infra', 'edge', 'deployment.template.json'), 'utf8')
  const { '$schema-template': _, ...deployment } = JSON.parse(
    template.replaceAll('${EDGE_MODULE_IMAGE}', `millwright/edge-module:${version}`),
  )
  Object.assign(deployment.modulesContent['edge-module']['properties.desired'], { maxIntervalMs: 15_000, batchMaxDelayMs: 1_000 })
  return `${JSON.stringify(deployment, null, 2)}\n`
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  requireNode()
  await requirePackages()
  process.stdout.write(`built dist/ in ${await build()} ms\n`)
}
