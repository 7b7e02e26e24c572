/** A bad day on the running product: a gateway that dies, a sensor that flaps; exactly the messages a person would want. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTables } from '../../cloud-functions/store/tables.ts'
import { AlertDetail, AlertItems, DeviceList } from '../../contract/api.ts'
import { eventually } from '../support/eventually.ts'
import { connectDevice } from '../support/mqtt-device.ts'
import { newFolder, processTree, removeFolder, startProduct } from '../support/product.ts'
import type { Product } from '../support/product.ts'
import { pumpModel } from '../support/alerts.ts'

const folder = newFolder()
let product: Product
beforeAll(async () => {
  // Fewer than four: none of them gets a fault.
  product = await startProduct(folder, ['--devices', '3', '--no-fault'])
}, 120_000)
afterAll(async () => {
  await product?.stop()
  removeFolder(folder)
})

const items = async (state: string) => (await product.get(`alerts?view=list&state=${state}`, AlertItems.parse)).alerts
/** What the service department has written down of an asset. */
const ordersOf = (asset: string) =>
  readFileSync(join(folder, 'service-department', 'work-orders.ndjson'), 'utf8')
    .split('\n')
    .filter((line) => line.includes(`"asset":"${asset}"`))

test('a sensor that flaps is one alert and one work order', async () => {
  const device = await connectDevice(product, 'flapping', pumpModel)
  let seq = 0
  const startMs = Date.now() - 600_000
  const send = async (value: number) => {
    seq++
    await device.send({ vibrationMmPerS: value + 0.05 * Math.sin(seq), time: new Date(startMs + seq * 1_000).toISOString() })
  }
  for (let reading = 0; reading < 120; reading++) await send(2)
  for (let episode = 0; episode < 4; episode++) {
    for (let reading = 0; reading < 15; reading++) await send(9)
    for (let reading = 0; reading < 30; reading++) await send(2)
  }
  await device.end()
  const alert = await eventually(
    async () => (await items('all')).find(({ deviceId, occurrences }) => deviceId === 'flapping' && occurrences >= 3),
    {
      withinMs: 20_000,
      what: 'an alert with several episodes',
    },
  )
  expect(alert.isChattering).toBe(true)
  expect((await items('all')).filter(({ deviceId }) => deviceId === 'flapping')).toHaveLength(1)
  await eventually(() => (ordersOf('flapping').length > 0 ? true : undefined))
  expect(ordersOf('flapping')).toHaveLength(1)
  expect((await product.get(`alerts/${alert.alertId}`, AlertDetail.parse)).suggestedDeadband?.unit).toBe('mm/s')
}, 60_000)

test.skipIf(process.platform !== 'linux')(
  'a gateway that dies is one incident, and over when it is back',
  async () => {
    await eventually(async () => {
      const { devices } = await product.get('devices', DeviceList.parse)
      return devices.filter(({ gatewayId }) => gatewayId === 'gateway-1').length === 3 ? true : undefined
    })
    const gateway = processTree(product.process.pid!).filter(({ commandLine }) => / edge --device gateway-1/.test(commandLine))
    expect(gateway.length).toBeGreaterThan(0)
    // Frozen, not ended: the supervisor would start it again.
    for (const { pid } of gateway) process.kill(pid, 'SIGSTOP')
    try {
      await eventually(async () => ((await items('open')).some(({ condition }) => condition === 'no-data') ? true : undefined), {
        withinMs: 110_000,
        what: 'the alert of the gateway',
      })
      // What would come one by one comes within the next two looks.
      const raisedAtMs = Math.min(
        ...(await items('open')).filter(({ condition }) => condition === 'no-data').map((alert) => alert.raisedAtMs),
      )
      const tables = await openTables(product.connection().connection.storage)
      await eventually(
        async () => (Number((await tables.plant.getEntity('plant', 'watch')).lastLookMs) > raisedAtMs + 15_000 ? true : undefined),
        { withinMs: 40_000, what: 'two more looks' },
      )
      const silent = (await items('all')).filter(({ condition, deviceId }) => condition === 'no-data' && deviceId !== 'flapping')
      expect(silent.map(({ deviceId, scope, affected }) => [deviceId, scope, affected?.count])).toEqual([['gateway-1', 'gateway', 3]])
      const { deliveries } = await product.get(`alerts/${silent[0]!.alertId}`, AlertDetail.parse)
      expect(deliveries.map(({ transition }) => transition)).toEqual(['raised'])
    } finally {
      for (const { pid } of gateway) process.kill(pid, 'SIGCONT')
    }
    await eventually(
      async () => {
        const alerts = (await items('all')).filter(({ condition, deviceId }) => condition === 'no-data' && deviceId === 'gateway-1')
        return alerts.length === 1 && alerts[0]!.state === 'returned-unacknowledged' ? true : undefined
      },
      { withinMs: 60_000, what: 'the end of the silence' },
    )
  },
  240_000,
)
