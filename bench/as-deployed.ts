/**
 * A module bundled as `bin/build.mjs` bundles what is deployed. Across ES modules V8 looks up every constant again and again: judging a
 * reading takes half as long again there, and no device, gateway or functions app runs it so.
 */
import { build } from 'esbuild'
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** @param entry beside this file; `T` is what it exports */
export async function asDeployed<T>(entry: string): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-'))
  try {
    const outfile = join(folder, 'bundle.cjs')
    const entryPoints = [fileURLToPath(new URL(entry, import.meta.url))]
    await build({
      entryPoints,
      outfile,
      bundle: true,
      platform: 'node',
      target: 'node20',
      format: 'cjs',
      minifySyntax: true,
      logLevel: 'error',
    })
    return createRequire(import.meta.url)(outfile) as T
  } finally {
    rmSync(folder, { recursive: true })
  }
}
