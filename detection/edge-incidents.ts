/** Alerts of an edge module join the cloud's own: one incident, whoever saw it first. */
import type { DetectedEvent } from '../contract/alert.ts'
import { addSignal, isEpisodeOpen } from './watch-state.ts'
import type { DeviceWatch } from './watch-state.ts'
import { joined, quiet, rememberEnded } from './episode.ts'

/**
 * Takes over what the edge found in the readings before its filter. One incident, whoever sees it first: what is open
 * here already only escalates, and what the edge opened is open here, too.
 */
export function watchEdgeEvent(watch: DeviceWatch, event: DetectedEvent, signalName: string): DetectedEvent[] {
  const known = watch.signals.get(signalName)
  if (event.kind === 'returned') {
    if (known?.phase.kind !== 'active' || known.phase.alertId !== event.alertId) return []
    known.phase = quiet
    rememberEnded(watch.endedEdgeAlerts, event.alertId)
    return [event]
  }
  const signal = known ?? addSignal(watch, signalName)
  const { phase } = signal
  const { condition, priority, evidence, atMs } = event
  const isLimit = condition !== 'unusual'
  if (phase.kind === 'active') {
    if (!isLimit || phase.condition === condition) return []
    signal.phase = { ...phase, condition, priority, normalReadings: 0 }
    return [{ kind: 'escalated', alertId: phase.alertId, atMs, condition, priority, evidence }]
  }
  // What escalated was raised before, and has ended here since.
  if (event.kind === 'escalated' || watch.endedEdgeAlerts.includes(event.alertId)) return []
  if (!isLimit && isEpisodeOpen(watch, signal)) {
    signal.phase = joined(phase, evidence.severity)
    return []
  }
  signal.phase = {
    kind: 'active',
    alertId: event.alertId,
    condition,
    priority,
    firstTimeMs: evidence.firstSeenMs,
    isFromEdge: true,
    expected: undefined,
    severity: evidence.severity,
    normalReadings: 0,
    abnormalReadings: 0,
  }
  return [event]
}
