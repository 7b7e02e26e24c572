/** IoT Edge on this computer: gateways, modules that a manifest starts, methods and messages through to who is behind. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import iot from 'azure-iot-device'
import { Amqp } from 'azure-iot-device-amqp'
import mqtt from 'mqtt'
import type { MqttClient } from 'mqtt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AcknowledgingMqtt } from '../../edge-module/acknowledging-transport.ts'
import { startEdgeRuntime } from '../../local-cloud/edge-runtime/edge-runtime.ts'
import type { EdgeRuntime } from '../../local-cloud/edge-runtime/edge-runtime.ts'
import { serverCertificate } from '../../local-cloud/security/certificates.ts'
import { cloudForTests, onAzure } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { eventually } from '../support/eventually.ts'
import { eventsOf } from '../support/events.ts'
import { mqttOptions } from '../support/mqtt-options.ts'
import { trust } from '../support/trust.ts'

let cloud: CloudForTests
let folder: string
const gateways = new Map<string, EdgeRuntime>()
const logs: string[] = []

async function startGateway(deviceId: string): Promise<EdgeRuntime> {
  const { body } = await cloud.rest('GET', `/devices/${deviceId}`)
  const { authentication } = body as { authentication: { symmetricKey: { primaryKey: string } } }
  const gateway = await startEdgeRuntime({
    connectionString: `HostName=${cloud.registry.hubHost};DeviceId=${deviceId};SharedAccessKey=${authentication.symmetricKey.primaryKey}`,
    dataDirectory: join(folder, deviceId),
    port: 0,
    certificate: await serverCertificate(dirname(cloud.connection.ca!)),
    scriptOf: (image) => (image === 'test/echo:1' ? join(folder, 'echo.cjs') : undefined),
    log: (event, fields) => logs.push(`${event} ${JSON.stringify(fields)}`),
  })
  gateways.set(deviceId, gateway)
  return gateway
}

const manifest = (routes: Record<string, unknown>, modules: Record<string, unknown> = {}, storeLimits?: unknown) => ({
  modulesContent: {
    $edgeAgent: {
      'properties.desired': { schemaVersion: '1.1', runtime: { type: 'docker' }, systemModules: { edgeAgent: {}, edgeHub: {} }, modules },
    },
    $edgeHub: {
      'properties.desired': {
        schemaVersion: '1.1',
        routes,
        storeAndForwardConfiguration: { timeToLiveSecs: 7200, ...(storeLimits ? { storeLimits } : {}) },
      },
    },
  },
})
const toCloud = { all: 'FROM /messages/* INTO $upstream' }

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'the edge-'))
  // A module that says what it was given, and stays.
  writeFileSync(
    join(folder, 'echo.cjs'),
    "require('node:fs').writeFileSync(process.env.OUT, JSON.stringify({ id: process.env.IOTEDGE_MODULEID, greeting: process.env.GREETING })); setInterval(() => {}, 1000); process.on('disconnect', () => process.exit(0))",
  )
  cloud = await cloudForTests()
  trust(cloud.ca)
  for (const id of ['gw-1', 'gw-2']) {
    await cloud.rest('PUT', `/devices/${id}`, { deviceId: id, capabilities: { iotEdge: true } })
    await cloud.rest('POST', `/devices/${id}/applyConfigurationContent`, manifest(toCloud))
    await startGateway(id)
  }
})
afterAll(async () => {
  for (const gateway of gateways.values()) await gateway.stop()
  await cloud.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** A device behind a gateway. */
async function child(gatewayId: string, deviceId: string): Promise<MqttClient> {
  const scope = ((await cloud.rest('GET', `/devices/${gatewayId}`)).body as { deviceScope: string }).deviceScope
  const { body } = await cloud.rest('PUT', `/devices/${deviceId}`, { deviceId, parentScopes: [scope] })
  const key = (body as { authentication: { symmetricKey: { primaryKey: string } } }).authentication.symmetricKey.primaryKey
  const { hubHost } = cloud.registry
  return mqtt.connectAsync(mqttOptions({ hubHost, deviceId, key, ca: cloud.ca, gatewayHost: gateways.get(gatewayId)!.gatewayHost }))
}

const nextMessage = (client: MqttClient) =>
  new Promise<{ topic: string; text: string }>((resolve) =>
    client.once('message', (topic, body) => resolve({ topic, text: body.toString() })),
  )
const reported = async (id: string, module: string) =>
  ((await cloud.rest('GET', `/twins/${id}/modules/${module}`)).body as { properties: { reported: Record<string, never> } }).properties
    .reported as Record<string, unknown>

describe.skipIf(onAzure)('a transparent gateway', () => {
  test('passes telemetry on as the device’s own; several gateways run side by side', async () => {
    for (const gateway of ['gw-1', 'gw-2']) {
      const client = await child(gateway, `leaf-${gateway}`)
      await client.publishAsync(`devices/leaf-${gateway}/messages/events/a=1`, '{"n":1}', { qos: 1 })
      await client.endAsync()
      expect((await eventsOf(cloud, `leaf-${gateway}`, 1))[0]).toMatchObject({ body: { n: 1 }, properties: { a: '1' } })
    }
  })

  test('does not let in a child of another gateway', async () => {
    const client = await child('gw-1', 'leaf-own')
    await client.endAsync()
    const { body } = await cloud.rest('GET', '/devices/leaf-own')
    const key = (body as { authentication: { symmetricKey: { primaryKey: string } } }).authentication.symmetricKey.primaryKey
    const { hubHost } = cloud.registry
    const { gatewayHost } = gateways.get('gw-2')!
    await expect(mqtt.connectAsync(mqttOptions({ hubHost, deviceId: 'leaf-own', key, ca: cloud.ca, gatewayHost }))).rejects.toThrow(
      /Not authorized/,
    )
  })

  test('passes methods, messages and desired properties through to the device, and its answers back', async () => {
    const client = await child('gw-1', 'leaf-talk')
    await client.subscribeAsync({ '$iothub/methods/POST/#': { qos: 0 }, '$iothub/twin/PATCH/properties/desired/#': { qos: 0 } })
    await client.subscribeAsync('devices/leaf-talk/messages/devicebound/#', { qos: 1 })
    client.on('message', (topic) => {
      const requestId = /\$iothub\/methods\/POST\/echo\/\?\$rid=(.*)/.exec(topic)?.[1]
      if (requestId) client.publish(`$iothub/methods/res/200/?$rid=${requestId}`, '{"echo":true}')
    })
    const answer = await eventually(async () => {
      const { status, body } = await cloud.rest('POST', '/twins/leaf-talk/methods', {
        methodName: 'echo',
        payload: {},
        responseTimeoutInSeconds: 5,
        connectTimeoutInSeconds: 5,
      })
      return status === 200 ? body : undefined
    })
    expect(answer).toEqual({ status: 200, payload: { echo: true } })
    const changed = nextMessage(client)
    await cloud.rest('PATCH', '/twins/leaf-talk', { properties: { desired: { rate: 3 } } })
    expect(JSON.parse((await changed).text)).toMatchObject({ rate: 3 })
    await client.endAsync()
  })

  test('speaks AMQP, too: a module’s output reaches another’s input, a device its hub', async () => {
    const id = 'gw-amqp'
    await cloud.rest('PUT', `/devices/${id}`, { deviceId: id, capabilities: { iotEdge: true } })
    const routes = {
      inside: 'FROM /messages/modules/source/outputs/found INTO BrokeredEndpoint("/modules/sink/inputs/in")',
      up: 'FROM /messages/* WHERE NOT IS_DEFINED($connectionModuleId) INTO $upstream',
    }
    await cloud.rest('POST', `/devices/${id}/applyConfigurationContent`, manifest(routes))
    const { gatewayHost } = await startGateway(id)
    const { hubHost } = cloud.registry
    const module = async (moduleId: string) => {
      const { body } = await cloud.rest('PUT', `/devices/${id}/modules/${moduleId}`, { deviceId: id, moduleId })
      const key = (body as { authentication: { symmetricKey: { primaryKey: string } } }).authentication.symmetricKey.primaryKey
      const text = `HostName=${hubHost};DeviceId=${id};ModuleId=${moduleId};SharedAccessKey=${key};GatewayHostName=${gatewayHost}`
      const client = iot.ModuleClient.fromConnectionString(text, Amqp)
      await client.setOptions({ ca: cloud.ca })
      await client.open()
      return client
    }
    const [source, sink] = [await module('source'), await module('sink')]
    const arrived: { input: string; message: iot.Message }[] = []
    sink.on('inputMessage', (input: string, message: iot.Message) => arrived.push({ input, message }))
    const found = new iot.Message('{"level":3}')
    found.properties.add('kind', 'leak')
    await source.sendOutputEvent('found', found)
    await expect.poll(() => arrived.length).toBe(1)
    const [{ input, message }] = arrived as [{ input: string; message: iot.Message }]
    expect([input, message.getData().toString(), message.properties.getValue('kind')]).toEqual(['in', '{"level":3}', 'leak'])
    // Given back, it comes again; then it is done with.
    await sink.abandon(message)
    await expect.poll(() => arrived.length).toBe(2)
    await sink.complete(arrived[1]!.message)

    const scope = ((await cloud.rest('GET', `/devices/${id}`)).body as { deviceScope: string }).deviceScope
    const { body } = await cloud.rest('PUT', '/devices/leaf-amqp', { deviceId: 'leaf-amqp', parentScopes: [scope] })
    const key = (body as { authentication: { symmetricKey: { primaryKey: string } } }).authentication.symmetricKey.primaryKey
    const leaf = iot.Client.fromConnectionString(
      `HostName=${hubHost};DeviceId=leaf-amqp;SharedAccessKey=${key};GatewayHostName=${gatewayHost}`,
      Amqp,
    )
    await leaf.setOptions({ ca: cloud.ca })
    await leaf.open()
    await leaf.sendEvent(new iot.Message('{"over":"amqp"}'))
    expect((await eventsOf(cloud, 'leaf-amqp', 1))[0]!.body).toEqual({ over: 'amqp' })
    leaf.onDeviceMethod('echo', (request, response) => void response.send(200, request.payload))
    const call = { methodName: 'echo', payload: { a: 1 }, connectTimeoutInSeconds: 10, responseTimeoutInSeconds: 10 }
    expect((await cloud.rest('POST', '/twins/leaf-amqp/methods', call)).body).toMatchObject({ status: 200, payload: { a: 1 } })
    const twin = await leaf.getTwin()
    let told = 0
    twin.on('properties.desired', (delta: { n?: number }) => (told = delta.n ?? told))
    // The client begins to listen without a word.
    await expect
      .poll(async () => {
        await cloud.rest('PATCH', '/twins/leaf-amqp', { properties: { desired: { n: told + 1 } } })
        return told
      })
      .toBeGreaterThan(0)
    await Promise.all([source.close(), sink.close(), leaf.close()])
  })

  test('goes on giving a module its inputs when that renews its token: it connects again, and subscribes to nothing anew', async () => {
    const id = 'gw-renewal'
    await cloud.rest('PUT', `/devices/${id}`, { deviceId: id, capabilities: { iotEdge: true } })
    const routes = { inside: 'FROM /messages/* INTO BrokeredEndpoint("/modules/sink/inputs/in")' }
    await cloud.rest('POST', `/devices/${id}/applyConfigurationContent`, manifest(routes))
    const { gatewayHost } = await startGateway(id)
    const { body } = await cloud.rest('PUT', `/devices/${id}/modules/sink`, { deviceId: id, moduleId: 'sink' })
    const key = (body as { authentication: { symmetricKey: { primaryKey: string } } }).authentication.symmetricKey.primaryKey
    const { hubHost } = cloud.registry
    const text = `HostName=${hubHost};DeviceId=${id};ModuleId=sink;SharedAccessKey=${key};GatewayHostName=${gatewayHost}`
    const provider = iot.SharedAccessKeyAuthenticationProvider.fromConnectionString(text)
    provider.setTokenRenewalValues(60, 59)
    let renewals = 0
    provider.on('newTokenAvailable', () => renewals++)
    // The SDK's own transport acknowledges what comes while it disconnects, and nobody gets that.
    const sink = iot.ModuleClient.fromAuthenticationProvider(provider, AcknowledgingMqtt)
    await sink.setOptions({ ca: cloud.ca })
    await sink.open()
    const arrived: number[] = []
    sink.on('inputMessage', (_input: string, message: iot.Message) => {
      arrived.push((JSON.parse(message.getData().toString()) as { n: number }).n)
      sink.complete(message, () => {})
    })
    const client = await child(id, 'leaf-renewal')
    for (let n = 0; renewals < 5; n++) {
      await client.publishAsync('devices/leaf-renewal/messages/events/', JSON.stringify({ n }), { qos: 1 })
      await eventually(() => (arrived.includes(n) ? true : undefined), { what: `message ${n} after ${renewals} renewals` })
    }
    await Promise.all([client.endAsync(), sink.close()])
  }, 60_000)

  test('keeps what it acknowledged while the hub is away', async () => {
    const client = await child('gw-1', 'leaf-away')
    // The gateway's own link to the hub for this device must stand before the hub goes.
    await client.publishAsync('devices/leaf-away/messages/events/', '{"n":0}', { qos: 1 })
    await eventsOf(cloud, 'leaf-away', 1)
    await cloud.restart()
    await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        client.publishAsync('devices/leaf-away/messages/events/', JSON.stringify({ n: n + 1 }), { qos: 1 }),
      ),
    )
    const events = await eventsOf(cloud, 'leaf-away', 21)
    expect(new Set(events.map(({ body }) => (body as { n: number }).n)).size).toBe(21)
    await client.endAsync()
  })

  test('refuses to acknowledge what its store has no room for', async () => {
    await cloud.rest('POST', '/devices/gw-2/applyConfigurationContent', manifest(toCloud, {}, { maxSizeBytes: 1 }))
    await eventually(async () => ((await reported('gw-2', '$edgeHub')).lastDesiredVersion === 3 ? true : undefined))
    const client = await child('gw-2', 'leaf-full')
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()))
    client.publish('devices/leaf-full/messages/events/', '{"n":1}', { qos: 1 })
    await closed
    expect(logs.some((line) => line.includes('store-full'))).toBe(true)
    await cloud.rest('POST', '/devices/gw-2/applyConfigurationContent', manifest(toCloud))
  })
})

describe.skipIf(onAzure)('a deployment', () => {
  test('starts the modules it names, restarts one that changed, stops one that is gone, and reports', async () => {
    const module = (greeting: string, out: string) => ({
      echo: {
        type: 'docker',
        status: 'running',
        restartPolicy: 'always',
        version: '1.0',
        settings: { image: 'test/echo:1' },
        env: { GREETING: { value: greeting }, OUT: { value: join(folder, out) } },
      },
    })
    const deploy = (content: unknown) => cloud.rest('POST', '/devices/gw-1/applyConfigurationContent', content)
    const said = (file: string) =>
      existsSync(join(folder, file)) ? (JSON.parse(readFileSync(join(folder, file), 'utf8')) as unknown) : undefined
    await deploy(manifest(toCloud, module('hello', 'one.json')))
    expect(await eventually(() => said('one.json'))).toEqual({ id: 'echo', greeting: 'hello' })
    type Agent = { modules?: { echo?: { runtimeStatus: string; restartCount: number } }; lastDesiredStatus?: { code: number } }
    const agent = () => reported('gw-1', '$edgeAgent') as Promise<Agent>
    expect(await eventually(async () => ((await agent()).modules?.echo?.runtimeStatus === 'running' ? agent() : undefined))).toMatchObject({
      lastDesiredStatus: { code: 200 },
    })
    await deploy(manifest(toCloud, module('changed', 'two.json')))
    expect(await eventually(() => said('two.json'))).toEqual({ id: 'echo', greeting: 'changed' })
    await deploy(manifest(toCloud))
    await eventually(async () => ((await agent()).modules?.echo === undefined ? true : undefined))
  })

  test('that cannot be read is reported, and what runs goes on', async () => {
    await cloud.rest('POST', '/devices/gw-1/applyConfigurationContent', manifest({ bad: 'FROM nowhere INTO $upstream' }))
    await eventually(async () =>
      ((await reported('gw-1', '$edgeHub')).lastDesiredStatus as { code: number } | undefined)?.code === 400 ? true : undefined,
    )
    const client = await child('gw-1', 'leaf-after')
    await client.publishAsync('devices/leaf-after/messages/events/', '{"n":1}', { qos: 1 })
    expect(await eventsOf(cloud, 'leaf-after', 1)).toHaveLength(1)
    await client.endAsync()
  })
})
