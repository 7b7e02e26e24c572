/** What a gateway's module knows when it starts, and what it does when it cannot know it. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import iot from 'azure-iot-device'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { zlibCompression } from '../../cloud-functions/hot-path/compression.ts'
import { decodePackedBatch } from '../../contract/telemetry/packed-batch.ts'
import { defaultConfiguration } from '../../edge-module/configuration.ts'
import { EdgeModule } from '../../edge-module/edge-module.ts'
import type { Output } from '../../edge-module/edge-module.ts'
import { Intake } from '../../edge-module/intake.ts'
import { Outbox } from '../../edge-module/outbox.ts'
import type { OutgoingMessage } from '../../edge-module/outbox.ts'
import { EdgeModuleSettings } from '../../edge-module/settings.ts'
import { readSnapshot, writeSnapshot } from '../../edge-module/snapshot-file.ts'

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'snapshot-'))
  path = join(folder, 'snapshot.bin')
})
afterEach(() => rmSync(folder, { recursive: true }))

const snapshot = { position: 17, configuration: defaultConfiguration, state: Buffer.of(1, 2, 3) }

describe('a snapshot', () => {
  test('comes back as it was', () => {
    expect(readSnapshot(path)).toBeUndefined()
    writeSnapshot(path, snapshot)
    expect(readSnapshot(path)).toEqual(snapshot)
  })

  test('is not read with a bit that flipped, cut short, or with something behind it', () => {
    writeSnapshot(path, snapshot)
    const whole = readFileSync(path)
    for (const length of [0, 3, 4, whole.length - 1]) {
      writeFileSync(path, whole.subarray(0, length))
      expect(() => readSnapshot(path)).toThrow('is damaged')
    }
    for (let at = 0; at < whole.length; at++) {
      const flipped = Buffer.from(whole)
      flipped[at]! ^= 4
      writeFileSync(path, flipped)
      expect(() => readSnapshot(path)).toThrow('is damaged')
    }
    writeFileSync(path, whole)
    appendFileSync(path, 'x')
    expect(() => readSnapshot(path)).toThrow('is damaged')
  })
})

describe('a module', () => {
  /** Starts one on what the folder holds; `sent` resolves with the first message of readings. */
  function start() {
    const logged: string[] = []
    const stopping = new AbortController()
    let resolve: (message: OutgoingMessage) => void
    const sent = new Promise<OutgoingMessage>((done) => (resolve = done))
    const outbox = new Outbox<Output>({
      send: async (output, message) => void (output === 'readings' && resolve(message)),
      signal: stopping.signal,
      onFailure: () => {},
    })
    const intake: Intake = new Intake({
      directory: folder,
      bytesMax: 2_000_000,
      nowMs: () => 1_700_000_000_000,
      complete: () => {},
      onTaken: (taken) => module.taken(taken),
      onTrouble: () => {},
    })
    const module: EdgeModule = new EdgeModule({
      settings: EdgeModuleSettings.parse({ MODULE_DATA: folder }),
      newBoot: 'boot',
      intake,
      outbox,
      compression: zlibCompression,
      callDevice: () => Promise.resolve(),
      nowMs: () => 1_700_000_000_000,
      log: (_level, event) => logged.push(event),
    })
    module.start()
    return { module, intake, logged, sent, stopping }
  }

  test('whose snapshot cannot be read says so, and goes on from what its journal holds', async () => {
    const first = start()
    const reading = new iot.Message(JSON.stringify({ time: 1_700_000_000_000, vibrationMmPerS: 2 }))
    reading.properties.add('$.cdid', 'pump-1')
    first.intake.take(reading)
    while (first.intake.committed < first.intake.end) await first.intake.progress()
    await first.module.stop()
    first.stopping.abort()

    writeSnapshot(path, snapshot)
    appendFileSync(path, 'x')
    const second = start()
    expect(second.logged).toContain('snapshot-not-read')
    await second.module.flush()
    const { blocks } = decodePackedBatch((await second.sent).body, zlibCompression)
    expect(blocks).toMatchObject([{ deviceId: 'pump-1', series: [{ signal: 'vibrationMmPerS', values: [2] }] }])
    await second.module.stop()
    second.stopping.abort()
  })
})
