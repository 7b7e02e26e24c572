/** The rules that keep the map true (DESIGN R1 to R4), as a table of allowed edges. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '..')

/** R1: who may import whom, beside itself. */
const allowedParts: Record<string, readonly string[]> = {
  contract: [],
  journal: [],
  detection: ['contract'],
  'device-sim': ['contract', 'detection', 'journal'],
  'edge-module': ['contract', 'detection', 'journal'],
  'cloud-functions': ['contract', 'detection'],
  dashboards: ['contract', 'detection'],
  'local-cloud': ['contract', 'detection', 'journal'],
  cli: ['contract', 'detection', 'journal', 'device-sim', 'edge-module', 'cloud-functions', 'dashboards', 'local-cloud'],
}

/** R4: where the product may use an SDK. `local-cloud` may be a client, `test` and `bench` may do anything. */
const sdkHomes: Record<string, readonly string[]> = {
  'azure-iot-device': ['device-sim', 'edge-module'],
  'azure-iot-device-mqtt': ['device-sim', 'edge-module'],
  mqtt: ['device-sim', 'edge-module'],
  '@azure/event-hubs': ['cloud-functions'],
  '@azure/functions': ['cloud-functions'],
  '@azure/data-tables': ['cloud-functions'],
  '@azure/web-pubsub-client': ['dashboards'],
}

type Source = { readonly path: string; readonly part: string; readonly text: string; readonly imports: readonly string[] }

function sources(): Source[] {
  return Object.keys(allowedParts).flatMap((part) =>
    filesBelow(join(root, part)).map((file) => {
      const text = readFileSync(file, 'utf8')
      const imports = [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1]!)
      return { path: relative(root, file), part, text, imports }
    }),
  )
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name)
    if (statSync(path).isDirectory()) return filesBelow(path)
    return /\.tsx?$/.test(name) && !name.endsWith('.d.ts') ? [path] : []
  })
}

function partOf(source: Source, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined
  return relative(root, resolve(root, dirname(source.path), specifier)).split('/')[0]
}

/** Imports that break R1 or R2, as sentences. */
function wrongEdges(all: readonly Source[]): string[] {
  return all.flatMap((source) =>
    source.imports.flatMap((specifier) => {
      const target = partOf(source, specifier)
      const isAllowed = target === undefined || target === source.part || allowedParts[source.part]!.includes(target)
      return isAllowed ? [] : [`${source.path} imports ${target}`]
    }),
  )
}

/** What a pure folder must not touch: modules of Node, clock, environment, randomness. */
const impure = [/from 'node:/, /\bDate\.now\b/, /new Date\(\)/, /\bMath\.random\b/, /process\.env/, /crypto\.random/, /\bfetch\(/]

describe('the parts and their edges', () => {
  const all = sources()

  test('every part imports only what the map allows (R1, R2)', () => {
    expect(all.length).toBeGreaterThan(80)
    expect(wrongEdges(all)).toEqual([])
  })

  test('a forbidden edge is noticed', () => {
    const forbidden: Source = {
      path: 'cloud-functions/functions/x.ts',
      part: 'cloud-functions',
      text: '',
      imports: ['../../local-cloud/local-cloud.ts', './y.ts', 'zod'],
    }
    expect(wrongEdges([forbidden])).toEqual(['cloud-functions/functions/x.ts imports local-cloud'])
  })

  test('pure folders touch no clock, no randomness, no environment, no Node (R3)', () => {
    const pure = all.filter(({ part }) => part === 'contract' || part === 'detection')
    const found = pure.flatMap(({ path, text }) =>
      impure.filter((pattern) => pattern.test(text)).map((pattern) => `${path} matches ${pattern}`),
    )
    expect(pure.length).toBeGreaterThan(15)
    expect(found).toEqual([])
  })

  test('each SDK lives in its own parts (R4)', () => {
    const found = all.flatMap(({ path, part, imports }) =>
      part === 'local-cloud'
        ? []
        : imports.filter((name) => sdkHomes[name] && !sdkHomes[name].includes(part)).map((name) => `${path} imports ${name}`),
    )
    expect(found).toEqual([])
    expect(all.some(({ part, imports }) => part === 'cloud-functions' && imports.includes('@azure/data-tables'))).toBe(true)
  })
})
