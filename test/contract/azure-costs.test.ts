/** What Azure costs: the model, the table in the documentation and the sizes of the infrastructure agree. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { azurePlan, hubFor, typicalPlant, yearlyCost } from '../../contract/azure-costs.ts'
import { root } from '../support/product.ts'

const plans = [1_000, 100_000, 1_000_000].map((devices) => azurePlan({ ...typicalPlant, devices }))
const whole = (value: number) => Math.round(value).toLocaleString('en')

describe('the cheapest hub', () => {
  test.each([
    [1, 'S1', 1],
    [400_001, 'S1', 2],
    [4_000_000, 'S1', 10],
    [4_000_001, 'S2', 1],
    [60_000_001, 'S3', 1],
  ])('for %i messages a day is %s × %i', (perDay, sku, units) => expect(hubFor(perDay)).toMatchObject({ sku, units }))
  test('the edge pays for itself', () =>
    expect(yearlyCost({ meteredPerDay: 86_400_000, executionsPerDay: 1, tableTransactionsPerDay: 1 })).toBeGreaterThan(
      50 * yearlyCost({ meteredPerDay: 345_600, executionsPerDay: 1, tableTransactionsPerDay: 1 }),
    ))
})

test('docs/SCALE.md says what the model says', () => {
  const rows = new Map(
    readFileSync(join(root, 'docs', 'SCALE.md'), 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('|'))
      .map((line) => line.split('|').map((cell) => cell.trim()))
      .map(([, name, ...cells]) => [name!, cells.slice(0, 3)]),
  )
  const row = (name: string, of: (plan: (typeof plans)[number]) => string) => expect(rows.get(name), name).toEqual(plans.map(of))
  row('Gateways', ({ gateways }) => whole(gateways))
  row('Readings a second that reach the cloud', ({ readingsPerS }) => whole(readingsPerS))
  row('Messages a second', ({ messagesPerS }) => whole(messagesPerS))
  row('Metered messages a day (4 KB)', ({ meteredPerDay }) => whole(meteredPerDay))
  row('IoT Hub', ({ hub }) => `${hub.units} × ${hub.sku}`)
  row('Event Hubs, MB/s', ({ bytesPerS }) => (bytesPerS / 1e6).toFixed(2))
  row('Throughput units', ({ throughputUnits }) => whole(throughputUnits))
  row('Cores of the hot path (5.8 µs a reading)', ({ cpuCores }) => cpuCores.toFixed(2))
  row('Rows written a second', ({ rowsPerS }) => whole(rowsPerS))
  row('A year, hub + Event Hubs + executions', ({ usdPerYear }) => `$${whole(usdPerYear)}`)
})

test('the sizes of the infrastructure take the plants they are named for', () => {
  const bicep = readFileSync(join(root, 'infra', 'azure', 'main.bicep'), 'utf8')
  const size = (name: string) =>
    new RegExp(`${name}: \\{ hubSku: '(S\\d)', hubUnits: (\\d+), partitions: (\\d+), throughputUnits: (\\d+)`).exec(bicep)!.slice(1)
  for (const [name, plan] of [
    ['thousand', plans[0]!],
    ["'hundred-thousand'", plans[1]!],
  ] as const) {
    const [sku, units, partitions, throughputUnits] = size(name)
    expect([sku, Number(units)], name).toEqual([plan.hub.sku, plan.hub.units])
    expect(Number(throughputUnits), name).toBeGreaterThanOrEqual(plan.throughputUnits)
    expect(Number(partitions), name).toBeGreaterThan(plan.cpuCores)
  }
})
