import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { LedgerView } from '../../contract/api.ts'
import { newFolder, removeFolder, startProduct } from '../support/product.ts'
import type { Product } from '../support/product.ts'

const devices = Number(process.env.DEVICES ?? 1_000)
const minutes = Number(process.env.MINUTES ?? 10)
const folder = newFolder()
let product: Product
beforeAll(async () => (product = await startProduct(folder, ['--devices', String(devices)])))
afterAll(async () => {
  await product.stop()
  removeFolder(folder)
})

test(`${devices} devices for ${minutes} minutes through edge and hub: the ledger explains every reading`, async () => {
  const endMs = Date.now() + minutes * 60_000
  while (Date.now() < endMs) {
    const { total } = await product.get('ledger', LedgerView.parse)
    expect(total.unexplained).toBe(0)
    await delay(10_000)
  }
  const { total, devices: rows } = await product.get('ledger', LedgerView.parse)
  process.stdout.write(`${JSON.stringify({ ...total, devices: rows.length })}\n`)
  expect(total).toMatchObject({ unexplained: 0, deadLettered: 0, expired: 0 })
  expect(rows.filter(({ unexplained }) => unexplained !== 0)).toEqual([])
  expect(rows.length).toBeGreaterThanOrEqual(devices)
  // Four signals and a half of each machine a second, on a mean: the plant kept its pace.
  expect(total.published).toBeGreaterThan(devices * minutes * 60 * 4.5)
})
