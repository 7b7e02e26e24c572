/** IoT Hub's service side, seen through the official service client: identities, twins, methods, messages to devices. */
import iot from 'azure-iot-device'
import type { Client as DeviceClient, Message as DeviceMessage, Twin } from 'azure-iot-device'
import iotMqtt from 'azure-iot-device-mqtt'
import iothub from 'azure-iothub'
import type { Client as ServiceClient, Registry } from 'azure-iothub'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import '../../bin/host-ports.mjs'
import { formatDeviceConnectionString } from '../../device-sim/device-credentials.ts'
import { createAccessToken } from '../../local-cloud/security/shared-access.ts'
import { cloudForTests, onAzure } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { eventually } from '../support/eventually.ts'
import { trust } from '../support/trust.ts'

type FeedbackReceiver = {
  on(event: 'message', listener: (message: DeviceMessage) => void): void
  complete(message: DeviceMessage, done: () => void): void
}

let cloud: CloudForTests
let registry: Registry
let service: ServiceClient
beforeAll(async () => {
  cloud = await cloudForTests()
  trust(cloud.ca)
  registry = iothub.Registry.fromConnectionString(cloud.connection.iotHub)
  service = iothub.Client.fromConnectionString(cloud.connection.iotHub)
  await service.open()
})
afterAll(async () => {
  await service.close()
  await cloud.stop()
})

async function withDevice<T>(deviceId: string, use: (client: DeviceClient) => Promise<T>): Promise<T> {
  const client = iot.Client.fromConnectionString(formatDeviceConnectionString(await cloud.device(deviceId)), iotMqtt.Mqtt)
  await client.setOptions({ ca: cloud.ca })
  await client.open()
  try {
    return await use(client)
  } finally {
    await client.close()
  }
}

/** What a promise was rejected with, by its name and its message. */
const failure = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'nothing',
    (error: Error) => `${error.name}: ${error.message}`,
  )

describe('the identity registry', () => {
  test('creates, reads, updates and deletes, and fills in empty keys', async () => {
    const { responseBody: created } = await registry.create({ deviceId: 'reg-1' })
    expect(created.authentication!.symmetricKey!.primaryKey).toMatch(/^[A-Za-z0-9+/]{43}=$/)
    expect(await failure(registry.create({ deviceId: 'reg-1' }))).toMatch(/DeviceAlreadyExists/)
    await registry.update(Object.assign(created, { deviceId: 'reg-1', status: 'disabled' as const, statusReason: 'repair' }))
    const { responseBody: read } = await registry.get('reg-1')
    expect(read).toMatchObject({
      status: 'disabled',
      statusReason: 'repair',
      authentication: { symmetricKey: created.authentication!.symmetricKey },
    })
    await registry.delete('reg-1')
    expect(await failure(registry.get('reg-1'))).toMatch(/DeviceNotFound/)
  })

  test('guards updates by ETag', async () => {
    const { responseBody: created } = await registry.create({ deviceId: 'reg-2' })
    const put = (etag: string) =>
      cloud.rest('PUT', '/devices/reg-2', { deviceId: 'reg-2', status: 'disabled' }, { 'if-match': `"${etag}"` })
    expect((await put('stale')).status).toBe(412)
    expect((await put(created.etag!)).status).toBe(200)
    expect((await put(created.etag!)).status).toBe(412)
  })

  test('takes bulk operations and lists what failed', async () => {
    const { responseBody } = await registry.addDevices([{ deviceId: 'bulk-1' }, { deviceId: 'bulk-2' }])
    expect(responseBody.isSuccessful).toBe(true)
    expect(await failure(registry.addDevices([{ deviceId: 'bulk-1' }, { deviceId: 'bulk-3' }]))).not.toBe('nothing')
    expect((await registry.get('bulk-3')).responseBody.deviceId).toBe('bulk-3')
    await registry.removeDevices([{ deviceId: 'bulk-1' }, { deviceId: 'bulk-2' }, { deviceId: 'bulk-3' }], true)
    expect(await failure(registry.get('bulk-2'))).toMatch(/DeviceNotFound/)
  })

  test('keeps modules, fifty a device at most', async () => {
    await registry.create({ deviceId: 'mod-1' })
    for (let index = 0; index < 50; index++) await registry.addModule({ deviceId: 'mod-1', moduleId: `m${index}` })
    expect(await failure(registry.addModule({ deviceId: 'mod-1', moduleId: 'one-more' }))).not.toBe('nothing')
    expect((await registry.getModulesOnDevice('mod-1')).responseBody).toHaveLength(50)
    await registry.removeModule('mod-1', 'm0')
    expect((await registry.getModulesOnDevice('mod-1')).responseBody).toHaveLength(49)
  })

  test('counts devices', async () => {
    const { responseBody } = await registry.getRegistryStatistics()
    expect(responseBody.totalDeviceCount).toBe(responseBody.enabledDeviceCount + responseBody.disabledDeviceCount)
  })

  test.skipIf(onAzure).each([
    ['registryRead', 'GET', '/devices/reg-3', 200],
    ['registryRead', 'PUT', '/devices/reg-4', 401],
    ['registryReadWrite', 'PUT', '/devices/reg-4', 200],
    ['service', 'GET', '/devices/reg-3', 401],
    ['service', 'GET', '/twins/reg-3', 200],
    ['registryRead', 'GET', '/twins/reg-3', 401],
    ['device', 'GET', '/devices/reg-3', 401],
    ['iothubowner', 'GET', '/twins/reg-3', 200],
  ])('the policy %s may %s %s: %i', async (policy, method, path, status) => {
    await cloud.device('reg-3')
    const body = method === 'PUT' ? { deviceId: path.split('/').at(-1) } : undefined
    expect((await cloud.rest(method, path, body, {}, policy)).status).toBe(status)
  })

  test('refuses tokens that are forged, expired, or of another hub', async () => {
    const host = cloud.registry.hubHost
    const key = Buffer.from(/SharedAccessKey=([^;]+)/.exec(cloud.connection.iotHub)![1]!, 'base64')
    const status = async (authorization: string) => (await cloud.rest('GET', '/devices/reg-3', undefined, { authorization })).status
    expect(await status(createAccessToken(host, key, Date.now() + 60_000, 'iothubowner'))).toBe(200)
    expect(await status(createAccessToken(host, Buffer.from('other'), Date.now() + 60_000, 'iothubowner'))).toBe(401)
    expect(await status(createAccessToken(host, key, Date.now() - 60_000, 'iothubowner'))).toBe(401)
    expect(await status(createAccessToken('other.azure-devices.net', key, Date.now() + 60_000, 'iothubowner'))).toBe(401)
    expect(await status('Bearer x')).toBe(401)
  })
})

describe('twins', () => {
  test('travel both ways, with versions, tags and ETags', async () => {
    await withDevice('twin-1', async (client) => {
      const twin = await new Promise<Twin>((resolve, reject) => client.getTwin((error, found) => (error ? reject(error) : resolve(found!))))
      const desired = new Promise<unknown>((resolve) =>
        twin.on('properties.desired', (patch: { interval?: number }) => patch.interval === 5 && resolve(patch)),
      )
      const { responseBody } = await registry.updateTwin('twin-1', { tags: { line: 2 }, properties: { desired: { interval: 5 } } }, '*')
      expect(await desired).toMatchObject({ interval: 5, $version: 2 })
      await new Promise<void>((resolve, reject) =>
        twin.properties.reported.update({ interval: 5, old: 1 }, (error?: Error) => (error ? reject(error) : resolve())),
      )
      await new Promise<void>((resolve, reject) =>
        twin.properties.reported.update({ old: null }, (error?: Error) => (error ? reject(error) : resolve())),
      )
      const { responseBody: read } = await registry.getTwin('twin-1')
      expect(read).toMatchObject({
        tags: { line: 2 },
        properties: { desired: { interval: 5, $version: 2 }, reported: { interval: 5, $version: 3 } },
      })
      expect(read.properties.reported).not.toHaveProperty('old')
      expect(read.properties.reported.$metadata.interval.$lastUpdated).toMatch(/^20/)
      expect(await failure(registry.updateTwin('twin-1', { tags: { line: 3 } }, responseBody.etag))).toMatch(/InvalidEtag|Precondition|412/)
    })
  })

  test.each([
    ['tags of 9 KB', { tags: { text: 'x'.repeat(4000), more: 'y'.repeat(4000), rest: 'z'.repeat(1000) } }],
    ['a text of 5 KB', { properties: { desired: { text: 'x'.repeat(5000) } } }],
    [
      'desired properties of 33 KB',
      { properties: { desired: Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`p${i}`, 'x'.repeat(4000)])) } },
    ],
    ['eleven levels', { properties: { desired: { a: { b: { c: { d: { e: { f: { g: { h: { i: { j: { k: 1 } } } } } } } } } } } } }],
    ['a name with a dot', { properties: { desired: { 'a.b': 1 } } }],
    ['an integer beyond 2^52', { tags: { big: 4_503_599_627_370_496 } }],
  ])('with %s are refused', async (_, patch) => {
    await cloud.device('twin-2')
    expect(await failure(registry.updateTwin('twin-2', patch, '*'))).toMatch(/Argument/)
    expect((await registry.getTwin('twin-2')).responseBody.tags).toEqual({})
  })

  test('are found by queries, page by page', async () => {
    await Promise.all(
      Array.from({ length: 25 }, async (_, index) => {
        const deviceId = `query-${String(index).padStart(2, '0')}`
        await cloud.device(deviceId)
        await registry.updateTwin(deviceId, { tags: { fleet: 'q', even: index % 2 === 0 } }, '*')
      }),
    )
    const query = registry.createQuery("SELECT * FROM devices WHERE tags.fleet = 'q' AND tags.even = true", 5)
    const found: string[] = []
    while (query.hasMoreResults) found.push(...(await query.nextAsTwin()).result.map(({ deviceId }: { deviceId: string }) => deviceId))
    expect(found.sort()).toEqual(Array.from({ length: 13 }, (_, index) => `query-${String(index * 2).padStart(2, '0')}`))
    const counts = await registry.createQuery("SELECT COUNT() AS n FROM devices WHERE tags.fleet = 'q'").next()
    expect(counts.result).toEqual([{ n: 25 }])
    expect(await failure(registry.createQuery('SELECT * FROM nothing').next())).not.toBe('nothing')
  })
})

describe('direct methods', () => {
  test('carry a payload there and an answer back', async () => {
    await withDevice('method-1', async (client) => {
      client.onDeviceMethod('add', (request, response) => void response.send(200, { sum: request.payload.a + request.payload.b }))
      await eventually(async () => {
        const { result } = await service.invokeDeviceMethod('method-1', {
          methodName: 'add',
          payload: { a: 2, b: 3 },
          responseTimeoutInSeconds: 5,
          connectTimeoutInSeconds: 5,
        })
        expect(result).toEqual({ status: 200, payload: { sum: 5 } })
        return true
      })
    })
  })

  test('to a device that is away fail at once, or wait for it as long as asked', async () => {
    await cloud.device('method-2')
    const call = { methodName: 'x', payload: null, responseTimeoutInSeconds: 5 }
    expect(await failure(service.invokeDeviceMethod('method-2', call))).toMatch(/not online|404|Not found/i)
    const waiting = service.invokeDeviceMethod('method-2', { ...call, connectTimeoutInSeconds: 20 })
    await withDevice('method-2', async (client) => {
      client.onDeviceMethod('x', (_, response) => void response.send(204, null))
      expect((await waiting).result.status).toBe(204)
    })
  })

  test('that nobody answers time out', async () => {
    await withDevice('method-3', async (client) => {
      client.onDeviceMethod('known', () => {})
      await eventually(
        async () =>
          (await failure(service.invokeDeviceMethod('method-3', { methodName: 'known', responseTimeoutInSeconds: 5 }))).includes('Timeout')
            ? true
            : undefined,
        { withinMs: 20_000 },
      )
    })
  })
})

describe('messages to devices', () => {
  /** Messages a device gets, settled as told. */
  const received = (client: DeviceClient, settle: 'complete' | 'none' = 'complete') => {
    const messages: DeviceMessage[] = []
    client.on('message', (message: DeviceMessage) => {
      messages.push(message)
      if (settle === 'complete') client.complete(message, () => {})
    })
    return messages
  }
  const send = async (deviceId: string, text: string, change: (message: InstanceType<typeof iot.Message>) => void = () => {}) => {
    const message = new iot.Message(text)
    change(message)
    await service.send(deviceId, message)
  }

  test('wait for a device that is away, keep their order and properties, and tell the sender what became of them', async () => {
    await cloud.device('c2d-1')
    const feedback: { originalMessageId: string; statusCode: string }[] = []
    const receiver = await new Promise<FeedbackReceiver>((resolve, reject) =>
      service.getFeedbackReceiver((error, found) => (error ? reject(error) : resolve(found as never))),
    )
    receiver.on('message', (message: DeviceMessage) => {
      feedback.push(...(JSON.parse(message.getData().toString()) as typeof feedback))
      receiver.complete(message, () => {})
    })
    for (const id of ['1', '2', '3'])
      await send('c2d-1', `text ${id}`, (message) => {
        message.messageId = `id-${id}`
        message.ack = 'full'
        message.contentType = 'text/plain' as never
        message.properties.add('site', 'Köln & more')
      })
    await withDevice('c2d-1', async (client) => {
      const messages = received(client)
      await eventually(() => (messages.length >= 3 ? true : undefined))
      expect(messages.map((message) => message.getData().toString())).toEqual(['text 1', 'text 2', 'text 3'])
      expect(messages[0]).toMatchObject({ messageId: 'id-1', contentType: 'text/plain', to: '/devices/c2d-1/messages/devicebound' })
      expect(messages[0]!.properties.getValue('site')).toBe('Köln & more')
    })
    await eventually(() => (feedback.length >= 3 ? true : undefined))
    expect(feedback.map(({ originalMessageId, statusCode }) => `${originalMessageId} ${statusCode}`).sort()).toEqual([
      'id-1 Success',
      'id-2 Success',
      'id-3 Success',
    ])
  })

  test('are limited to fifty waiting and 64 KB, and survive a restart', async () => {
    await cloud.device('c2d-2')
    for (let index = 0; index < 50; index++) await send('c2d-2', String(index))
    expect(await failure(send('c2d-2', 'one too many'))).toMatch(/QueueDepth/i)
    await cloud.device('c2d-3')
    expect(await failure(send('c2d-3', 'x'.repeat(64 * 1024 + 1)))).not.toBe('nothing')
    expect(await failure(send('nobody', 'x'))).toMatch(/DeviceNotFound/)
    expect((await registry.get('c2d-2')).responseBody.cloudToDeviceMessageCount).toBe(50)
    const { status, body } = await cloud.rest('DELETE', '/devices/c2d-2/commands')
    expect([status, body]).toEqual([200, { deviceId: 'c2d-2', moduleId: null, totalMessagesPurged: 50 }])
  })

  test.skipIf(onAzure)('are for back ends with the right to', async () => {
    const key = await cloud.policyKey('registryRead')
    const other = iothub.Client.fromConnectionString(
      `HostName=${cloud.registry.hubHost};SharedAccessKeyName=registryRead;SharedAccessKey=${key}`,
    )
    expect(await failure(other.open().then(() => other.send('c2d-1', new iot.Message('x'))))).toMatch(/Unauthorized/)
    await other.close().catch(() => {})
  })
})

describe('configurations', () => {
  test('bring targeted twins in step, the highest priority having the last word', async () => {
    await cloud.device('config-1')
    await cloud.device('config-2')
    await registry.updateTwin('config-1', { tags: { line: 'a' } }, '*')
    const add = (id: string, priority: number, interval: number) =>
      registry.addConfiguration({
        id,
        schemaVersion: '1.0',
        targetCondition: "tags.line = 'a'",
        priority,
        content: { deviceContent: { 'properties.desired.interval': interval } },
      })
    await add('low', 1, 10)
    await add('high', 5, 20)
    const desired = async (deviceId: string) => (await registry.getTwin(deviceId)).responseBody.properties.desired.interval as unknown
    await eventually(async () => ((await desired('config-1')) === 20 ? true : undefined))
    expect(await desired('config-2')).toBeUndefined()
    // A device that comes to match later is brought in step, too.
    await registry.updateTwin('config-2', { tags: { line: 'a' } }, '*')
    await eventually(async () => ((await desired('config-2')) === 20 ? true : undefined))
    const { responseBody } = await registry.getConfiguration('high')
    expect(responseBody).toMatchObject({ priority: 5, systemMetrics: { results: { targetedCount: 2, appliedCount: 2 } } })
    await registry.removeConfiguration('high')
    await eventually(async () => ((await desired('config-1')) === 10 ? true : undefined))
    await registry.removeConfiguration('low')
  })

  test('that cannot be read are refused', async () => {
    expect(
      await failure(
        registry.addConfiguration({ id: 'bad', targetCondition: 'tags.line = ', priority: 1, content: { deviceContent: {} } } as never),
      ),
    ).not.toBe('nothing')
  })
})

describe('jobs', () => {
  test('change twins of all devices of a query, and say how it went for each', async () => {
    for (const id of ['job-1', 'job-2']) {
      await cloud.device(id)
      await registry.updateTwin(id, { tags: { batch: 'j' } }, '*')
    }
    const jobs = iothub.JobClient.fromConnectionString(cloud.connection.iotHub)
    await jobs.scheduleTwinUpdate('update-all', "tags.batch = 'j'", { etag: '*', properties: { desired: { level: 7 } } }, new Date(), 60)
    const job = await eventually(async () => {
      const { jobStatus } = (await jobs.getJob('update-all')) as unknown as {
        jobStatus: { status: string; deviceJobStatistics: { succeededCount: number } }
      }
      return jobStatus.status === 'completed' ? jobStatus : undefined
    })
    expect(job.deviceJobStatistics.succeededCount).toBe(2)
    expect((await registry.getTwin('job-2')).responseBody.properties.desired.level).toBe(7)
    const rows = await registry
      .createQuery("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'update-all'")
      .next()
      .catch(() => undefined)
    expect(rows === undefined || Array.isArray(rows.result)).toBe(true)
    await jobs.scheduleDeviceMethod('call-all', "deviceId = 'job-1'", { methodName: 'x', responseTimeoutInSeconds: 5 }, new Date(), 60)
    const failed = await eventually(async () => {
      const { jobStatus } = (await jobs.getJob('call-all')) as unknown as {
        jobStatus: { status: string; deviceJobStatistics: { failedCount: number } }
      }
      return jobStatus.status === 'completed' ? jobStatus : undefined
    })
    expect(failed.deviceJobStatistics.failedCount).toBe(1)
    const later = new Date(Date.now() + 3_600_000)
    await jobs.scheduleTwinUpdate('later', '*', { properties: { desired: {} } }, later, 60)
    await jobs.cancelJob('later')
    const { jobStatus } = (await jobs.getJob('later')) as unknown as { jobStatus: { status: string } }
    expect(jobStatus.status).toBe('cancelled')
  })
})
