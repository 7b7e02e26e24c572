/** Every ten seconds: what the clock has made due, what a lost hint or a lost batch left, and who has fallen silent. */
import { app } from '@azure/functions'
import type { InvocationContext } from '@azure/functions'
import { errorText } from '../../contract/error-text.ts'
import { sweepAlerts } from '../alerting/settle-alert.ts'
import { watchSilence } from '../alerting/watch-silence.ts'
import { appliedUpToMs, stalledPartitions } from '../hot-path/log-ends.ts'
import type { Stalled } from '../hot-path/log-ends.ts'
import { appDesk, appLogPosition } from '../services.ts'
import { recentlyTouchedAlerts } from '../store/alert-store.ts'
import { openOwner } from './open-owner.ts'

/** A hint that has not been acted on within this time is lost. Wider than any pause between two sweeps. */
const lookBackMs = 15 * 60_000

/** How each of them was when it was settled here last: in a flood most have not changed since. */
let settled: ReadonlyMap<string, string> = new Map()

app.timer('sweep-alerts', {
  schedule: '*/10 * * * * *',
  handler: async (_timer, context) => {
    const desk = await appDesk()
    const nowMs = Date.now()
    const position = await appLogPosition().catch((error: unknown) => {
      context.warn(`how far the log has been applied is not known: ${errorText(error)}`)
    })
    // Whoever cannot ask how far the log goes may be behind it.
    const silent = await watchSilence(desk.tables, nowMs, position ? appliedUpToMs(position) : Number.NEGATIVE_INFINITY)
    const touched = await recentlyTouchedAlerts(desk.tables, nowMs - lookBackMs)
    const grown = [...touched].filter(([alertId, mark]) => settled.get(alertId) !== mark).map(([alertId]) => alertId)
    await sweepAlerts(desk, new Set([...silent, ...grown]), nowMs)
    settled = touched
    // Alerts that this brings are of the next sweep, and a log that cannot be read holds up none.
    for (const stalled of position ? stalledPartitions(position, nowMs) : []) await catchUp(stalled, context)
  },
})

async function catchUp({ partitionId, beforeSequence }: Stalled, context: InvocationContext): Promise<void> {
  try {
    const owner = await openOwner(partitionId, (text) => context.warn(text))
    await owner.catchUp(beforeSequence)
  } catch (error) {
    context.warn(`partition ${partitionId} is behind and stays it until the next sweep: ${errorText(error)}`)
  }
}
