/** The local cloud, killed without warning: whatever it has acknowledged is there when it comes back. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EventHubConsumerClient } from '@azure/event-hubs'
import iot from 'azure-iot-device'
import iothub from 'azure-iothub'
import mqtt from 'mqtt'
import { afterEach, beforeEach, expect, test } from 'vitest'
import '../../bin/host-ports.mjs'
import { Connection } from '../../contract/connection.ts'
import { HubRegistry } from '../../device-sim/hub-registry.ts'
import { eventsWhere } from '../support/events.ts'
import { mqttOptions } from '../support/mqtt-options.ts'
import { root } from '../support/product.ts'
import { trust } from '../support/trust.ts'

let folder: string
let cloud: ChildProcess
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cloud-kill-'))
})
afterEach(async () => {
  await end('SIGTERM')
  rmSync(folder, { recursive: true, force: true })
})

async function start(): Promise<Connection> {
  cloud = spawn(process.execPath, [join(root, 'dist', 'cli', 'main.mjs'), 'cloud', '--data', folder, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await new Promise<void>((resolve, reject) => {
    cloud.once('exit', (code) => reject(new Error(`the cloud ended with code ${code}`)))
    cloud.stdout!.on('data', (text: Buffer) => text.includes('"ready"') && resolve())
  })
  return Connection.parse(JSON.parse(readFileSync(join(folder, 'connection.json'), 'utf8')))
}

async function end(signal: NodeJS.Signals): Promise<void> {
  if (cloud.exitCode !== null || cloud.signalCode !== null) return
  const ended = new Promise((resolve) => cloud.once('exit', resolve))
  cloud.kill(signal)
  await ended
}

test('kill -9: identities, twins, waiting messages and events survive, and the keys and ports', async () => {
  const connection = await start()
  const ca = readFileSync(connection.ca!, 'utf8')
  trust(ca)
  const hub = new HubRegistry(connection.iotHub, ca)
  const [device] = await hub.ensureDevices(['survivor'])
  const registry = iothub.Registry.fromConnectionString(connection.iotHub)
  await registry.updateTwin('survivor', { tags: { line: 7 }, properties: { desired: { rate: 5 } } }, '*')
  const service = iothub.Client.fromConnectionString(connection.iotHub)
  await service.open()
  await service.send('survivor', new iot.Message('read me later'))
  await service.close()
  const options = () => mqttOptions({ hubHost: hub.hubHost, deviceId: 'survivor', key: device!.key, ca })
  const client = await mqtt.connectAsync(options())
  // Acknowledged while the cloud is being killed: each of them counts.
  let acknowledged = 0
  const publishing = Promise.all(
    Array.from({ length: 2_000 }, (_, n) =>
      client.publishAsync('devices/survivor/messages/events/', JSON.stringify({ n }), { qos: 1 }).then(
        () => acknowledged++,
        () => {},
      ),
    ),
  )
  while (acknowledged < 200) await new Promise((resolve) => setImmediate(resolve))
  await end('SIGKILL')
  const certain = acknowledged
  await client.endAsync(true).catch(() => {})
  void publishing

  const again = await start()
  // The same keys, the same ports: clients need not be told anything.
  expect([again.iotHub, again.eventHub, again.dps]).toEqual([connection.iotHub, connection.eventHub, connection.dps])
  const { responseBody: twin } = await registry.getTwin('survivor')
  expect(twin).toMatchObject({ tags: { line: 7 }, properties: { desired: { rate: 5 } } })
  expect((await registry.get('survivor')).responseBody.cloudToDeviceMessageCount).toBe(1)
  const events = await eventsWhere(
    connection.eventHub,
    ({ systemProperties }) => systemProperties?.['iothub-connection-device-id'] === 'survivor',
    certain,
    'what was acknowledged',
  )
  const numbers = new Set(events.map(({ body }) => (body as { n: number }).n))
  for (let n = 0; n < certain; n++) expect(numbers.has(n)).toBe(true)
  const second = mqtt.connect(options())
  second.on('connect', () => second.subscribe('devices/survivor/messages/devicebound/#', { qos: 1 }))
  const text = await new Promise<string>((resolve) => second.once('message', (_, body) => resolve(body.toString())))
  expect(text).toBe('read me later')
  await second.endAsync()
  const consumer = new EventHubConsumerClient('$Default', connection.eventHub)
  const partitions = await Promise.all((await consumer.getPartitionIds()).map((id) => consumer.getPartitionProperties(id)))
  expect(Math.max(...partitions.map(({ lastEnqueuedSequenceNumber }) => lastEnqueuedSequenceNumber))).toBeGreaterThanOrEqual(certain - 1)
  await consumer.close()
})
