/**
 * What a plant needs of Azure, and what that costs in a year. Prices: IoT Hub S1 $25 a unit and month, S2 ten times, S3 a
 * hundred times that, for 400,000, 6 million and 300 million messages of 4 KB a day; Event Hubs $22 a throughput unit and
 * month; Functions $0.20 a million executions (infracost's golden files and Azure's lists, 2026); Tables $0.00036 for
 * 10,000 transactions. Grants, Web PubSub, the static site and logs are left out. Pure.
 */
const hubTiers = [
  { sku: 'S1', perDay: 400_000, usdPerMonth: 25, unitsMax: 10 },
  { sku: 'S2', perDay: 6_000_000, usdPerMonth: 250, unitsMax: 10 },
  { sku: 'S3', perDay: 300_000_000, usdPerMonth: 2_500, unitsMax: 10 },
] as const
const meterBytes = 4_096
const throughputUnitBytesPerS = 1_000_000
const throughputUnitUsdPerMonth = 22
const executionsUsdPerMillion = 0.2
const transactionsUsdPerTenThousand = 0.00036
const daysPerYear = 365

export type HubChoice = { readonly sku: (typeof hubTiers)[number]['sku']; readonly units: number; readonly usdPerYear: number }

/** The cheapest units that take a day's messages. */
export function hubFor(meteredPerDay: number): HubChoice {
  const choices = hubTiers.map(({ sku, perDay, usdPerMonth, unitsMax }) => {
    const units = Math.max(1, Math.ceil(meteredPerDay / perDay))
    return { sku, units, usdPerYear: units * usdPerMonth * 12, isPossible: units <= unitsMax }
  })
  const { sku, units, usdPerYear } =
    choices.filter(({ isPossible }) => isPossible).sort((a, b) => a.usdPerYear - b.usdPerYear)[0] ?? choices.at(-1)!
  return { sku, units, usdPerYear }
}

export type Rate = { readonly meteredPerDay: number; readonly executionsPerDay: number; readonly tableTransactionsPerDay: number }

export function yearlyCost({ meteredPerDay, executionsPerDay, tableTransactionsPerDay }: Rate): number {
  const perDay = (executionsPerDay / 1e6) * executionsUsdPerMillion + (tableTransactionsPerDay / 1e4) * transactionsUsdPerTenThousand
  return hubFor(meteredPerDay).usdPerYear + perDay * daysPerYear
}

export type Plant = {
  readonly devices: number
  readonly signalsPerDevice: number
  readonly readingsPerSignalAndS: number
  readonly devicesPerGateway: number
  /** Share of readings that the edge passes on. */
  readonly kept: number
  readonly bytesPerReading: number
  /** How long a gateway packs. */
  readonly packS: number
}

/** Five signals a second each, behind gateways that pack for ten seconds; the shares are what `docs/EDGE.md` measured. */
export const typicalPlant = {
  signalsPerDevice: 5,
  readingsPerSignalAndS: 1,
  devicesPerGateway: 50,
  kept: 0.3,
  bytesPerReading: 6,
  packS: 10,
} as const satisfies Omit<Plant, 'devices'>

/** Measured on one core of the laptop this was built on: docs/DETECTION.md. */
const cpuSPerReading = 5.8e-6
/** Newest values and snapshot of a device, each time its gateway was heard. */
const rowsPerDeviceAndPack = 2
const rowsPerTransaction = 50

export function azurePlan(plant: Plant) {
  const { devices, signalsPerDevice, readingsPerSignalAndS, devicesPerGateway, kept, bytesPerReading, packS } = plant
  const gateways = Math.ceil(devices / devicesPerGateway)
  const readingsPerS = devices * signalsPerDevice * readingsPerSignalAndS * kept
  const messageBytes = (readingsPerS * packS * bytesPerReading) / gateways
  const messagesPerS = gateways / packS
  const meteredPerDay = messagesPerS * Math.ceil(messageBytes / meterBytes) * 86_400
  const bytesPerS = messagesPerS * messageBytes
  // Read by the trigger, and again after a crash; what comes in counts.
  const throughputUnits = Math.max(1, Math.ceil(bytesPerS / throughputUnitBytesPerS))
  const rowsPerS = (devices / packS) * rowsPerDeviceAndPack
  const executionsPerDay = messagesPerS * 86_400
  const tableTransactionsPerDay = (rowsPerS / rowsPerTransaction) * 86_400
  const hub = hubFor(meteredPerDay)
  const usdPerYear =
    yearlyCost({ meteredPerDay, executionsPerDay, tableTransactionsPerDay }) + throughputUnits * throughputUnitUsdPerMonth * 12
  return {
    gateways,
    readingsPerS,
    messagesPerS,
    meteredPerDay,
    hub,
    bytesPerS,
    throughputUnits,
    cpuCores: readingsPerS * cpuSPerReading,
    rowsPerS,
    usdPerYear,
  }
}
