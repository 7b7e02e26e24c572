/** Why there was no alert: a stretch of a signal judged again, with the history by which the detectors knew it. */
import type { SilenceExplanation } from '../../contract/api.ts'
import { deviceModel } from '../../contract/device-model.ts'
import { reviewSeries } from '../../detection/explain.ts'
import { listAlerts } from '../store/alert-store.ts'
import type { DeviceSummary } from '../store/latest-store.ts'
import { storedReadings } from '../store/reading-rows.ts'
import type { Tables } from '../store/tables.ts'

const historyMs = 8 * 86_400_000
const readingsMax = 1_000_000
const alertsMax = 1_000

type Wanted = { readonly signal: string; readonly fromMs: number; readonly toMs: number }

/** The history is cut to the newest million readings. */
export async function explainSilence(
  tables: Tables,
  { deviceId, modelId }: DeviceSummary,
  { signal, fromMs, toMs }: Wanted,
): Promise<SilenceExplanation> {
  let readings: { timeMs: number; value: number }[] = []
  const rows = storedReadings(tables, { deviceIds: [deviceId], signals: [signal], fromMs: fromMs - historyMs, toMs })
  for await (const { timeMs, value } of rows) {
    readings.push({ timeMs, value })
    if (readings.length >= 2 * readingsMax) readings = newestOf(readings)
  }
  const newest = newestOf(readings)
  const review = reviewSeries(newest, { fromMs, toMs, signal, model: deviceModel(modelId) })
  const alerts = await listAlerts(tables, { deviceId }, alertsMax)
  const openAlerts = alerts
    .filter(({ raisedAtMs, returnedAtMs = Number.POSITIVE_INFINITY }) => raisedAtMs < toMs && returnedAtMs > fromMs)
    .map(({ alertId, signal: of, raisedAtMs }) => ({ alertId, signal: of, raisedAtMs }))
  return { deviceId, signal, from: fromMs, to: toMs, historyReadings: newest.length - review.readings, ...review, openAlerts }
}

function newestOf<R extends { readonly timeMs: number }>(readings: readonly R[]): R[] {
  return [...readings].sort((a, b) => a.timeMs - b.timeMs).slice(-readingsMax)
}
