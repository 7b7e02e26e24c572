/** Device provisioning, seen through the official provisioning clients of devices and of back ends. */
import { createHmac } from 'node:crypto'
import iot from 'azure-iot-device'
import iotMqtt from 'azure-iot-device-mqtt'
import provisioning from 'azure-iot-provisioning-device'
import provisioningAmqp from 'azure-iot-provisioning-device-amqp'
import provisioningMqtt from 'azure-iot-provisioning-device-mqtt'
import provisioningService from 'azure-iot-provisioning-service'
import symmetricKey from 'azure-iot-security-symmetric-key'
import x509Security from 'azure-iot-security-x509'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import '../../bin/host-ports.mjs'
import { sharedAccessSignature } from '../../device-sim/device-credentials.ts'
import { selfSigned } from '../support/certificates.ts'
import { cloudForTests, onAzure } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { eventsOf } from '../support/events.ts'
import { trust } from '../support/trust.ts'

let cloud: CloudForTests
let service: provisioningService.ProvisioningServiceClient
beforeAll(async () => {
  cloud = await cloudForTests()
  trust(cloud.ca)
  service = provisioningService.ProvisioningServiceClient.fromConnectionString(cloud.connection.dpsService!)
})
afterAll(() => cloud.stop())

type Assigned = { assignedHub: string; deviceId: string; substatus?: string }
type Security = Parameters<typeof provisioning.ProvisioningDeviceClient.create>[3]

const transports = { MQTT: provisioningMqtt.Mqtt, AMQP: provisioningAmqp.Amqp }
type Transport = keyof typeof transports

async function register(security: unknown, transport: Transport = 'MQTT'): Promise<Assigned> {
  const { endpoint, idScope } = cloud.connection.dps!
  const client = provisioning.ProvisioningDeviceClient.create(endpoint, idScope, new transports[transport](), security as Security)
  return new Promise((resolve, reject) => {
    void client.register((error, result) => (error ? reject(error) : resolve(result as Assigned)))
  })
}

const byKey = (registrationId: string, key: string, transport?: Transport) =>
  register(new symmetricKey.SymmetricKeySecurityClient(registrationId, key), transport)
const derived = (groupKey: string, registrationId: string) =>
  createHmac('sha256', Buffer.from(groupKey, 'base64')).update(registrationId).digest('base64')
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => 'nothing',
    (error: Error) => error.message || error.name,
  )

describe('group enrolment', () => {
  test('by symmetric key: a device becomes one of the hub, and can send', async () => {
    const key = derived(cloud.connection.dps!.groupKey, 'grp-1')
    const { assignedHub, deviceId } = await byKey('grp-1', key)
    expect([assignedHub, deviceId]).toEqual([cloud.registry.hubHost, 'grp-1'])
    const client = iot.Client.fromConnectionString(`HostName=${assignedHub};DeviceId=grp-1;SharedAccessKey=${key}`, iotMqtt.Mqtt)
    await client.setOptions({ ca: cloud.ca })
    await client.open()
    await client.sendEvent(new iot.Message('{"a":1}'))
    await client.close()
    expect(await eventsOf(cloud, 'grp-1', 1)).toHaveLength(1)
  })

  test('over AMQP as over MQTT: by key, and by certificate', async () => {
    const groupKey = cloud.connection.dps!.groupKey
    expect(await byKey('amqp-1', derived(groupKey, 'amqp-1'), 'AMQP')).toMatchObject({
      assignedHub: cloud.registry.hubHost,
      deviceId: 'amqp-1',
    })
    expect(await failure(byKey('amqp-2', derived(groupKey, 'amqp-1'), 'AMQP'))).not.toBe('nothing')
    const { cert, key } = await selfSigned('amqp-3')
    await service.createOrUpdateIndividualEnrollment({
      registrationId: 'amqp-3',
      attestation: { type: 'x509', x509: { clientCertificates: { primary: { certificate: cert } } } },
    } as never)
    expect(await register(new x509Security.X509Security('amqp-3', { cert, key }), 'AMQP')).toMatchObject({ deviceId: 'amqp-3' })
    const stranger = await selfSigned('amqp-3')
    expect(await failure(register(new x509Security.X509Security('amqp-3', { cert: stranger.cert, key: stranger.key }), 'AMQP'))).not.toBe(
      'nothing',
    )
  })

  test.skipIf(onAzure)('another key, or a key of another name, is refused', async () => {
    expect(await failure(byKey('grp-2', derived(cloud.connection.dps!.groupKey, 'grp-3')))).not.toBe('nothing')
    expect(await failure(byKey('grp-2', Buffer.from('wrong').toString('base64')))).not.toBe('nothing')
    expect(cloud.refusals.some(({ reason }) => reason.startsWith('dps-'))).toBe(true)
  })

  test('by certificate: whoever the authority signed for', async () => {
    const authority = await selfSigned('Factory', { isAuthority: true })
    await service.createOrUpdateEnrollmentGroup({
      enrollmentGroupId: 'factory',
      attestation: { type: 'x509', x509: { signingCertificates: { primary: { certificate: authority.cert } } } },
      initialTwin: { tags: { made: 'here' }, properties: { desired: { interval: 3 } } },
    } as never)
    const { cert, key } = await authority.issue('line-7')
    const assigned = await register(new x509Security.X509Security('line-7', { cert, key }))
    expect(assigned.deviceId).toBe('line-7')
    const { body } = await cloud.rest('GET', '/twins/line-7')
    expect(body).toMatchObject({ tags: { made: 'here' }, properties: { desired: { interval: 3 } }, authenticationType: 'selfSigned' })
    const stranger = await selfSigned('line-8')
    expect(await failure(register(new x509Security.X509Security('line-8', { cert: stranger.cert, key: stranger.key })))).not.toBe('nothing')
  })
})

describe('individual enrolment', () => {
  test.skipIf(onAzure)('gives the device the id, the twin and the capability that it says', async () => {
    const { responseBody } = await service.createOrUpdateIndividualEnrollment({
      registrationId: 'one-1',
      deviceId: 'pump-one',
      attestation: { type: 'symmetricKey' },
      capabilities: { iotEdge: true },
      initialTwin: { tags: { site: 'a' } },
    } as never)
    expect(responseBody.etag).toBeTruthy()
    const mechanism = await cloud.rest('POST', '/enrollments/one-1/attestationmechanism', undefined, await dpsAuthorization())
    const key = (mechanism.body as { symmetricKey: { primaryKey: string } }).symmetricKey.primaryKey
    expect((await byKey('one-1', key)).deviceId).toBe('pump-one')
    const { body } = await cloud.rest('GET', '/devices/pump-one')
    expect(body).toMatchObject({ capabilities: { iotEdge: true }, authentication: { symmetricKey: { primaryKey: key } } })
    const state = await cloud.rest('GET', '/registrations/one-1', undefined, await dpsAuthorization())
    expect(state.body).toMatchObject({ status: 'assigned', deviceId: 'pump-one' })
  })

  test('re-provisioning keeps the device’s data, or resets it where the policy says so', async () => {
    const key = Buffer.from('a key that is long enough for this').toString('base64')
    const enroll = (migrateDeviceData: boolean) =>
      service.createOrUpdateIndividualEnrollment({
        registrationId: 'again-1',
        attestation: { type: 'symmetricKey', symmetricKey: { primaryKey: key, secondaryKey: key } },
        initialTwin: { tags: { state: 'new' } },
        reprovisionPolicy: { updateHubAssignment: true, migrateDeviceData },
      } as never)
    await enroll(true)
    await byKey('again-1', key)
    await cloud.rest('PATCH', '/twins/again-1', { tags: { state: 'used' } })
    await byKey('again-1', key)
    const tags = async () => ((await cloud.rest('GET', '/twins/again-1')).body as { tags: unknown }).tags
    expect(await tags()).toEqual({ state: 'used' })
    await enroll(false)
    await byKey('again-1', key)
    expect(await tags()).toEqual({ state: 'new' })
  })

  test('that is disabled, or for another hub, assigns nothing', async () => {
    const key = Buffer.from('a key that is long enough for this').toString('base64')
    const attestation = { type: 'symmetricKey', symmetricKey: { primaryKey: key, secondaryKey: key } }
    await service.createOrUpdateIndividualEnrollment({ registrationId: 'off-1', attestation, provisioningStatus: 'disabled' } as never)
    await service.createOrUpdateIndividualEnrollment({
      registrationId: 'off-2',
      attestation,
      iotHubs: ['other.azure-devices.net'],
    } as never)
    expect(await failure(byKey('off-1', key))).not.toBe('nothing')
    expect(await failure(byKey('off-2', key))).not.toBe('nothing')
    expect((await cloud.rest('GET', '/devices/off-1')).status).toBe(404)
  })
})

describe('the service API', () => {
  test('guards by ETag, lists by query, deletes', async () => {
    const put = (etag?: string) =>
      service.createOrUpdateIndividualEnrollment({
        registrationId: 'crud-1',
        attestation: { type: 'symmetricKey' },
        ...(etag === undefined ? {} : { etag }),
      } as never)
    const { responseBody } = await put()
    await put((responseBody as { etag: string }).etag)
    expect(await failure(put((responseBody as { etag: string }).etag))).not.toBe('nothing')
    const { responseBody: found } = await service.createIndividualEnrollmentQuery({ query: 'SELECT * FROM enrollments' }, 100).next()
    expect((found as unknown as { registrationId: string }[]).map(({ registrationId }) => registrationId)).toContain('crud-1')
    await service.deleteIndividualEnrollment('crud-1')
    expect(await failure(service.getIndividualEnrollment('crud-1'))).not.toBe('nothing')
  })

  test.skipIf(onAzure)('survives a restart, and needs its own policy', async () => {
    await service.createOrUpdateIndividualEnrollment({ registrationId: 'stay-1', attestation: { type: 'symmetricKey' } } as never)
    await cloud.restart()
    expect((await cloud.rest('GET', '/enrollments/stay-1', undefined, await dpsAuthorization())).status).toBe(200)
    expect((await cloud.rest('GET', '/enrollments/stay-1')).status).toBe(401)
  })
})

async function dpsAuthorization(): Promise<Record<string, string>> {
  const { hubHost } = cloud.registry
  const key = await cloud.policyKey('provisioningserviceowner')
  return { authorization: `${sharedAccessSignature(hubHost, key, Date.now() + 60_000)}&skn=provisioningserviceowner` }
}
