/** The simulation tells the truth about the product: the same recorded plant through the cores alone, and through the real processes. */
import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { zlibCompression } from '../../cloud-functions/hot-path/compression.ts'
import { foldMessage, newPartitionState, noEffects } from '../../cloud-functions/hot-path/fold.ts'
import type { DetectedEvent } from '../../contract/alert.ts'
import { AlertList, LedgerView } from '../../contract/api.ts'
import { plantLog } from '../support/log.ts'
import { eventually } from '../support/eventually.ts'
import { newFolder, removeFolder, runCommand, startProduct } from '../support/product.ts'
import type { Product } from '../support/product.ts'

const folder = newFolder()
let product: Product

beforeAll(async () => {
  product = await startProduct(folder)
}, 120_000)
afterAll(async () => {
  await product?.stop()
  removeFolder(folder)
})

const machines = (['pump', 'compressor', 'oven', 'motor'] as const).map((kind) => ({ deviceId: `replayed-${kind}`, kind }))
const log = plantLog({
  machines,
  seconds: 3_600,
  stepS: 5,
  startMs: Date.now() - 2 * 3_600_000,
  faults: [
    { deviceId: 'replayed-pump', kind: 'level-shift', signal: 'vibrationMmPerS', onsetS: 1_500, rampS: 1, endS: 1_800 },
    { deviceId: 'replayed-compressor', kind: 'spike', signal: 'motorCurrentA', onsetS: 2_000, rampS: 1, endS: 2_010 },
    { deviceId: 'replayed-oven', kind: 'stuck', signal: 'exhaustTemperatureC', onsetS: 2_200, rampS: 1, endS: 2_700 },
    { deviceId: 'replayed-motor', kind: 'unit-slip', signal: 'windingTemperatureC', onsetS: 3_000, rampS: 1, endS: 3_300 },
  ],
})

/** What identifies an alert when boots differ. */
type Told = {
  deviceId: string
  signal: string
  condition: string
  detector: string
  firstSeenMs: number
  severity: number
  observed: number
}
const told = ({
  deviceId,
  signal,
  condition,
  evidence,
}: {
  deviceId: string
  signal: string
  condition: string
  evidence: Omit<Told, 'deviceId' | 'signal' | 'condition'>
}): Told => ({
  deviceId,
  signal,
  condition,
  detector: evidence.detector,
  firstSeenMs: evidence.firstSeenMs,
  severity: evidence.severity,
  observed: evidence.observed,
})
const inOrder = (alerts: Told[]) => alerts.sort((a, b) => a.firstSeenMs - b.firstSeenMs || a.signal.localeCompare(b.signal))

function simulated(): Told[] {
  const partition = newPartitionState()
  const effects = noEffects()
  for (const message of log) foldMessage(partition, message, zlibCompression, effects)
  return effects.alertEvents.flatMap(({ event }: { event: DetectedEvent }) => (event.kind === 'raised' ? [told(event)] : []))
}

test('a recorded plant raises the same alerts, to the last bit of their severity', async () => {
  const file = join(folder, 'plant.ndjson')
  writeFileSync(file, '')
  let readings = 0
  for (const { body, deviceId, properties } of log) {
    const { time, ...values } = JSON.parse(Buffer.from(body).toString()) as { time: number }
    readings += Object.keys(values).length
    appendFileSync(
      file,
      `${JSON.stringify({ timestamp: new Date(time).toISOString(), device: deviceId, model: properties.model, ...values })}\n`,
    )
  }
  const { code } = await runCommand(['replay', file, '--target', join(folder, 'connection.json')])
  expect(code).toBe(0)
  const names = new Set(machines.map(({ deviceId }) => deviceId))
  await eventually(
    async () => {
      const { devices } = await product.get('ledger', LedgerView.parse)
      const stored = devices.filter(({ deviceId }) => names.has(deviceId)).reduce((sum, ledger) => sum + ledger.stored, 0)
      return stored === readings || undefined
    },
    { withinMs: 30_000, what: `${readings} readings stored` },
  )
  const expected = inOrder(simulated())
  expect(expected.length).toBeGreaterThanOrEqual(4)
  const real = await eventually(
    async () => {
      const { alerts } = await product.get('alerts?state=all', AlertList.parse)
      const ours = alerts.filter(({ deviceId }) => names.has(deviceId))
      return ours.length >= expected.length ? ours : undefined
    },
    { withinMs: 20_000, what: `${expected.length} alerts` },
  )
  expect(inOrder(real.map(told))).toEqual(expected)
}, 120_000)
