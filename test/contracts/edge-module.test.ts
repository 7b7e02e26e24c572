/** The edge module's bundle on a gateway: configured, asked and cut off as on IoT Edge. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MqttClient } from 'mqtt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { zlibCompression } from '../../cloud-functions/hot-path/compression.ts'
import { EdgeAlerts, edgeAlertsContentType } from '../../contract/edge-alerts.ts'
import { decodePackedBatch, packedBatchContentType } from '../../contract/telemetry/packed-batch.ts'
import { readingCount } from '../../contract/telemetry/telemetry.ts'
import { cloudForTests, onAzure } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { eventually } from '../support/eventually.ts'
import { eventsWhere } from '../support/events.ts'
import { gatewayForTests } from '../support/gateway.ts'
import type { GatewayForTests } from '../support/gateway.ts'
import { root } from '../support/product.ts'
import { trust } from '../support/trust.ts'

let cloud: CloudForTests
let gateway: GatewayForTests
let folder: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'the edge-'))
  cloud = await cloudForTests()
  trust(cloud.ca)
  process.env.NODE_EXTRA_CA_CERTS = cloud.connection.ca!
  gateway = await gatewayForTests(cloud, {
    deviceId: 'gw-e',
    folder,
    routes: { safetyToLamp: 'FROM /messages/modules/edge-module/outputs/safety INTO BrokeredEndpoint("/modules/lamp/inputs/safety")' },
  })
})
afterAll(async () => {
  await gateway.stop()
  await cloud.stop()
  rmSync(folder, { recursive: true, force: true })
})

const oven = 'dtmi:millwright:IndustrialOven;1'
/** Publishes one reading of an oven, acknowledged by the gateway. */
async function publish(client: MqttClient, deviceId: string, seq: number, chamberTemperatureC: number): Promise<void> {
  const bag = `%24.ct=application%2Fjson&%24.ce=utf-8&bootId=b&seq=${seq}&count=1&model=${encodeURIComponent(oven)}`
  const body = JSON.stringify({ time: new Date().toISOString(), chamberTemperatureC })
  await client.publishAsync(`devices/${deviceId}/messages/events/${bag}`, body, { qos: 1 })
}
/** Bodies of the module's messages of a content type, once there are as many as wanted. */
const sentByModule = async (contentType: string, count: number) =>
  (
    await eventsWhere(
      cloud.connection.eventHub,
      ({ systemProperties, contentType: type }) =>
        systemProperties?.['iothub-connection-module-id'] === 'edge-module' && type === contentType,
      count,
      `${contentType} of the module`,
    )
  ).map(({ body }) => ({ body: body as unknown }))

describe.skipIf(onAzure)('the edge module', () => {
  test('acknowledges its properties by the Plug and Play convention, and refuses a bad one, keeping the last good', async () => {
    await gateway.desire({ deadbandFactor: 2, groups: { ovens: { version: '7', devices: ['oven-*'], maxIntervalMs: 3000 } } })
    const applied = await eventually(async () => {
      const reported = (await gateway.reported()) as { deadbandFactor?: { value: number; av: number } }
      return reported.deadbandFactor?.value === 2 ? reported : undefined
    })
    expect(applied).toMatchObject({
      deadbandFactor: { value: 2, ac: 200, ad: 'applied' },
      previewEveryMs: { value: 60_000, ac: 203, ad: 'default' },
      groups: { value: { ovens: { version: '7', maxIntervalMs: 3000 } }, ac: 200 },
    })
    await gateway.desire({ deadbandFactor: -1, maxIntervalMs: 5000 })
    const refused = await eventually(async () => {
      const reported = (await gateway.reported()) as { deadbandFactor?: { ac: number } }
      return reported.deadbandFactor?.ac === 400 ? reported : undefined
    })
    expect(refused).toMatchObject({
      deadbandFactor: { value: 2, ad: expect.stringMatching(/Too small/) },
      maxIntervalMs: { value: 5000, ac: 200 },
    })
    expect((applied.deadbandFactor as { av: number }).av).toBeLessThan((refused.deadbandFactor as unknown as { av: number }).av)
    await gateway.desire({ deadbandFactor: null })
  })

  test('answers flush, diagnostics and setLogLevel, and reports its health', async () => {
    const client = await gateway.child('oven-asked')
    await gateway.desire({ batchMaxDelayMs: 600_000 })
    await eventually(async () =>
      ((await gateway.reported()) as { batchMaxDelayMs?: { value: number } }).batchMaxDelayMs?.value === 600_000 ? true : undefined,
    )
    await publish(client, 'oven-asked', 1, 200)
    const flushed = await eventually(async () => {
      const { status, payload } = await gateway.call('flush')
      return status === 200 && (payload as { messages: number }).messages > 0 ? payload : undefined
    })
    expect(flushed).toEqual({ messages: 1 })
    const [packed] = await sentByModule(packedBatchContentType, 1)
    expect(readingCount(decodePackedBatch(packed!.body as Uint8Array, zlibCompression).blocks[0]!)).toBe(1)
    expect((await gateway.call('diagnostics')).payload).toMatchObject({
      devices: 1,
      readingsTaken: 1,
      groups: { ovens: { version: '7', devices: 1 } },
      journal: { isFull: false, unfoldedBytes: 0 },
    })
    expect(await gateway.call('setLogLevel', { level: 'debug' })).toEqual({ status: 200, payload: { level: 'debug' } })
    expect(await gateway.call('setLogLevel', { level: 'loud' })).toMatchObject({ status: 400 })
    expect((await gateway.reported()).health).toMatchObject({ status: 'ok' })
    await gateway.desire({ batchMaxDelayMs: null })
    await client.endAsync()
  })

  test('with the way to the cloud cut, acts on a safety limit within a second; the cloud hears of it first, later', async () => {
    const client = await gateway.child('oven-hot')
    await client.subscribeAsync('$iothub/methods/POST/#')
    const lamp = await gateway.module('lamp')
    await lamp.subscribeAsync('devices/gw-e/modules/lamp/inputs/#', { qos: 1 })
    for (let seq = 1; seq <= 5; seq++) await publish(client, 'oven-hot', seq, 200)
    await sentByModule(packedBatchContentType, 2)
    await cloud.fault({ kind: 'offline', durationMs: 600_000 })
    const called = new Promise<{ name: string; payload: unknown; atMs: number }>((resolve) =>
      client.on('message', (topic, body) => {
        const [, name = '', requestId = ''] = /^\$iothub\/methods\/POST\/([^/]+)\/\?\$rid=(.+)$/.exec(topic) ?? []
        client.publish(`$iothub/methods/res/200/?$rid=${requestId}`, '{}')
        resolve({ name, payload: JSON.parse(body.toString()), atMs: Date.now() })
      }),
    )
    const lit = new Promise<{ notice: unknown; atMs: number }>((resolve) =>
      lamp.once('message', (_topic, body) => resolve({ notice: JSON.parse(body.toString()), atMs: Date.now() })),
    )
    const startMs = Date.now()
    await publish(client, 'oven-hot', 6, 251)
    const [call, light] = await Promise.all([called, lit])
    expect(call).toMatchObject({ name: 'cutHeater', payload: { reason: 'chamber too hot' } })
    expect(light.notice).toMatchObject({ deviceId: 'oven-hot', signal: 'chamberTemperatureC', state: 'active', observed: 251, limit: 235 })
    const tookMs = Math.max(call.atMs, light.atMs) - startMs
    process.stdout.write(`safety action after ${tookMs} ms\n`)
    expect(tookMs).toBeLessThan(1_000)
    await cloud.endFaults()
    const [alert] = await sentByModule(edgeAlertsContentType, 1)
    expect(EdgeAlerts.parse(alert!.body).events).toMatchObject([
      {
        deviceId: 'oven-hot',
        signal: 'chamberTemperatureC',
        event: { kind: 'raised', condition: 'high-high', evidence: { observed: 251 } },
      },
    ])
    await Promise.all([client.endAsync(), lamp.endAsync()])
  })

  test('names a device that misbehaves, and why', async () => {
    const client = await gateway.child('oven-odd')
    await client.publishAsync('devices/oven-odd/messages/events/%24.ct=application%2Fjson', '{"temperature": NaN}', { qos: 1 })
    const health = await eventually(async () => {
      const { payload } = await gateway.call('diagnostics')
      return (payload as { troubles: { deviceId: string }[] }).troubles.find(({ deviceId }) => deviceId === 'oven-odd')
    })
    expect(health).toMatchObject({ reason: 'not-finite', count: 1 })
    await client.endAsync()
  })

  test('takes the groups of a layered deployment beside its own', async () => {
    const read = (path: string) => JSON.parse(readFileSync(join(root, path), 'utf8')) as { id: string; targetCondition: string }
    const layer = read('infra/edge/layered/pumps.json')
    await cloud.rest('PATCH', '/twins/gw-e', { tags: { site: 'north' } })
    // A layer lies over an automatic deployment, here the same one that was applied by hand.
    const { targetCondition } = layer
    await cloud.rest('PUT', '/configurations/base', {
      id: 'base',
      schemaVersion: '1.0',
      priority: 1,
      targetCondition,
      content: read('dist/infra/deployment.json'),
    })
    expect((await cloud.rest('PUT', `/configurations/${layer.id}`, layer)).status).toBeLessThan(300)
    const groups = await eventually(async () => {
      const reported = (await gateway.reported()) as { groups?: { value: Record<string, { version: string }>; ac: number } }
      return reported.groups?.value.pumps ? reported.groups : undefined
    })
    expect(groups).toMatchObject({ value: { pumps: { version: '2', maxIntervalMs: 30_000 } }, ac: 200 })
  })
})
