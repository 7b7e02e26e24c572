/**
 * What a rate of messages costs on Azure in a year. Prices: IoT Hub S1 $25 a unit and month for 400,000 messages of 4 KB a
 * day, Functions $0.20 a million executions (infracost's golden files, 2026); Tables $0.00036 for 10,000 transactions.
 * Grants are left out. Pure.
 */
export type Rate = { readonly meteredPerDay: number; readonly executionsPerDay: number; readonly tableTransactionsPerDay: number }

const unitMessagesPerDay = 400_000
const unitPerMonth = 25
const perMillionExecutions = 0.2
const perTenThousandTransactions = 0.00036

export function yearlyCost({ meteredPerDay, executionsPerDay, tableTransactionsPerDay }: Rate): number {
  const units = Math.max(1, Math.ceil(meteredPerDay / unitMessagesPerDay))
  const perDay = (executionsPerDay / 1e6) * perMillionExecutions + (tableTransactionsPerDay / 1e4) * perTenThousandTransactions
  return units * unitPerMonth * 12 + perDay * 365
}
