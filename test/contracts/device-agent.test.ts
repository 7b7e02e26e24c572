/** The agent's bundle as a Raspberry Pi runs it, against the hub: outages and `kill -9` lose nothing it has measured. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { ReceivedEventData } from '@azure/event-hubs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formatDeviceConnectionString } from '../../device-sim/device-credentials.ts'
import { cloudForTests, onAzure } from '../support/cloud.ts'
import type { CloudForTests } from '../support/cloud.ts'
import { eventually } from '../support/eventually.ts'
import { eventsWhere } from '../support/events.ts'

const script = resolve(import.meta.dirname, '../../dist/device/agent.cjs')
const deviceId = 'pi'
let cloud: CloudForTests
let folder: string
let settings: Record<string, string>

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'agent-'))
  cloud = await cloudForTests()
  const { key } = await cloud.device(deviceId)
  settings = {
    IOTHUB_DEVICE_CONNECTION_STRING: formatDeviceConnectionString({ hubHost: cloud.registry.hubHost, deviceId, key }),
    IOTHUB_CA_FILE: cloud.connection.ca!,
    AGENT_DATA: join(folder, 'data'),
    AGENT_INTERVAL_MS: '100',
  }
})
afterAll(async () => {
  await cloud.stop()
  rmSync(folder, { recursive: true, force: true })
})

function startAgent(): ChildProcess {
  return spawn(process.env.DEVICE_NODE ?? process.execPath, [script], { env: { ...process.env, ...settings }, stdio: 'ignore' })
}

async function killed(child: ChildProcess): Promise<void> {
  const ended = new Promise((done) => child.once('exit', done))
  child.kill('SIGKILL')
  await ended
}

const bufferBytes = () => {
  const buffer = join(folder, 'data', 'buffer')
  return existsSync(buffer) ? readdirSync(buffer).reduce((sum, name) => sum + statSync(join(buffer, name)).size, 0) : 0
}
const eventsOfPi = (isWanted: (event: ReceivedEventData) => boolean) =>
  eventsWhere(
    cloud.connection.eventHub,
    (event) => event.systemProperties?.['iothub-connection-device-id'] === deviceId && isWanted(event),
    1,
    'the agent',
  )

/** The first seq of each message of a boot, and how many readings it holds, in the order they arrived. */
const rangesOf = (events: readonly ReceivedEventData[]) =>
  events.map(({ properties }) => ({ boot: String(properties!.bootId), seq: Number(properties!.seq), count: Number(properties!.count) }))

describe.skipIf(onAzure)('an agent', () => {
  test('sends, after an outage and a kill -9 in the midst of it, everything it measured, in order and under its numbers', async () => {
    const first = startAgent()
    const [before] = rangesOf(await eventsOfPi(() => true))
    await cloud.fault({ kind: 'offline', target: deviceId, durationMs: 600_000 })
    // Some seconds of readings gather on disk.
    const atCut = bufferBytes()
    await eventually(() => (bufferBytes() > atCut + 3_000 ? true : undefined), { what: 'readings on disk' })
    await killed(first)
    const second = startAgent()
    const afterKill = bufferBytes()
    await eventually(() => (bufferBytes() > afterKill + 1_000 ? true : undefined), { what: 'readings of the second program on disk' })
    await cloud.endFaults()
    const ranges = await eventually(
      async () => {
        const found = rangesOf(await eventsOfPi(() => true))
        return new Set(found.map(({ boot }) => boot)).size === 2 ? found : undefined
      },
      { withinMs: 60_000, what: 'both boots in the hub' },
    )
    await killed(second)
    for (const boot of new Set(ranges.map((range) => range.boot))) {
      const own = ranges.filter((range) => range.boot === boot)
      // At least once: a message may come twice, but no number is left out and none goes back.
      let next = 1
      for (const { seq, count } of own) {
        expect(seq).toBeLessThanOrEqual(next)
        next = Math.max(next, seq + count)
      }
    }
    expect(ranges[0]!.boot).toBe(before!.boot)
  }, 120_000)
})
