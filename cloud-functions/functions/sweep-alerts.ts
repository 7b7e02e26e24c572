/** Every ten seconds: what the clock has made due, what a lost hint left, and who has fallen silent. */
import { app } from '@azure/functions'
import { sweepAlerts } from '../alerting/settle-alert.ts'
import { watchSilence } from '../alerting/watch-silence.ts'
import { appAppliedUpToMs, appDesk } from '../services.ts'
import { recentlyTouchedAlerts } from '../store/alert-store.ts'

/** A hint that has not been acted on within this time is lost. Wider than any pause between two sweeps. */
const lookBackMs = 15 * 60_000

/** How each of them was when it was settled here last: in a flood most have not changed since. */
let settled: ReadonlyMap<string, string> = new Map()

app.timer('sweep-alerts', {
  schedule: '*/10 * * * * *',
  handler: async (_timer, context) => {
    const desk = await appDesk()
    const nowMs = Date.now()
    const silent = await watchSilence(desk.tables, nowMs, () =>
      appAppliedUpToMs().catch((error: unknown) => {
        // Whoever cannot ask how far the log goes may be behind it.
        context.warn(`how far the log has been applied is not known: ${String(error)}`)
        return Number.NEGATIVE_INFINITY
      }),
    )
    const touched = await recentlyTouchedAlerts(desk.tables, nowMs - lookBackMs)
    const grown = [...touched].filter(([alertId, mark]) => settled.get(alertId) !== mark).map(([alertId]) => alertId)
    await sweepAlerts(desk, new Set([...silent, ...grown]), nowMs)
    settled = touched
  },
})
