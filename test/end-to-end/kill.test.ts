/**
 * `kill -9` of any process, at any moment: nothing acknowledged is missing, nothing is counted twice, no alert is
 * doubled. The test is the history checker: it publishes, remembers what was acknowledged, and compares at the end.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AlertList, DeviceView, LedgerView } from '../../contract/api.ts'
import { HubRegistry } from '../../device-sim/hub-registry.ts'
import { MqttDevice } from '../../device-sim/mqtt-device.ts'
import { eventually } from '../support/eventually.ts'
import { newFolder, processTree, removeFolder, startProduct } from '../support/product.ts'
import type { Product } from '../support/product.ts'

const folder = newFolder()
const pump = 'dtmi:millwright:CentrifugalPump;1'
const everyMs = 100

/** A pump of the test's own. Its vibration is healthy until `fail` is called. */
type Witness = { readonly deviceId: string; readonly device: MqttDevice; fail(): void; recover(): void; stop(): void }

function startWitness(deviceId: string, device: MqttDevice): Witness {
  let level = 2
  let count = 0
  const timer = setInterval(() => {
    // A sawtooth a little wider than the deadband: some readings pass the edge, some are held back.
    const vibrationMmPerS = Math.round((level + 0.02 * (count++ % 5)) * 1000) / 1000
    device.send({ timeMs: Date.now(), values: { vibrationMmPerS, motorCurrentA: 21 + (count % 3) / 10 } })
  }, everyMs)
  return { deviceId, device, fail: () => (level = 9), recover: () => (level = 2), stop: () => clearInterval(timer) }
}

const processes = {
  'edge module': /edge-module\.cjs/,
  'edge runtime': /main\.mjs edge /,
  'functions host': /main\.mjs functions /,
  storage: /azurite\.js/,
  cloud: /main\.mjs cloud /,
  machines: /main\.mjs simulate /,
} as const

describe.skipIf(process.platform !== 'linux')('kill -9', () => {
  let product: Product
  let witnesses: Witness[] = []

  /** Connects the witnesses to the running product: one behind the gateway, one at the hub itself. */
  async function connectWitnesses(boot: string): Promise<Witness[]> {
    const { connection, ca } = product.connection()
    const registry = new HubRegistry(connection.iotHub, ca)
    const scope = (await registry.get('gateway-1'))?.deviceScope
    const gatewayHost = await eventually(() =>
      processTree(product.process.pid!)
        .map(({ commandLine }) => /--gateway (\S+)/.exec(commandLine)?.[1])
        .find((host) => host !== undefined),
    )
    const [behind] = await registry.ensureDevices([`witness-edge-${boot}`], scope)
    const [direct] = await registry.ensureDevices([`witness-hub-${boot}`])
    const open = (deviceId: string, key: string, gateway: string | undefined) =>
      startWitness(deviceId, new MqttDevice({ hubHost: registry.hubHost, gatewayHost: gateway, deviceId, key, ca }, pump, () => {}))
    return [open(behind!.deviceId, behind!.key, gatewayHost), open(direct!.deviceId, direct!.key, undefined)]
  }

  const ledgerOf = async (deviceId: string) =>
    (await product.get('ledger', LedgerView.parse)).devices.find((device) => device.deviceId === deviceId)

  /** Waits until everything a witness got acknowledged is accounted for. */
  async function settled(witness: Witness): Promise<void> {
    const { acknowledged } = witness.device.counts
    await eventually(
      async () => {
        const ledger = await ledgerOf(witness.deviceId)
        return ledger && ledger.published - ledger.inFlight >= acknowledged ? true : undefined
      },
      { withinMs: 60_000, what: `${witness.deviceId}: ${acknowledged} readings accounted for` },
    )
  }

  beforeAll(async () => {
    product = await startProduct(folder, ['--devices', '3', '--no-fault'])
    witnesses = await connectWitnesses('1')
    // The detectors learn before the first fault.
    await eventually(
      async () => {
        const devices = await Promise.all(witnesses.map(({ deviceId }) => product.get(`devices/${deviceId}`, DeviceView.parse)))
        return devices.every(({ condition }) => condition === 'fine') ? true : undefined
      },
      { withinMs: 30_000 },
    )
  }, 120_000)

  afterAll(async () => {
    for (const witness of witnesses) {
      witness.stop()
      await witness.device.close({ force: true })
    }
    await product.stop()
    removeFolder(folder)
  })

  test.each(Object.entries(processes))(
    'of the %s loses nothing acknowledged',
    async (name, pattern) => {
      const victim = processTree(product.process.pid!).find(({ commandLine }) => pattern.test(commandLine))
      expect(victim, name).toBeDefined()
      const before = witnesses.map(({ device }) => device.counts.acknowledged)
      process.kill(victim!.pid, 'SIGKILL')
      if (name === 'edge module')
        await eventually(() => product.events.find(({ event, part }) => event === 'restart' && part === 'edge-module'), {
          what: 'word of the restart',
        })
      // Life goes on: both witnesses get acknowledgements again, for what was under way and for what came after.
      await eventually(
        () => (witnesses.every(({ device }, index) => device.counts.acknowledged > before[index]! + 60) ? true : undefined),
        { withinMs: 40_000, what: 'acknowledgements after the kill' },
      )
      for (const witness of witnesses) await settled(witness)
      for (const { deviceId } of witnesses) expect(await ledgerOf(deviceId)).toMatchObject({ unexplained: 0, deadLettered: 0 })
    },
    150_000,
  )

  test('in the middle of an episode doubles no alert', async () => {
    for (const witness of witnesses) witness.fail()
    await eventually(
      async () =>
        (await product.get('alerts?state=all', AlertList.parse)).alerts.filter(({ deviceId }) => deviceId.startsWith('witness')).length ===
        2
          ? true
          : undefined,
      { withinMs: 20_000, what: 'both alerts' },
    )
    for (const pattern of [processes['functions host'], processes['edge module'], processes.storage]) {
      const victim = processTree(product.process.pid!).find(({ commandLine }) => pattern.test(commandLine))
      if (victim) process.kill(victim.pid, 'SIGKILL')
      const before = witnesses.map(({ device }) => device.counts.acknowledged)
      await eventually(
        () => (witnesses.every(({ device }, index) => device.counts.acknowledged > before[index]! + 40) ? true : undefined),
        { withinMs: 40_000 },
      )
    }
    for (const witness of witnesses) witness.recover()
    const alerts = await eventually(
      async () => {
        const { alerts: all } = await product.get('alerts?state=all', AlertList.parse)
        const mine = all.filter(({ deviceId }) => deviceId.startsWith('witness'))
        return mine.length >= 2 && mine.every(({ state }) => state === 'returned-unacknowledged') ? mine : undefined
      },
      { withinMs: 90_000, what: 'the end of both episodes' },
    )
    expect(alerts.map(({ deviceId, signal }) => `${deviceId} ${signal}`).sort()).toEqual([
      'witness-edge-1 vibrationMmPerS',
      'witness-hub-1 vibrationMmPerS',
    ])
  }, 180_000)

  test('of the storage the moment an operator has acknowledged keeps the acknowledgement', async () => {
    const { alerts } = await product.get('alerts', AlertList.parse)
    const storage = processTree(product.process.pid!).find(({ commandLine }) => processes.storage.test(commandLine))!
    const alertId = alerts.find(({ deviceId }) => deviceId === 'witness-hub-1')!.alertId
    const response = await fetch(`${product.url}/api/v1/alerts/${alertId}/acknowledge`, {
      method: 'POST',
      headers: { authorization: `Bearer ${product.operatorToken()}` },
      body: '{"note":"seen"}',
    })
    process.kill(storage.pid, 'SIGKILL')
    expect(response.status).toBe(200)
    const kept = await eventually(
      async () => {
        const { alerts: all } = await product.get('alerts?state=all', AlertList.parse)
        const stored = all.find((alert) => alert.alertId === alertId)
        const isNew = processTree(product.process.pid!).some(
          ({ pid, commandLine }) => processes.storage.test(commandLine) && pid !== storage.pid,
        )
        return isNew ? stored : undefined
      },
      { withinMs: 30_000, what: 'the alert after the restart of the storage' },
    )
    expect(kept).toMatchObject({ state: 'normal', acknowledged: { note: 'seen' } })
  }, 60_000)

  test('of the one process that minds the others, then a new start at once', async () => {
    const { published } = (await product.get('ledger', LedgerView.parse)).total
    product.process.kill('SIGKILL')
    for (const { device } of witnesses) await device.close({ force: true })
    for (const witness of witnesses) witness.stop()
    const acknowledged = witnesses.map(({ device }) => device.counts.acknowledged)
    product = await startProduct(folder, ['--devices', '3', '--no-fault'])
    await eventually(async () => ((await product.get('ledger', LedgerView.parse)).total.published > published ? true : undefined), {
      withinMs: 30_000,
    })
    for (const [index, { deviceId }] of witnesses.entries()) {
      const ledger = await eventually(
        async () => {
          const found = await ledgerOf(deviceId)
          return found && found.published - found.inFlight >= acknowledged[index]! ? found : undefined
        },
        { withinMs: 60_000, what: `${deviceId} after the restart` },
      )
      expect(ledger).toMatchObject({ unexplained: 0 })
    }
    witnesses = await connectWitnesses('3')
    await eventually(() => (witnesses.every(({ device }) => device.counts.acknowledged > 20) ? true : undefined))
    for (const witness of witnesses) await settled(witness)
  }, 180_000)

  test('of everything at once, then a new start: the data goes on where it was', async () => {
    for (const witness of witnesses) {
      witness.stop()
      await eventually(() => (witness.device.unacknowledged === 0 ? true : undefined), { withinMs: 30_000 })
    }
    for (const witness of witnesses) await settled(witness)
    const before = await Promise.all(witnesses.map(({ deviceId }) => ledgerOf(deviceId)))
    const { alerts } = await product.get('alerts?state=all', AlertList.parse)
    for (const { pid } of processTree(product.process.pid!)) process.kill(pid, 'SIGKILL')
    for (const { device } of witnesses) await device.close({ force: true })
    await delay(0)
    product = await startProduct(folder, ['--devices', '3', '--no-fault'])
    for (const [index, { deviceId }] of witnesses.entries()) {
      const ledger = await eventually(
        async () => {
          const found = await ledgerOf(deviceId)
          return found && found.published - found.inFlight >= before[index]!.published ? found : undefined
        },
        { withinMs: 60_000, what: `${deviceId} after the restart` },
      )
      expect(ledger).toMatchObject({ unexplained: 0, published: before[index]!.published })
    }
    const mine = (all: { alertId: string; deviceId: string }[]) =>
      all
        .filter(({ deviceId }) => deviceId.startsWith('witness'))
        .map(({ alertId }) => alertId)
        .sort()
    expect(mine((await product.get('alerts?state=all', AlertList.parse)).alerts)).toEqual(mine(alerts))
    witnesses = await connectWitnesses('2')
    await eventually(() => (witnesses.every(({ device }) => device.counts.acknowledged > 20) ? true : undefined))
    for (const witness of witnesses) await settled(witness)
  }, 180_000)
})
