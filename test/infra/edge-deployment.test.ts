/** The edge's deployment, template and layer, against the documented schema, the module's own words, and each other. */
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { Configuration, writableProperties } from '../../edge-module/configuration.ts'
import { EdgeModuleSettings } from '../../edge-module/settings.ts'
import { EdgeHubDesired, parseRoutes } from '../../local-cloud/edge-runtime/routes.ts'
import { root } from '../support/product.ts'

const read = (path: string): unknown => JSON.parse(readFileSync(join(root, path), 'utf8'))

describe('the image', () => {
  const dockerfile = readFileSync(join(root, 'infra', 'edge', 'Dockerfile'), 'utf8')
  const copied = [...dockerfile.matchAll(/^COPY (\S+) /gm)].map((match) => match[1]!)
  test('is made of what is built, adds at most 25 MB to its base, and installs nothing', () => {
    expect(copied).toEqual(['dist/edge/edge-module.cjs'])
    expect(copied.reduce((sum, path) => sum + statSync(join(root, path)).size, 0)).toBeLessThan(25 * 1024 * 1024)
    expect(dockerfile.replaceAll(/^#.*$/gm, '')).not.toMatch(/npm |apt|curl|ADD /)
  })
  test('runs for nobody in particular, with a volume, a health check and a base that has every platform', () => {
    expect(dockerfile).toMatch(/^FROM node:22-bookworm-slim$/m)
    expect(dockerfile).toMatch(/^USER node$/m)
    expect(dockerfile).toMatch(/^VOLUME \/data$/m)
    expect(dockerfile).toMatch(/^HEALTHCHECK /m)
    expect(dockerfile).toContain('linux/amd64,linux/arm64,linux/arm/v7')
  })
})

/** Deployment manifest, schema 1.1, as Microsoft documents it ("Learn how to deploy modules and establish routes"). */
const createOptions = z.string().refine((text) => typeof JSON.parse(text) === 'object', 'createOptions is JSON in a string')
const DockerModule = z.strictObject({
  version: z.string().optional(),
  type: z.literal('docker'),
  status: z.enum(['running', 'stopped']).optional(),
  restartPolicy: z.enum(['never', 'on-failure', 'on-unhealthy', 'always']).optional(),
  startupOrder: z.number().int().min(0).max(4_294_967_295).optional(),
  imagePullPolicy: z.enum(['on-create', 'never']).optional(),
  settings: z.strictObject({ image: z.string().min(1), createOptions: createOptions.optional() }),
  env: z.record(z.string(), z.strictObject({ value: z.string() })).optional(),
})
const Manifest = z.strictObject({
  '$schema-template': z.string().optional(),
  modulesContent: z.looseObject({
    $edgeAgent: z.strictObject({
      'properties.desired': z.strictObject({
        schemaVersion: z.enum(['1.0', '1.1']),
        runtime: z.strictObject({
          type: z.literal('docker'),
          settings: z.strictObject({
            minDockerVersion: z.string(),
            loggingOptions: z.string().optional(),
            registryCredentials: z.unknown().optional(),
          }),
        }),
        systemModules: z.strictObject({ edgeAgent: DockerModule, edgeHub: DockerModule }),
        modules: z.record(z.string(), DockerModule),
      }),
    }),
    $edgeHub: z.strictObject({
      'properties.desired': z.strictObject({
        schemaVersion: z.enum(['1.0', '1.1']),
        routes: z.record(
          z.string(),
          z.strictObject({
            route: z.string(),
            priority: z.number().int().min(0).max(9),
            timeToLiveSecs: z.number().int().min(0).max(4_294_967_295),
          }),
        ),
        storeAndForwardConfiguration: z.strictObject({ timeToLiveSecs: z.number().int().positive() }),
      }),
    }),
  }),
})
const ModuleProperties = z.object({ 'properties.desired': z.record(z.string(), z.unknown()) })
const Layer = z.looseObject({
  id: z.string().regex(/^[a-z0-9\-+%_*!']{1,128}$/),
  priority: z.number().int().min(0),
  targetCondition: z.string().min(1),
  content: z.strictObject({ modulesContent: z.record(z.string(), z.record(z.string().regex(/^properties\.desired\.\w+/), z.unknown())) }),
})

/** What is wrong with a manifest, in sentences. */
function mistakes(value: unknown): string[] {
  const parsed = Manifest.safeParse(value)
  if (!parsed.success) return [z.prettifyError(parsed.error)]
  const { $edgeAgent, $edgeHub, ...rest } = parsed.data.modulesContent
  const found: string[] = []
  const modules = $edgeAgent['properties.desired'].modules
  try {
    for (const route of parseRoutes(EdgeHubDesired.parse($edgeHub['properties.desired'])))
      if (route.endpoint.kind === 'module-input' && !modules[route.endpoint.moduleId]) found.push(`${route.name} leads to no module`)
  } catch (error) {
    found.push(String(error))
  }
  for (const [name, { route }] of Object.entries($edgeHub['properties.desired'].routes)) {
    const output = /modules\/edge-module\/outputs\/(\w+)/.exec(route)?.[1]
    if (output !== undefined && !outputs.includes(output)) found.push(`${name} takes the output '${output}', which the module has not`)
  }
  const desired = ModuleProperties.parse(rest['edge-module'])['properties.desired']
  const configuration = Configuration.strict().partial().safeParse(desired)
  if (!configuration.success) found.push(z.prettifyError(configuration.error))
  const environment = Object.entries(modules['edge-module']?.env ?? {}).map(([name, { value }]) => [name, value])
  const settings = EdgeModuleSettings.strict().safeParse(Object.fromEntries(environment))
  if (!settings.success) found.push(z.prettifyError(settings.error))
  return found
}

const outputs = ['alerts', 'readings', 'preview', 'rejected', 'safety']
const template = 'infra/edge/deployment.template.json'

describe('the deployment', () => {
  test.each([template, 'dist/infra/deployment.json'])('%s fits the schema, the routes and the module', (path) => {
    expect(mistakes(read(path))).toEqual([])
  })

  test('sends alerts first, previews next, and keeps readings for a week', () => {
    const { routes } = Manifest.parse(read(template)).modulesContent.$edgeHub['properties.desired']
    const order = Object.entries(routes)
      .filter(([, { route }]) => route.includes('$upstream'))
      .sort(([, a], [, b]) => a.priority - b.priority)
    expect(order.map(([name]) => name)).toEqual(['alertsToCloud', 'previewToCloud', 'readingsToCloud', 'rejectedToCloud'])
    expect(routes.previewToCloud!.timeToLiveSecs).toBeLessThanOrEqual(60)
    expect(routes.readingsToCloud!.timeToLiveSecs).toBe(604_800)
  })

  test.each([
    ['an output that is not there', (text: string) => text.replace('outputs/alerts', 'outputs/alarms'), /has not/],
    [
      'a module that is not there',
      (text: string) => text.replace('/modules/edge-module/inputs', '/modules/edge-modul/inputs'),
      /no module/,
    ],
    ['a priority out of range', (text: string) => text.replace('"priority": 9', '"priority": 10'), /priority/],
    ['a property that is none', (text: string) => text.replace('"deadbandFactor"', '"deadbandFaktor"'), /deadbandFaktor/],
    ['a setting that is wrong', (text: string) => text.replace('"value": "info"', '"value": "loud"'), /LOG_LEVEL/],
    ['options that are no JSON', (text: string) => text.replace('"createOptions": "{}"', '"createOptions": "{"'), /createOptions|JSON/],
  ])('with %s is noticed', (_, broken, expected) => {
    const text = readFileSync(join(root, template), 'utf8')
    expect(broken(text)).not.toBe(text)
    expect(() => {
      const found = mistakes(JSON.parse(broken(text)))
      if (found.length > 0) throw new Error(found.join('\n'))
    }).toThrow(expected)
  })
})

describe('the layered deployment', () => {
  test('changes groups of devices and nothing else', () => {
    const layer = Layer.parse(read('infra/edge/layered/pumps.json'))
    const groups: Record<string, unknown> = {}
    for (const [path, value] of Object.entries(layer.content.modulesContent['edge-module']!)) {
      expect(path).toMatch(/^properties\.desired\.groups\.\w+$/)
      groups[path.split('.').at(-1)!] = value
    }
    expect(Configuration.safeParse({ groups }).success).toBe(true)
  })
})

describe('the module’s DTDL interface', () => {
  const Interface = z.looseObject({
    '@id': z.string(),
    contents: z.array(z.looseObject({ '@type': z.string(), name: z.string(), writable: z.boolean().optional() })),
  })

  test('names exactly the properties that can be set, and the methods that can be called', () => {
    const { contents, '@id': id } = Interface.parse(read('infra/edge/edge-module.dtdl.json'))
    const named = (type: string, isWanted: (content: { writable?: boolean | undefined }) => boolean = () => true) =>
      contents.filter((content) => content['@type'] === type && isWanted(content)).map(({ name }) => name)
    expect(id).toBe('dtmi:millwright:EdgeModule;1')
    expect(named('Property', ({ writable }) => writable === true).sort()).toEqual([...writableProperties].sort())
    expect(named('Command')).toEqual(['flush', 'diagnostics', 'setLogLevel'])
  })
})
