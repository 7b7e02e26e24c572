/** What doctor says of a deployment, by a resource manager that answers as Azure's documentation shows its answers. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkAzure } from '../../cli/doctor/azure-checks.ts'
import { readAzureEnvironment } from '../../cli/doctor/azure-environment.ts'
import { runCommand } from '../support/product.ts'

const names = { AZURE_SUBSCRIPTION_ID: 'sub-1', AZURE_RESOURCE_GROUP: 'rg-plant', IOT_HUB_NAME: 'iot-plant' }
const hubPath = '/subscriptions/sub-1/resourceGroups/rg-plant/providers/Microsoft.Devices/IotHubs/iot-plant'
const groupsPath =
  '/subscriptions/sub-1/resourceGroups/rg-plant/providers/Microsoft.EventHub/namespaces/evhns-plant/eventhubs/telemetry/consumergroups'

type Answers = Record<string, unknown>
const route = { name: 'telemetry', source: 'DeviceMessages', condition: 'true', endpointNames: ['telemetry'], isEnabled: true }
const endpoint = {
  name: 'telemetry',
  endpointUri: 'sb://evhns-plant.servicebus.windows.net',
  entityPath: 'telemetry',
  authenticationType: 'identityBased',
}
const hub = (routes: unknown[], state = 'Active') => ({
  name: 'iot-plant',
  sku: { name: 'S1' },
  properties: {
    state,
    routing: { endpoints: { eventHubs: [endpoint], serviceBusQueues: [] }, routes, fallbackRoute: { name: 'fallback' } },
  },
})
const healthy: Answers = {
  [hubPath]: hub([route]),
  [`${hubPath}/routingEndpointsHealth`]: { value: [{ endpointId: 'telemetry', healthStatus: 'healthy' }] },
  [groupsPath]: { value: [{ name: '$Default' }, { name: 'functions' }, { name: 'replay' }] },
}
const findings = (answers: Answers) => checkAzure(async (path) => answers[path], names)
const wrong = async (answers: Answers) => (await findings(answers)).filter(({ ok }) => !ok)

describe('a deployment', () => {
  test('that is whole has nothing wrong', async () => {
    expect((await findings(healthy)).map(({ check, ok }) => [check, ok])).toEqual([
      ['hub', true],
      ['route', true],
      ['endpoint', true],
      ['group functions', true],
      ['group replay', true],
    ])
  })
  test.each([
    ['has no hub', { [hubPath]: undefined }, ['hub', "no hub 'iot-plant'"]],
    ['is still being made', { [hubPath]: hub([route], 'Transitioning') }, ['hub', 'Transitioning']],
    ['has no route', { [hubPath]: hub([]) }, ['route', 'message-route create']],
    ['routes something else', { [hubPath]: hub([{ ...route, source: 'TwinChangeEvents' }]) }, ['route', 'message-route create']],
    [
      'routes to the built-in endpoint alone',
      { [hubPath]: hub([{ ...route, endpointNames: ['events'] }]) },
      ['route', 'message-route create'],
    ],
    ['has its route disabled', { [hubPath]: hub([{ ...route, isEnabled: false }]) }, ['route', '--enabled true']],
    ['routes only a part', { [hubPath]: hub([{ ...route, condition: "$body.kind = 'alert'" }]) }, ['route', "where $body.kind = 'alert'"]],
    [
      'may not send to its endpoint',
      { [`${hubPath}/routingEndpointsHealth`]: { value: [{ endpointId: 'telemetry', healthStatus: 'dead' }] } },
      ['endpoint', 'Event Hubs Data Sender'],
    ],
    [
      'lacks a consumer group',
      { [groupsPath]: { value: [{ name: '$Default' }, { name: 'functions' }] } },
      ['group replay', '--name replay'],
    ],
    ['routes to an Event Hub that is gone', { [groupsPath]: undefined }, ['event hub', 'azd provision']],
  ])('that %s: doctor says so, and what to do', async (_, broken, [check, words]) => {
    expect(await wrong({ ...healthy, ...broken })).toEqual([{ check, ok: false, detail: expect.stringContaining(words!) }])
  })
})

describe('the names of a deployment', () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'azd-'))
    mkdirSync(join(folder, '.azure', 'plant-1'), { recursive: true })
    writeFileSync(join(folder, '.azure', 'config.json'), '{"version":1,"defaultEnvironment":"plant-1"}')
    writeFileSync(
      join(folder, '.azure', 'plant-1', '.env'),
      Object.entries(names)
        .map(([name, value]) => `${name}="${value}"\n`)
        .join(''),
    )
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  test('come from the environment, or from azd’s folder; from neither is none', async () => {
    expect(await readAzureEnvironment({ ...names, IOT_HUB_NAME: 'another' }, folder)).toEqual({ ...names, IOT_HUB_NAME: 'another' })
    expect(await readAzureEnvironment({}, folder)).toEqual(names)
    expect(await readAzureEnvironment({}, tmpdir())).toBeUndefined()
    await expect(readAzureEnvironment({ IOT_HUB_NAME: 'another' }, folder)).rejects.toThrow(/AZURE_SUBSCRIPTION_ID/)
  })

  test.skipIf(process.platform === 'win32')('lead the command to the resource manager, signed in as the Azure CLI is', async () => {
    // In the place of the Azure CLI, a program that gives a token as it does.
    const token = { accessToken: 'token-of-az', expires_on: Math.floor(Date.now() / 1000) + 3600, tokenType: 'Bearer' }
    writeFileSync(join(folder, 'az'), `#!/bin/sh\necho '${JSON.stringify(token)}'\n`)
    chmodSync(join(folder, 'az'), 0o755)
    const asked: string[] = []
    const server = createServer((request, response) => {
      const { pathname, searchParams } = new URL(request.url!, 'http://localhost')
      asked.push(`${searchParams.get('api-version')} ${request.headers.authorization}`)
      const answer = healthy[pathname]
      response.writeHead(answer ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(answer ?? {}))
    })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const { stdout } = await runCommand(['doctor', '--port', '0', '--target', 'azure'], {
      ...names,
      PATH: `${folder}${delimiter}${process.env.PATH}`,
      AZURE_RESOURCE_MANAGER_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      MILLWRIGHT_DATA: join(folder, 'data'),
    })
    server.close()
    expect(stdout).toContain("'telemetry' brings telemetry to 'telemetry'")
    expect(stdout).toMatch(/ok +group replay/)
    expect(asked.length).toBe(3)
    expect(asked.every((one) => /^20\d\d-\d\d-\d\d Bearer token-of-az$/.test(one))).toBe(true)
  })

  test('without anybody signed in: said as that', async () => {
    const { code, stdout } = await runCommand(['doctor', '--port', '0', '--target', 'azure'], {
      ...names,
      PATH: '',
      MILLWRIGHT_DATA: join(folder, 'data'),
    })
    expect(code).toBe(1)
    expect(stdout).toMatch(/WRONG +azure +nobody is signed in: az login/)
  })
})
