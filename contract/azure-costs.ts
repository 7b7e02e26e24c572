/**
 * What a plant needs of Azure, and what that costs in a year. Prices: IoT Hub S1 $25 a unit and month, S2 ten times, S3 a
 * hundred times that, for 400,000, 6 million and 300 million messages of 4 KB a day; Event Hubs $22 a throughput unit and
 * month; Functions on Flex Consumption $0.40 a million executions and $0.000026 a GB and second, a second at least an
 * execution; Tables $0.00036 for 10,000 transactions and $0.045 a GB and month; Web PubSub $49 a unit and month, the static
 * site $9 a month, logs $2.30 a GB. (Hub: infracost's golden files; the others are recalled from Azure's lists of 2026 and
 * differ by region.) Free grants, DPS and Key Vault, some dollars a year, are left out. Pure.
 */
const hubTiers = [
  { sku: 'S1', perDay: 400_000, usdPerMonth: 25, unitsMax: 10 },
  { sku: 'S2', perDay: 6_000_000, usdPerMonth: 250, unitsMax: 10 },
  { sku: 'S3', perDay: 300_000_000, usdPerMonth: 2_500, unitsMax: 10 },
] as const
const meterBytes = 4_096
const throughputUnitBytesPerS = 1_000_000
const throughputUnitUsdPerMonth = 22
const executionsUsdPerMillion = 0.4
const usdPerGbS = 0.000026
const tablesUsdPerGbMonth = 0.045
const pubSubUsdPerMonth = 49
const pageUsdPerMonth = 9
const logsUsdPerGb = 2.3
const transactionsUsdPerTenThousand = 0.00036
const daysPerYear = 365
const secondsPerYear = daysPerYear * 86_400

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

/** What a size of `infra/azure/main.bicep` fixes beside the hub and the event hub. */
export type Size = {
  /** To begin with; more are added by themselves. */
  readonly throughputUnits: number
  readonly pubSubUnits: number
  /** Memory of an instance. */
  readonly instanceGb: number
  /** Logs are cut off there. */
  readonly logsGbPerDayMax: number
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
const cpuSPerReading = 4.4e-6
/** Newest values and snapshot of a device, each time its gateway was heard. */
const rowsPerDeviceAndPack = 2
const rowsPerTransaction = 50
/** Above it a core has no time left for what comes in at once. */
const busyShareMax = 0.8
/** docs/DETECTION.md, docs/STORE.md: kept for 90 days. */
const storedBytesPerReading = 3.3
const keptDays = 90

export function azurePlan(plant: Plant, size: Size) {
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
  const cpuCores = readingsPerS * cpuSPerReading
  const instances = Math.max(1, Math.ceil(cpuCores / busyShareMax))
  // Each execution is billed for a second at least: from one a second on, the instance is billed all the time.
  const busySeconds = instances * Math.min(1, messagesPerS) * secondsPerYear
  const storedGb = (readingsPerS * keptDays * 86_400 * storedBytesPerReading) / 1e9
  const usdPerYear = {
    hub: hub.usdPerYear,
    eventHubs: Math.max(throughputUnits, size.throughputUnits) * throughputUnitUsdPerMonth * 12,
    functions: busySeconds * size.instanceGb * usdPerGbS + ((executionsPerDay * daysPerYear) / 1e6) * executionsUsdPerMillion,
    tables: ((tableTransactionsPerDay * daysPerYear) / 1e4) * transactionsUsdPerTenThousand + storedGb * tablesUsdPerGbMonth * 12,
    page: (size.pubSubUnits * pubSubUsdPerMonth + pageUsdPerMonth) * 12,
    logsAtMost: size.logsGbPerDayMax * daysPerYear * logsUsdPerGb,
  }
  return {
    gateways,
    readingsPerS,
    messagesPerS,
    meteredPerDay,
    hub,
    bytesPerS,
    throughputUnits,
    cpuCores,
    rowsPerS,
    storedGb,
    usdPerYear,
    totalUsdPerYear: Object.values(usdPerYear).reduce((sum, usd) => sum + usd, 0),
  }
}
