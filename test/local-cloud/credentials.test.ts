import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sharedAccessSignature } from '../../device-sim/device-credentials.ts'
import { Claims } from '../../local-cloud/amqp/claims.ts'
import { admit as admitDevice } from '../../local-cloud/iot-hub/device-credentials.ts'
import { readConnectNames } from '../../local-cloud/mqtt/connect-names.ts'
import { formatPropertyBag, parsePropertyBag } from '../../local-cloud/mqtt/property-bag.ts'
import { parsePublishTopic, parseSubscription } from '../../local-cloud/mqtt/topics.ts'
import { createAccessToken } from '../../local-cloud/security/shared-access.ts'

const nowMs = 1_700_000_000_000
const [primaryKey, secondaryKey, otherKey] = ['primary', 'secondary', 'other'].map((text) => Buffer.from(text).toString('base64')) as [
  string,
  string,
  string,
]
const registered: Record<string, 'enabled' | 'disabled'> = { 'dev-1': 'enabled', 'dev-2': 'disabled', 'edge/mod': 'enabled' }

/** Why a device is refused, or 'accepted'. */
function admit(
  attempt: {
    name?: string
    clientId?: string
    username?: string
    resource?: string
    key?: string
    expiresMs?: number
    password?: string
  } = {},
): string {
  const { name = 'dev-1', key = primaryKey, expiresMs = nowMs + 60_000 } = attempt
  const {
    clientId = name,
    username = `hub.local:1/${name}/?api-version=2021-04-12`,
    resource = `hub.local:1/devices/${name.replace('/', '/modules/')}`,
  } = attempt
  const { password = sharedAccessSignature(resource, key, expiresMs) } = attempt
  const names = readConnectNames(clientId, username)
  if ('refusal' in names) return names.refusal.reason
  const admission = admitDevice(
    { ...names, token: password, certificate: () => undefined },
    {
      find: ({ deviceId, moduleId }) => {
        const status = registered[moduleId === undefined ? deviceId : `${deviceId}/${moduleId}`]
        return status && { status, authentication: { type: 'sas', primaryKey, secondaryKey } }
      },
      policyKey: (name) => (name === 'device' ? otherKey : undefined),
      authorities: [],
      nowMs: () => nowMs,
    },
  )
  return admission.accepted ? 'accepted' : admission.reason
}

describe('device credentials', () => {
  test('both keys count, for devices and modules', () => {
    expect(admit()).toBe('accepted')
    expect(admit({ key: secondaryKey })).toBe('accepted')
    expect(admit({ name: 'edge/mod' })).toBe('accepted')
  })
  test.each([
    ['another key', { key: otherKey }, 'signature'],
    ['a token that has expired', { expiresMs: nowMs - 1_000 }, 'expired'],
    ["another device's token", { resource: 'hub.local:1/devices/dev-10' }, "not for 'hub.local:1/devices/dev-1'"],
    ['a token for the whole hub that only the device has signed', { resource: 'hub.local:1' }, "has no policy's name"],
    ['a client id that is not the device', { clientId: 'dev-2' }, 'client id'],
    ['an unknown device', { name: 'nobody' }, 'not registered'],
    ['a disabled device', { name: 'dev-2' }, 'disabled'],
    ['a user name of another form', { username: 'dev-1' }, 'user name'],
    ['no token', { password: 'secret' }, 'not a shared access signature'],
    ['a token with broken encoding', { password: 'SharedAccessSignature sr=%&sig=%&se=9' }, 'not a shared access signature'],
  ])('%s is refused', (_, attempt, why) => expect(admit(attempt)).toContain(why))
})

test('a policy that may connect as any device signs for one, or for all', () => {
  const password = createAccessToken('hub.local:1', Buffer.from(otherKey, 'base64'), nowMs + 60_000, 'device')
  expect(admit({ password })).toBe('accepted')
  expect(admit({ password: createAccessToken('hub.local:1', Buffer.from(otherKey, 'base64'), nowMs + 60_000, 'service') })).toContain(
    'has no right',
  )
})

describe('event hub claims', () => {
  const claims = () =>
    new Claims({
      policy: (policy) => (policy === 'owner' ? { key: primaryKey, rights: ['listen', 'service'] } : undefined),
      admit: async () => ({ accepted: false, kind: 'unauthorized', reason: 'no device is known here' }),
      refuseRegistration: () => 'nobody is provisioned here',
      nowMs: () => nowMs,
    })
  // Event Hubs signs with the key's text, IoT Hub with what base64 makes of it.
  const token = (resource: string, { policy = 'owner', keyBytes = Buffer.from(primaryKey, 'utf8'), expiresMs = nowMs + 60_000 } = {}) =>
    createAccessToken(resource, keyBytes, expiresMs, policy)

  test('cover the entity they name, and what lies below it', async () => {
    const held = claims()
    expect(await held.put('servicebus.windows.net:sastoken', token('sb://localhost:1/hub'))).toMatchObject({ statusCode: 202 })
    const covers = (address: string) => held.cover('event-hubs', address, 'listen')
    expect(['hub/ConsumerGroups/cg/Partitions/0', 'sb://x/HUB', 'hub2', 'other'].map(covers)).toEqual([true, true, false, false])
    expect(held.cover('event-hubs', 'hub', 'send')).toBe(false)
    expect(held.cover('iot-hub', 'hub', 'listen')).toBe(false)
  })
  test.each([
    ['a policy that is not there', token('sb://l/hub', { policy: 'nobody' })],
    ['a key taken for base64', token('sb://l/hub', { keyBytes: Buffer.from(primaryKey, 'base64') })],
    ['an expired token', token('sb://l/hub', { expiresMs: nowMs - 1_000 })],
    ['no token', 'hello'],
  ])('%s is refused', async (_, text) => {
    const held = claims()
    expect(await held.put('servicebus.windows.net:sastoken', text)).toMatchObject({ statusCode: 401 })
    expect(held.cover('event-hubs', 'hub', 'listen')).toBe(false)
  })
  test('a connection carries a thousand devices, each by a token of its own', async () => {
    const held = new Claims({
      policy: () => undefined,
      admit: async ({ identity }) => ({ accepted: true, identity, modelId: undefined, expiresMs: nowMs + 60_000, authMethod: '' }),
      refuseRegistration: () => 'nobody is provisioned here',
      nowMs: () => nowMs,
    })
    const device = (n: number) => ({ deviceId: `dev-${n}`, moduleId: undefined })
    for (let n = 0; n <= 1_000; n++)
      await held.put('sastoken', createAccessToken(`hub/devices/dev-${n}`, Buffer.from('key'), nowMs + 60_000))
    expect([0, 1, 999, 1_000, 1_001].map((n) => held.admitted(device(n)) !== undefined)).toEqual([false, true, true, true, false])
  })

  test('a token of IoT Hub names its host alone, signed with what base64 makes of the key', async () => {
    const held = claims()
    const text = token('localhost:1', { keyBytes: Buffer.from(primaryKey, 'base64') })
    expect(await held.put('servicebus.windows.net:sastoken', text)).toMatchObject({ statusCode: 200 })
    expect(held.cover('iot-hub', '/messages/devicebound', 'service')).toBe(true)
    expect(held.cover('event-hubs', 'hub', 'listen')).toBe(false)
  })
})

describe('the device side of shared access', () => {
  test('signs as IoT Hub documents it', () => {
    const signature = createHmac('sha256', Buffer.from(primaryKey, 'base64'))
      .update(`${encodeURIComponent('h/devices/d')}\n100`)
      .digest('base64')
    expect(sharedAccessSignature('h/devices/d', primaryKey, 100_000)).toBe(
      `SharedAccessSignature sr=${encodeURIComponent('h/devices/d')}&sig=${encodeURIComponent(signature)}&se=100`,
    )
  })
})

describe('topics', () => {
  test('only the documented ones are known', () => {
    expect(parsePublishTopic('devices/d/messages/events/')).toEqual({ kind: 'telemetry', deviceId: 'd', moduleId: undefined, bag: '' })
    expect(parsePublishTopic('devices/d/messages/events')).toMatchObject({ kind: 'telemetry', bag: '' })
    expect(parsePublishTopic('devices/d/modules/m/messages/events/a=b/')).toEqual({
      kind: 'telemetry',
      deviceId: 'd',
      moduleId: 'm',
      bag: 'a=b',
    })
    expect(parsePublishTopic('$iothub/twin/GET/?$rid=7')).toEqual({ kind: 'twin-get', requestId: '7' })
    expect(parsePublishTopic('$iothub/methods/res/200/?$rid=9')).toEqual({ kind: 'method-response', status: 200, requestId: '9' })
    for (const topic of ['devices/d', 'devices//messages/events/', 'anything', '$iothub/twin/GET/', '$SYS/x'])
      expect(parsePublishTopic(topic)).toBeUndefined()
  })
  test('a client subscribes to its own alone', () => {
    const device = { deviceId: 'd', moduleId: undefined }
    expect(parseSubscription('devices/d/messages/devicebound/#', device)).toBe('cloud-to-device')
    for (const filter of ['devices/e/messages/devicebound/#', 'devices/+/messages/devicebound/#', '#', 'devices/d/messages/events/#'])
      expect(parseSubscription(filter, device)).toBeUndefined()
  })
  test('a property bag comes back as it was', () => {
    const key = fc.string({ minLength: 1 }).filter((name) => !name.startsWith('$.'))
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom('ct', 'ce', 'mid'), fc.string()),
        fc.uniqueArray(fc.tuple(key, fc.string()), { selector: ([name]) => name }),
        (system, application) => {
          const bag = { system: new Map(Object.entries(system)), application }
          expect(parsePropertyBag(formatPropertyBag(bag))).toEqual(bag)
        },
      ),
    )
  })
})
