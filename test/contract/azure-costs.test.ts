/** What Azure costs: the model, the table in the documentation and the sizes of the infrastructure agree. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { azurePlan, hubFor, typicalPlant, yearlyCost } from '../../contract/azure-costs.ts'
import { root } from '../support/product.ts'

const bicep = readFileSync(join(root, 'infra', 'azure', 'main.bicep'), 'utf8')

/** A size of main.bicep, by name. */
function sizeOf(name: string) {
  const fields = new RegExp(`^  ${name}: \\{ (.*) \\}$`, 'm').exec(bicep)![1]!
  const value = (field: string) => new RegExp(`${field}: '?(\\w+)'?`).exec(fields)![1]!
  const number = (field: string) => Number(value(field))
  return {
    hub: [value('hubSku'), number('hubUnits')],
    partitions: number('partitions'),
    throughputUnits: number('throughputUnits'),
    pubSubUnits: value('pubSubSku') === 'Free_F1' ? 0 : number('pubSubUnits'),
    instanceGb: number('instanceMemoryMb') / 1024,
    logsGbPerDayMax: number('logsGbPerDayMax'),
  }
}

/** Devices that a size is for; beyond the largest, more of it. */
const sizes = [
  [10, sizeOf('laptop')],
  [1_000, sizeOf('thousand')],
  [100_000, sizeOf("'hundred-thousand'")],
  [1_000_000, { ...sizeOf("'hundred-thousand'"), pubSubUnits: 5, logsGbPerDayMax: 25 }],
] as const
const plans = sizes.map(([devices, size]) => azurePlan({ ...typicalPlant, devices }, size))
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
      .map(([, name, ...cells]) => [name!, cells.slice(0, 4)]),
  )
  const row = (name: string, of: (plan: (typeof plans)[number]) => string) => expect(rows.get(name), name).toEqual(plans.map(of))
  row('Gateways', ({ gateways }) => whole(gateways))
  row('Readings a second that reach the cloud', ({ readingsPerS }) => whole(readingsPerS))
  row('Messages a second', ({ messagesPerS }) => messagesPerS.toLocaleString('en'))
  row('Metered messages a day (4 KB)', ({ meteredPerDay }) => whole(meteredPerDay))
  row('IoT Hub', ({ hub }) => `${hub.units} × ${hub.sku}`)
  row('Event Hubs, MB/s', ({ bytesPerS }) => (bytesPerS / 1e6).toFixed(2))
  row('Throughput units', ({ throughputUnits }) => whole(throughputUnits))
  row('Cores of the hot path (4.4 µs a reading)', ({ cpuCores }) => cpuCores.toFixed(2))
  row('Rows written a second', ({ rowsPerS }) => whole(rowsPerS))
  row('Stored in tables, GB', ({ storedGb }) => whole(storedGb))
  row('A year: hub', ({ usdPerYear }) => `$${whole(usdPerYear.hub)}`)
  row('Event Hubs', ({ usdPerYear }) => `$${whole(usdPerYear.eventHubs)}`)
  row('Functions', ({ usdPerYear }) => `$${whole(usdPerYear.functions)}`)
  row('tables', ({ usdPerYear }) => `$${whole(usdPerYear.tables)}`)
  row('the page, with Web PubSub', ({ usdPerYear }) => `$${whole(usdPerYear.page)}`)
  row('logs, at most', ({ usdPerYear }) => `$${whole(usdPerYear.logsAtMost)}`)
  row('**all of it**', ({ totalUsdPerYear }) => `**$${whole(totalUsdPerYear)}**`)
})

test('the sizes of the infrastructure take the plants they are named for', () => {
  for (const [index, [devices, size]] of sizes.slice(0, 3).entries()) {
    const plan = plans[index]!
    expect(size.hub, `${devices}`).toEqual([plan.hub.sku, plan.hub.units])
    expect(size.throughputUnits, `${devices}`).toBeGreaterThanOrEqual(plan.throughputUnits)
    expect(size.partitions, `${devices}`).toBeGreaterThan(plan.cpuCores)
  }
})
