/**
 * The agent as a service manager runs it: releases come by the twin, are tried, and are gone back from when they do not
 * reach the hub; keys are rolled while it runs; a certificate of its own enrols it.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import provisioningService from 'azure-iot-provisioning-service'
import * as esbuild from 'esbuild'
import '../../bin/host-ports.mjs'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Acknowledgement } from '../../contract/acknowledgement.ts'
import { formatDeviceConnectionString } from '../../device-sim/device-credentials.ts'
import { cloudForTests, onAzure } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { eventually } from '../support/eventually.ts'
import { eventsWhere } from '../support/events.ts'
import { root } from '../support/product.ts'
import { trust } from '../support/trust.ts'

const signer = generateKeyPairSync('ed25519')
const stranger = generateKeyPairSync('ed25519')
let cloud: CloudForTests
let folder: string
let files: Server
let filesUrl: string
const served = new Map<string, Buffer>()

beforeAll(async () => {
  if (onAzure) return
  cloud = await cloudForTests()
  folder = mkdtempSync(join(tmpdir(), 'releases-'))
  writeFileSync(join(folder, 'update.pub'), signer.publicKey.export({ type: 'spki', format: 'pem' }))
  const certificates = dirname(cloud.connection.ca!)
  files = createServer(
    { key: readFileSync(join(certificates, 'server.key')), cert: readFileSync(join(certificates, 'server.pem')) },
    (request, response) => {
      const bytes = served.get(request.url!.slice(1))
      response.writeHead(bytes ? 200 : 404).end(bytes)
    },
  )
  await new Promise<void>((done) => files.listen(0, '127.0.0.1', done))
  filesUrl = `https://localhost:${(files.address() as AddressInfo).port}`
})
afterAll(async () => {
  if (onAzure) return
  await new Promise((done) => files.close(done))
  await cloud.stop()
  rmSync(folder, { recursive: true, force: true })
})

let running: Service | undefined
afterEach(async () => {
  await running?.stop()
  running = undefined
})

/** What systemd does with `Restart=always`. */
class Service {
  output = ''
  readonly #environment: Record<string, string>
  #child: ChildProcess | undefined
  #isStopping = false
  #ended = Promise.resolve()

  constructor(deviceId: string, settings: Record<string, string>) {
    this.#environment = {
      PATH: process.env.PATH ?? '',
      IOTHUB_CA_FILE: cloud.connection.ca!,
      AGENT_DATA: join(folder, deviceId),
      AGENT_INTERVAL_MS: '100',
      ...settings,
    }
    this.#start()
  }

  #start(): void {
    const child = spawn(process.env.DEVICE_NODE ?? process.execPath, [join(root, 'dist', 'device', 'agent.cjs')], {
      env: this.#environment,
    })
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (this.output += chunk.toString()))
    this.#ended = new Promise((done) =>
      child.once('close', () => {
        if (!this.#isStopping) this.#start()
        done()
      }),
    )
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    this.#child?.kill('SIGTERM')
    await this.#ended
  }
}

async function publish(version: string, content: Buffer, key = signer.privateKey): Promise<Record<string, unknown>> {
  served.set(version, content)
  return {
    version,
    url: `${filesUrl}/${version}`,
    sha256: createHash('sha256').update(content).digest('hex'),
    signature: sign(null, content, key).toString('base64'),
  }
}

/** This repository's agent, under another version. */
async function agentOf(version: string): Promise<Buffer> {
  const built = await esbuild.build({
    absWorkingDir: root,
    entryPoints: ['device-sim/main.ts'],
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    define: { __MILLWRIGHT_VERSION__: JSON.stringify(version) },
    external: ['bufferutil', 'utf-8-validate', 'osx-temperature-sensor'],
    write: false,
    logLevel: 'error',
  })
  return Buffer.from(built.outputFiles[0]!.contents)
}

const desire = (deviceId: string, desired: Record<string, unknown>) =>
  cloud.rest('PATCH', `/twins/${deviceId}`, { properties: { desired } })

type Reported = { software?: Acknowledgement & { value: { version: string } }; intervalMs?: Acknowledgement }

function reported<Property extends keyof Reported>(
  deviceId: string,
  property: Property,
  isWanted: (acknowledgement: NonNullable<Reported[Property]>) => boolean,
): Promise<NonNullable<Reported[Property]>> {
  return eventually(
    async () => {
      const { body } = await cloud.rest('GET', `/twins/${deviceId}`)
      const found = (body as { properties: { reported: Reported } }).properties.reported[property]
      if (found && isWanted(found)) return found
      throw new Error(`it is ${JSON.stringify(found)}; the agent said: ${running?.output.slice(-2000)}`)
    },
    { withinMs: 30_000, what: `${property} of ${deviceId}` },
  )
}

async function startWithKey(deviceId: string, settings: Record<string, string> = {}): Promise<Service> {
  return (running = new Service(deviceId, {
    IOTHUB_DEVICE_CONNECTION_STRING: formatDeviceConnectionString(await cloud.device(deviceId)),
    AGENT_UPDATE_KEY_FILE: join(folder, 'update.pub'),
    ...settings,
  }))
}

describe.skipIf(onAzure)('releases of the agent', () => {
  test('are fetched, tried, confirmed, and gone back to when the twin says so, without being fetched again', async () => {
    await startWithKey('updated')
    const [first, second] = [await publish('1.0.0', await agentOf('1.0.0')), await publish('2.0.0', await agentOf('2.0.0'))]
    for (const release of [first, second, first]) {
      await desire('updated', { software: release })
      const { ad } = await reported('updated', 'software', ({ ac, value }) => ac === 200 && value.version === release.version)
      expect(ad).toBe('runs')
      served.delete('1.0.0')
    }
    const releases = readdirSync(join(folder, 'updated', 'releases')).filter((name) => name.endsWith('.cjs'))
    expect(releases.toSorted()).toEqual([`${String(first.sha256)}.cjs`, `${String(second.sha256)}.cjs`].toSorted())
    // What should still be there, and is not, is fetched again.
    rmSync(join(folder, 'updated', 'releases', `${String(second.sha256)}.cjs`))
    await desire('updated', { software: second })
    await reported('updated', 'software', ({ ac, value }) => ac === 200 && value.version === '2.0.0')
  }, 90_000)

  test('that throw, end, or never reach the hub are gone back from, and that is told', async () => {
    await startWithKey('guarded', { AGENT_TRIAL_S: '3' })
    const bad = {
      throws: ['throw new Error("no such module")', 'no such module'],
      ends: ['process.exit(0)', 'ended 3 times'],
      mute: ['setInterval(() => {}, 1000)', 'no message reached the hub within 3 s'],
    }
    for (const [version, [program, reason]] of Object.entries(bad)) {
      await desire('guarded', { software: await publish(version, Buffer.from(program!)) })
      const { value, ad } = await reported('guarded', 'software', ({ ac, ad: told }) => ac === 500 && told.includes(`from ${version}`))
      expect([value.version, ad]).toEqual(['0.1.0', expect.stringContaining(reason!)])
    }
    // And it goes on measuring.
    await eventsWhere(cloud.connection.eventHub, (event) => event.systemProperties?.['iothub-connection-device-id'] === 'guarded', 1, 'it')
  }, 90_000)

  test('that nobody signed, are changed on the way, or cannot be read, are refused', async () => {
    await startWithKey('careful')
    const good = await publish('3.0.0', Buffer.from('process.exit(0)'))
    const bad = {
      'not signed by the key': await publish('3.0.1', Buffer.from('process.exit(0)'), stranger.privateKey),
      'another hash': { ...good, sha256: '0'.repeat(64) },
      https: { ...good, url: 'http://localhost/agent.cjs' },
      'answer 404': { ...good, url: `${filesUrl}/nothing`, sha256: '1'.repeat(64) },
    }
    for (const [reason, software] of Object.entries(bad)) {
      // A patch merges: what the last one left is taken away first.
      await desire('careful', { software: null })
      await desire('careful', { software })
      const { value } = await reported('careful', 'software', ({ ac, ad }) => ac === 400 && ad.includes(reason))
      expect(value.version).toBe('0.1.0')
    }
    expect(readdirSync(join(folder, 'careful', 'releases')).filter((name) => name.endsWith('.cjs'))).toEqual([])
  }, 60_000)

  test('are not taken by an agent that trusts no key, and a file changed on disk is never loaded', async () => {
    const plain = await startWithKey('plain', { AGENT_UPDATE_KEY_FILE: undefined as never })
    await desire('plain', { software: await publish('4.0.0', Buffer.from('process.exit(0)')) })
    expect(await reported('plain', 'software', ({ ac }) => ac === 403)).toMatchObject({
      ad: expect.stringContaining('AGENT_UPDATE_KEY_FILE'),
    })
    await plain.stop()
    const release = await publish('5.0.0', await agentOf('5.0.0'))
    const updated = await startWithKey('plain')
    await desire('plain', { software: null })
    await desire('plain', { software: release })
    await reported('plain', 'software', ({ ac, value }) => ac === 200 && value.version === '5.0.0')
    await updated.stop()
    const file = join(folder, 'plain', 'releases', `${String(release.sha256)}.cjs`)
    writeFileSync(file, 'process.exit(9)')
    const again = await startWithKey('plain')
    await eventually(() => (again.output.includes('release-lost') ? true : undefined), { what: 'the loss noticed' })
    // What is desired is fetched again.
    const fetched = () => existsSync(file) && readFileSync(file).equals(served.get('5.0.0')!)
    await eventually(() => (fetched() ? true : undefined), { what: 'the release fetched again' })
    await reported('plain', 'software', ({ ac, value }) => ac === 200 && value.version === '5.0.0')
  }, 90_000)

  test('the interval follows the twin too; one that cannot be is refused with the reason', async () => {
    await startWithKey('paced')
    await desire('paced', { intervalMs: 250 })
    expect(await reported('paced', 'intervalMs', ({ ac }) => ac === 200)).toMatchObject({ value: 250 })
    await desire('paced', { intervalMs: 1 })
    expect(await reported('paced', 'intervalMs', ({ ac }) => ac === 400)).toMatchObject({ value: 250, ad: expect.stringContaining('100') })
  }, 30_000)
})

describe.skipIf(onAzure)('the credentials of an agent', () => {
  const arrivedFrom = (deviceId: string, sinceMs: number) =>
    eventsWhere(
      cloud.connection.eventHub,
      (event) => event.systemProperties?.['iothub-connection-device-id'] === deviceId && event.enqueuedTimeUtc.getTime() > sinceMs,
      1,
      deviceId,
    )

  test('are rolled while it runs: when one key is refused, it connects with the other', async () => {
    const identity = async () =>
      (await cloud.rest('GET', '/devices/rolled')).body as {
        authentication: { symmetricKey: { primaryKey: string; secondaryKey: string } }
      }
    const { hubHost } = await cloud.device('rolled')
    const { primaryKey, secondaryKey } = (await identity()).authentication.symmetricKey
    const stringOf = (key: string) => formatDeviceConnectionString({ hubHost, deviceId: 'rolled', key })
    running = new Service('rolled', {
      IOTHUB_DEVICE_CONNECTION_STRING: stringOf(primaryKey),
      IOTHUB_DEVICE_CONNECTION_STRING_SECONDARY: stringOf(secondaryKey),
    })
    await arrivedFrom('rolled', 0)
    const rolled = { ...(await identity()), etag: undefined }
    rolled.authentication.symmetricKey.primaryKey = Buffer.alloc(32, 7).toString('base64')
    expect((await cloud.rest('PUT', '/devices/rolled', rolled, { 'if-match': '*' })).status).toBe(200)
    // The hub lets a connection live as long as its token: cut it, as its end would.
    await cloud.fault({ kind: 'kill-connection', target: 'rolled' })
    await arrivedFrom('rolled', Date.now())
    expect(running.output).not.toContain('"event":"stopped"')
  }, 60_000)

  test('may be a certificate that it makes itself: it waits to be enrolled, its key stays on the device, and it remembers its hub', async () => {
    const { dps } = cloud.connection
    const settings = {
      IOTHUB_DEVICE_SECURITY_TYPE: 'DPS',
      IOTHUB_DEVICE_DPS_ENDPOINT: dps!.endpoint,
      IOTHUB_DEVICE_DPS_ID_SCOPE: dps!.idScope,
      IOTHUB_DEVICE_DPS_DEVICE_ID: 'certified',
    }
    running = new Service('certified', settings)
    const certificate = join(folder, 'certified', 'identity', 'certified.pem')
    await eventually(() => (running!.output.includes(`enrol 'certified' with the certificate '${certificate}'`) ? true : undefined), {
      what: 'the wish to be enrolled',
    })
    trust(cloud.ca)
    const service = provisioningService.ProvisioningServiceClient.fromConnectionString(cloud.connection.dpsService!)
    const enrol = (provisioningStatus: string) =>
      service.createOrUpdateIndividualEnrollment({
        registrationId: 'certified',
        attestation: { type: 'x509', x509: { clientCertificates: { primary: { certificate: readFileSync(certificate, 'utf8') } } } },
        provisioningStatus,
      } as never)
    await enrol('enabled')
    await arrivedFrom('certified', 0)
    expect(existsSync(join(folder, 'certified', 'identity', 'certified.key'))).toBe(true)

    // Started again it knows its hub, and needs nobody's help; refused there, it asks to be assigned anew.
    await enrol('disabled')
    await running.stop()
    running = new Service('certified', settings)
    await arrivedFrom('certified', Date.now())
    await enrol('enabled')
    expect((await cloud.rest('DELETE', '/devices/certified', undefined, { 'if-match': '*' })).status).toBe(204)
    await cloud.fault({ kind: 'kill-connection', target: 'certified' })
    await arrivedFrom('certified', Date.now())
  }, 90_000)
})
