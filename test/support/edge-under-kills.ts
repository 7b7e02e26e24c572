/**
 * The edge module under load and `kill -9`: devices publish behind a gateway while the module's process is killed at random
 * moments; afterwards every reading that was acknowledged must be accounted for in the hub, once.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EventHubConsumerClient, earliestEventPosition } from '@azure/event-hubs'
import { zlibCompression } from '../../cloud-functions/hot-path/compression.ts'
import { bookBlock, ledgerOf, newAccount } from '../../cloud-functions/hot-path/device-account.ts'
import type { DeviceAccount } from '../../cloud-functions/hot-path/device-account.ts'
import type { LedgerCounts } from '../../contract/ledger.ts'
import { decodePackedBatch, packedBatchContentType } from '../../contract/telemetry/packed-batch.ts'
import { MqttDevice } from '../../device-sim/mqtt-device.ts'
import { randomOf } from '../../device-sim/random.ts'
import { cloudForTests } from './cloud.ts'
import { eventually } from './eventually.ts'
import { edgeModuleScript, gatewayForTests } from './gateway.ts'
import { trust } from './trust.ts'

export type KillReport = {
  readonly kills: number
  readonly acknowledged: number
  /** Per device: the account of what reached the hub, and how many readings the gateway had acknowledged. */
  readonly devices: readonly { readonly deviceId: string; readonly ledger: LedgerCounts; readonly acknowledged: number }[]
}

const deviceCount = 10
const everyMs = 50

/** Starts the module, kills it after a while, and so on; then leaves it alone. Its parent is the edge runtime. */
const killer = (script: string, pauses: readonly number[], file: string) => `
const { spawn } = require('node:child_process'); const { writeFileSync } = require('node:fs')
const pauses = ${JSON.stringify(pauses)}
let child
const start = () => {
  child = spawn(process.execPath, [...process.execArgv, ${JSON.stringify(script)}], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  child.once('exit', start)
  const pause = pauses.shift()
  if (pause !== undefined) setTimeout(() => { writeFileSync(${JSON.stringify(file)}, String(${pauses.length} - pauses.length)); child.kill('SIGKILL') }, pause)
}
start()
for (const event of ['disconnect', 'SIGTERM']) process.on(event, () => { child.removeAllListeners('exit'); child.kill('SIGTERM'); process.exit(0) })
`

export async function edgeUnderKills(kills: number, seed: string): Promise<KillReport> {
  const folder = mkdtempSync(join(tmpdir(), 'kills-'))
  const cloud = await cloudForTests()
  trust(cloud.ca)
  process.env.NODE_EXTRA_CA_CERTS = cloud.connection.ca!
  const countFile = join(folder, 'kills')
  const script = join(folder, 'killer.cjs')
  writeFileSync(countFile, '0')
  const random = randomOf(seed)
  const pauses = Array.from({ length: kills }, () => Math.round(350 + 900 * random.next()))
  writeFileSync(script, killer(edgeModuleScript, pauses, countFile))
  const gateway = await gatewayForTests(cloud, { deviceId: 'gw-kill', folder, script })
  const devices: MqttDevice[] = []
  try {
    const scope = (await cloud.registry.get('gw-kill'))!.deviceScope
    const registered = await cloud.registry.ensureDevices(
      Array.from({ length: deviceCount }, (_, index) => `kill-${index}`),
      scope,
    )
    for (const { deviceId, key } of registered)
      devices.push(
        new MqttDevice(
          { hubHost: cloud.registry.hubHost, gatewayHost: gateway.runtime.gatewayHost, deviceId, key, ca: cloud.ca },
          'dtmi:millwright:CentrifugalPump;1',
          () => {},
        ),
      )
    const timer = setInterval(() => {
      for (const device of devices) {
        const values = {
          vibrationMmPerS: Math.round((2 + 0.05 * random.normal()) * 1000) / 1000,
          flowM3PerH: Math.round((60 + random.normal()) * 100) / 100,
        }
        device.send({ timeMs: Date.now(), values })
      }
    }, everyMs)
    await eventually(() => (Number(readFileSync(countFile, 'utf8')) >= kills ? true : undefined), {
      withinMs: kills * 4_000 + 30_000,
      what: `${kills} kills`,
    })
    clearInterval(timer)
    await Promise.all(devices.map((device) => device.drained()))
    const accounts = new Map<string, DeviceAccount>()
    const consumer = new EventHubConsumerClient('$Default', cloud.connection.eventHub)
    const subscription = consumer.subscribe(
      {
        async processEvents(events) {
          for (const { body, contentType, properties } of events) {
            const rejectedDevice = properties?.rejectedDevice as string | undefined
            if (rejectedDevice !== undefined || contentType !== packedBatchContentType || properties?.preview !== undefined) continue
            for (const block of decodePackedBatch(body as Uint8Array, zlibCompression).blocks) {
              let account = accounts.get(block.deviceId)
              if (!account) accounts.set(block.deviceId, (account = newAccount()))
              bookBlock(account, block)
            }
          }
        },
        async processError() {},
      },
      { startPosition: earliestEventPosition, maxBatchSize: 100, maxWaitTimeInSeconds: 1 },
    )
    const report = () =>
      registered.map(({ deviceId }, index) => ({
        deviceId,
        ledger: ledgerOf(accounts.get(deviceId) ?? newAccount()),
        acknowledged: devices[index]!.counts.acknowledged,
      }))
    await eventually(() => (report().every(({ ledger, acknowledged }) => ledger.published >= acknowledged) ? true : undefined), {
      withinMs: 60_000,
      what: 'everything acknowledged in the hub',
    }).catch(() => {})
    await subscription.close()
    await consumer.close()
    return { kills, acknowledged: devices.reduce((sum, { counts }) => sum + counts.acknowledged, 0), devices: report() }
  } finally {
    await Promise.all(devices.map((device) => device.close({ force: true })))
    await gateway.stop()
    await cloud.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}
