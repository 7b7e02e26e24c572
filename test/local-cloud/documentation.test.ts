/** docs/LOCAL-CLOUD.md is true: its settings are settings, its faults are faults, and a stranger's program runs as it says. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CloudSettings } from '../../local-cloud/cloud-settings.ts'
import { lastingFaults, momentaryFaults } from '../../local-cloud/faults.ts'
import { cloudForTests } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { root } from '../support/product.ts'

const page = readFileSync(join(root, 'docs', 'LOCAL-CLOUD.md'), 'utf8')
let cloud: CloudForTests
beforeAll(async () => {
  cloud = await cloudForTests()
})
afterAll(() => cloud.stop())

/** What somebody else has: a back end that registers a device and sends to it, and the device, both by the official packages. */
const program = `
const iothub = require('azure-iothub'), iot = require('azure-iot-device'), { Mqtt } = require('azure-iot-device-mqtt')
const hub = process.env.HUB
const main = async () => {
  const registry = iothub.Registry.fromConnectionString(hub)
  const { responseBody } = await registry.create({ deviceId: 'theirs' })
  const host = /HostName=([^;]+)/.exec(hub)[1]
  const device = iot.Client.fromConnectionString('HostName=' + host + ';DeviceId=theirs;SharedAccessKey=' + responseBody.authentication.symmetricKey.primaryKey, Mqtt)
  await device.open()
  device.onDeviceMethod('reboot', (request, response) => response.send(200, { rebooting: true }))
  await device.sendEvent(new iot.Message('{"temperature":21.5}'))
  const service = iothub.Client.fromConnectionString(hub)
  const { result } = await service.invokeDeviceMethod('theirs', { methodName: 'reboot', payload: null, responseTimeoutInSeconds: 10, connectTimeoutInSeconds: 10 })
  console.log(JSON.stringify(result))
  await device.close()
}
main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1) })
`

describe('LOCAL-CLOUD.md', () => {
  test('shows settings that are settings', () => {
    const [, settings] = /```json\n([\s\S]*?)```/.exec(page)!
    expect(CloudSettings.parse(JSON.parse(settings!)).iotHub.routes).toHaveLength(1)
  })

  test('names every fault there is', () => {
    for (const kind of [...lastingFaults, ...momentaryFaults]) expect(page).toContain(`\`${kind}\``)
  })

  test('tells a stranger enough to run his program against it', async () => {
    expect(page).toContain('NODE_EXTRA_CA_CERTS')
    expect(page).toContain('--import millwright/host-ports')
    const child = spawn(process.execPath, ['--import', 'millwright/host-ports', '--input-type=commonjs', '-e', program], {
      cwd: root,
      env: { ...process.env, HUB: cloud.connection.iotHub, NODE_EXTRA_CA_CERTS: cloud.connection.ca! },
    })
    const output: string[] = []
    child.stdout.on('data', (text: Buffer) => output.push(text.toString()))
    child.stderr.on('data', (text: Buffer) => output.push(text.toString()))
    const code = await new Promise((resolve) => child.once('exit', resolve))
    expect([code, output.join('')]).toEqual([0, '{"status":200,"payload":{"rebooting":true}}\n'])
  })
})

describe('the inspector', () => {
  const get = (path: string, headers: Record<string, string> = {}) => fetch(new URL(path, cloud.connection.inspector!.url), { headers })

  test('is a page, a state and metrics', async () => {
    const html = await get('/')
    expect([html.status, html.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
    expect(html.headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(await (await get('/millwright/state')).json()).toMatchObject({ eventHubs: [{ name: 'millwright' }], faults: [] })
    const metrics = await (await get('/metrics')).text()
    expect(metrics).toMatch(/^millwright_cloud_connections\{protocol="mqtt"\} \d+$/m)
    for (const line of metrics.trim().split('\n')) expect(line).toMatch(/^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[^}]*\})? -?[\d.e+]+)$/)
  })
})
