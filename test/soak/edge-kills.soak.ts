import { expect, test } from 'vitest'
import { edgeUnderKills } from '../support/edge-under-kills.ts'

test('a hundred kills of the edge module under load lose nothing acknowledged, and count nothing twice', async () => {
  const seed = process.env.SEED ?? String(Date.now())
  const report = await edgeUnderKills(100, seed)
  process.stdout.write(`seed ${seed}: ${report.kills} kills, ${report.acknowledged} readings acknowledged\n`)
  for (const { deviceId, ledger, acknowledged } of report.devices) {
    expect(ledger, deviceId).toMatchObject({ unexplained: 0, deadLettered: 0, expired: 0, inFlight: 0 })
    expect(ledger.stored + ledger.filtered, deviceId).toBe(acknowledged)
  }
})
