/** `kill -9` of the edge module under load; `npm run soak` does it a hundred times. */
import { describe, expect, test } from 'vitest'
import { onAzure } from '../support/cloud.ts'
import { edgeUnderKills } from '../support/edge-under-kills.ts'

describe.skipIf(onAzure)('the edge module, killed under load', () => {
  test('loses nothing acknowledged, and counts nothing twice', async () => {
    const report = await edgeUnderKills(8, 'kills')
    for (const { deviceId, ledger, acknowledged } of report.devices) {
      expect(ledger, deviceId).toMatchObject({ unexplained: 0, deadLettered: 0, expired: 0, inFlight: 0 })
      expect(ledger.stored + ledger.filtered, deviceId).toBe(acknowledged)
    }
    expect(report.acknowledged).toBeGreaterThan(1_000)
  }, 120_000)
})
