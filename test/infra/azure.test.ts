/** The infrastructure against the code that runs on it, without Azure: what the functions use is there, and nothing else. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { containerNames } from '../../cloud-functions/store/files.ts'
import { readSettings } from '../../cloud-functions/settings.ts'
import { tableNames } from '../../cloud-functions/store/tables.ts'
import { WorkerThread } from '../../local-cloud/functions-host/worker-thread.ts'
import { root } from '../support/product.ts'
import { appSettingsOf, arrayOf, isBicep, wrongCalls } from './bicep.ts'

const folder = join(root, 'infra', 'azure')
const read = (path: string): string => readFileSync(join(folder, path), 'utf8')
const readIfThere = (path: string) => (existsSync(join(folder, path)) ? read(path) : undefined)
const files = ['main.bicep', ...readdirSync(join(folder, 'modules')).map((name) => `modules/${name}`)]

let worker: WorkerThread
beforeAll(async () => {
  worker = await WorkerThread.start({
    workerFile: join(root, 'dist', 'local-cloud', 'functions-worker.cjs'),
    appFile: join(root, 'dist', 'functions', 'main.cjs'),
    environment: {},
    log: () => {},
  })
})
afterAll(() => worker?.stop())

describe('every file', () => {
  test.each(files)('%s is Bicep', async (path) => expect(await isBicep(read(path))).toBe(true))
  test('and one with a missing brace would not be', async () =>
    expect(await isBicep(read('main.bicep').replace("= {\n  name: 'page'", "=\n  name: 'page'"))).toBe(false))
})

describe('the modules', () => {
  test('are given what they want, want what they use, and have what is asked of them', () =>
    expect(wrongCalls(read('main.bicep'), readIfThere)).toEqual([]))
  test.each([
    ['a parameter is forgotten', (text: string) => text.replace('    operators: operators\n', ''), "module 'functions' wants 'operators'"],
    [
      'a parameter is misspelt',
      (text: string) => text.replace('    operators: operators', '    operator: operators'),
      "module 'functions' has no parameter 'operator'",
    ],
    ['an output is misspelt', (text: string) => text.replace('outputs.idScope', 'outputs.scopeId'), "'iotHub' has no output 'scopeId'"],
    [
      'a file is not there',
      (text: string) => text.replace("'modules/page.bicep'", "'modules/pages.bicep'"),
      "module 'page' names 'modules/pages.bicep', which is not there",
    ],
  ])('and it would be noticed when %s', (_, damage, problem) =>
    expect(wrongCalls(damage(read('main.bicep')), readIfThere)).toContain(problem),
  )
})

/** Settings that the Functions host itself reads. */
const ofTheHost = /^(AzureWebJobsStorage|EventHubConnection)__(credential|clientId|queueServiceUri)$|^APPLICATIONINSIGHTS_/

/** What is wrong with the app settings, as sentences. */
function wrongSettings(text: string): string[] {
  const settings = appSettingsOf(text)
  const problems: string[] = []
  const example: Record<string, string> = {
    AZURE_CLIENT_ID: '00000000-0000-4000-8000-000000000000',
    SERVICE_DEPARTMENT_SECRET: 'whsec_c2VjcmV0',
    OPERATOR_TOKEN: 'sixteen letters!!',
    PLATFORM_SIGN_IN: 'static-web-apps',
    OPERATORS: '1',
  }
  const environment = Object.fromEntries([...settings.keys()].map((key) => [key, example[key] ?? 'https://example.com/']))
  let app: Record<string, unknown> = {}
  try {
    app = readSettings(environment)
  } catch (error) {
    problems.push(error instanceof Error ? error.message : String(error))
  }
  for (const key of settings.keys())
    if (!(key in app) && !ofTheHost.test(key) && !usedByTriggers().has(key)) problems.push(`nothing reads the setting '${key}'`)
  for (const name of usedByTriggers())
    if (!settings.has(name) && ![...settings.keys()].some((key) => key.startsWith(`${name}__`)))
      problems.push(`a function uses '${name}', which is not set`)
  return problems
}

/** Connections and `%SETTINGS%` in the functions' own registrations. */
function usedByTriggers(): Set<string> {
  const used = new Set<string>()
  for (const { bindings } of worker.functions) {
    for (const binding of Object.values(bindings)) {
      if (typeof binding.connection === 'string') used.add(binding.connection)
      for (const value of Object.values(binding))
        if (typeof value === 'string') for (const [, name] of value.matchAll(/%(\w+)%/g)) used.add(name!)
    }
  }
  return used
}

describe('the app settings', () => {
  test('are what the functions and their triggers read, and no more', () =>
    expect(wrongSettings(read('modules/functions.bicep'))).toEqual([]))
  test('one that nothing reads would be noticed, and one that is missing', () => {
    const text = read('modules/functions.bicep')
    expect(wrongSettings(text.replace('      OPERATORS:', '      OPERATOR_COUNT:'))).toEqual(["nothing reads the setting 'OPERATOR_COUNT'"])
    expect(wrongSettings(text.replace(/ *EVENT_HUB_CONSUMER_GROUP: .*\n/, ''))).toEqual([
      "a function uses 'EVENT_HUB_CONSUMER_GROUP', which is not set",
    ])
    expect(wrongSettings(text.replace(/ *OPERATOR_TOKEN: .*\n/, '')).join()).toContain('OPERATOR_TOKEN')
  })
})

describe('tables, queues, containers and consumer groups', () => {
  const storage = read('modules/storage.bicep')
  test('tables are those of the store', () => expect(arrayOf(storage, 'tableNames').sort()).toEqual([...tableNames].sort()))
  test('containers are those of its files', () =>
    expect(arrayOf(storage, 'containerNames').sort()).toEqual(Object.values(containerNames).sort()))
  test('queues are those that functions read or write', () => {
    const used = new Set(
      worker.functions.flatMap(({ bindings }) =>
        Object.values(bindings).flatMap(({ queueName }) => (typeof queueName === 'string' ? [queueName] : [])),
      ),
    )
    expect(new Set(arrayOf(storage, 'queueNames'))).toEqual(used)
  })
  test('the trigger and the replay have a consumer group each', () => {
    const groups = [...read('modules/event-hubs.bicep').matchAll(/consumergroups@\S+ = \{\s*parent: hub\s*name: '([^']+)'/g)].map(
      (match) => match[1],
    )
    expect(groups).toEqual(['functions', 'replay'])
    const settings = appSettingsOf(read('modules/functions.bicep'))
    expect([settings.get('EVENT_HUB_CONSUMER_GROUP'), settings.get('REPLAY_CONSUMER_GROUP')]).toEqual(['triggerGroup', 'replayGroup'])
  })
})

/** Azure's built-in roles, by id, and what of the app wants each. */
const roles: Record<string, string> = {
  'b7e6dc6d-f1e8-4753-8033-0f276bb0955b': 'blobs of the store, leases of the host',
  '974c5e8b-45b9-4653-ba55-5f855dd0fb88': 'queues',
  '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3': 'tables',
  'a638d3c7-ab3a-418d-83e6-5f17a39d4fde': 'telemetry',
  '494bdba2-168f-4f31-a0a1-191d2f7c028c': 'twins that the page shows',
  '12cf5a90-567b-43ae-8102-96cf46c7d9b4': 'open pages',
  '4633458b-17de-408a-b874-0445c86b69e6': 'secrets by reference',
  '3913510d-42f4-4e42-8a64-420c390055eb': 'metrics',
}

describe('the roles', () => {
  const text = read('modules/roles.bicep')
  test('are the least that the app needs, each given once', () => {
    const declared = [...text.matchAll(/^var (\w+) = '([0-9a-f-]{36})'$/gm)].map(([, name, id]) => ({ name: name!, id: id! }))
    expect(declared.map(({ id }) => id).sort()).toEqual(Object.keys(roles).sort())
    const assigned = [...text.matchAll(/roleDefinitionId: .*roleDefinitions', (\w+)\)/g)].map((match) => match[1]!)
    expect(assigned.sort()).toEqual(declared.map(({ name }) => name).sort())
  })
  test('no service but DPS’s link has a shared key', () => {
    const all = files.map((path) => ({ path, text: read(path) }))
    expect(all.filter((file) => /list[kK]eys\(/.test(file.text)).map(({ path }) => path)).toEqual(['modules/iot-hub.bicep'])
    expect(read('modules/storage.bicep')).toContain('allowSharedKeyAccess: false')
    for (const path of ['event-hubs', 'web-pubsub']) expect(read(`modules/${path}.bicep`)).toContain('disableLocalAuth: true')
  })
})

/** As Microsoft documents azure.yaml (schema v1.0). */
const hook = z.union([
  z.strictObject({ shell: z.enum(['sh', 'pwsh']), run: z.string() }),
  z.strictObject({
    posix: z.strictObject({ shell: z.literal('sh'), run: z.string() }),
    windows: z.strictObject({ shell: z.literal('pwsh'), run: z.string() }).optional(),
  }),
])
const AzureYaml = z.strictObject({
  name: z.string().regex(/^[a-z0-9-]+$/),
  infra: z.strictObject({ provider: z.literal('bicep'), path: z.string(), module: z.string() }),
  hooks: z.partialRecord(z.enum(['prepackage', 'preprovision', 'postprovision', 'predeploy', 'postdeploy']), hook),
  services: z.record(
    z.string(),
    z.strictObject({
      project: z.string(),
      language: z.enum(['js', 'ts']),
      host: z.enum(['function', 'staticwebapp']),
      dist: z.string().optional(),
    }),
  ),
})

describe('azure.yaml', () => {
  const yaml = AzureYaml.parse(parse(readFileSync(join(root, 'azure.yaml'), 'utf8')))
  test('names a template, parameters and hooks that are there', () => {
    expect(existsSync(join(root, yaml.infra.path, `${yaml.infra.module}.bicep`))).toBe(true)
    const commands = Object.values(yaml.hooks).flatMap((one) => ('run' in one ? [one.run] : [one.posix.run, one.windows?.run ?? '']))
    const scripts = commands.flatMap((command) => [...command.matchAll(/node (\S+)/g)].map((match) => match[1]!))
    expect(scripts).toEqual(['infra/hooks/postprovision.mjs', 'infra/hooks/postprovision.mjs'])
    for (const script of scripts) expect(existsSync(join(root, script)), script).toBe(true)
    const parameters = z
      .object({ parameters: z.record(z.string(), z.object({ value: z.string() })) })
      .parse(JSON.parse(read('main.parameters.json')))
    const wanted = [...read('main.bicep').matchAll(/^param (\w+)/gm)].map((match) => match[1]!)
    expect(Object.keys(parameters.parameters).sort()).toEqual(wanted.sort())
  })
  test('deploys what is built, to resources that bear the services’ names', () => {
    const tagged = files.flatMap((path) => [...read(path).matchAll(/'azd-service-name': '(\w+)'/g)].map((match) => match[1]!))
    expect(Object.keys(yaml.services).sort()).toEqual(tagged.sort())
    for (const { project, host } of Object.values(yaml.services))
      expect(existsSync(join(root, project, host === 'function' ? 'host.json' : 'staticwebapp.config.json')), project).toBe(true)
  })
  test('the page’s policy lets it reach its live channel and nothing else', () => {
    const config = z
      .object({ globalHeaders: z.record(z.string(), z.string()) })
      .parse(JSON.parse(readFileSync(join(root, 'dist/dashboards/staticwebapp.config.json'), 'utf8')))
    expect(config.globalHeaders['content-security-policy']).toMatch(/connect-src 'self' wss:\/\/\*\.webpubsub\.azure\.com;/)
  })
})
