/** What the API says of an alert and of a device: stored data joined with the device model's words. */
import type {
  AlertDetail,
  AlertExplanation,
  AlertItem,
  AlertView,
  Delivery,
  DeviceView,
  ReadingsView,
  SensorState,
} from '../../contract/api.ts'
import { factsOf, standingOf } from '../../contract/alert.ts'
import type { Alert, AlertEvent } from '../../contract/alert.ts'
import { explainAlert } from '../../contract/alert-text.ts'
import { deviceModel, recordOf, signalDisplayName } from '../../contract/device-model.ts'
import { isReproduced, recompute } from '../../detection/explain.ts'
import { silentAfterMs } from '../../detection/silence.ts'
import { nuisanceOf, suggestedDeadband } from '../alerting/nuisance.ts'
import type { WhereItStands } from '../alerting/topology.ts'
import { resolutions } from '../hot-path/bucket.ts'
import type { ListedAlert } from '../store/alert-store.ts'
import type { DeviceSummary } from '../store/latest-store.ts'
import type { OutboxMessage } from '../store/outbox-store.ts'

export type PlaceOf = (deviceId: string) => WhereItStands

/** A row of a list; texts in all languages, so that it can be told to every page at once. */
export function alertItem(facts: ListedAlert, placeOf: PlaceOf, nowMs: number): AlertItem {
  const { evidence: _evidence, episodesMs: _episodes, episodeLengthsMs: _lengths, ...alert } = facts
  return { ...alert, ...wordsOf(facts, placeOf, nowMs) }
}

function wordsOf(facts: ListedAlert, placeOf: PlaceOf, nowMs: number) {
  const model = deviceModel(facts.modelId)
  const { site, line } = placeOf(facts.deviceId)
  return {
    standing: standingOf(facts),
    version: facts.version,
    deviceKind: model?.interface.displayName ?? '',
    signalName: facts.signal === '' ? '' : signalDisplayName(model, facts.signal),
    unit: model?.signals[facts.signal]?.unit ?? '',
    site: facts.scope === 'site' ? facts.deviceId : site,
    line,
    explanation: explainAlert(facts),
    translations: { de: explainAlert(facts, 'de') },
    respondWithinMin: recordOf(facts).respondWithinMin,
    ...nuisanceOf(facts, nowMs),
  }
}

export function alertView(alert: Alert, version: number, placeOf: PlaceOf, nowMs: number): AlertView {
  const model = deviceModel(alert.modelId)
  const { cause, consequence, action, respondWithinMin } = recordOf(alert)
  const { before: _state, ...evidence } = alert.evidence
  const facts = { ...factsOf(alert), version }
  const deadband = nuisanceOf(facts, nowMs).isChattering ? suggestedDeadband(facts) : undefined
  return {
    ...alert,
    ...wordsOf(facts, placeOf, nowMs),
    evidence,
    alsoMoving: alert.evidence.alsoMoving.map(({ signal, severity }) => ({ signal, severity, name: signalDisplayName(model, signal) })),
    rationale: { cause, consequence, action, respondWithinMin },
    ...(deadband ? { suggestedDeadband: deadband } : {}),
  }
}

/** The evidence stands in the alert; repeating it with every event would only weigh. */
export function historyEntry(event: AlertEvent): AlertDetail['history'][number] {
  const { kind, atMs } = event
  const said = 'note' in event ? event.note : 'reason' in event ? event.reason : 'text' in event ? event.text : undefined
  return {
    kind,
    atMs,
    ...('priority' in event ? { priority: event.priority } : {}),
    ...('by' in event ? { by: event.by } : {}),
    ...(said === undefined ? {} : { note: said }),
    ...('why' in event ? { why: event.why } : {}),
    ...('to' in event ? { to: event.to } : {}),
    ...('untilMs' in event ? { untilMs: event.untilMs } : {}),
    ...('number' in event ? { number: event.number, status: event.status } : {}),
    ...('isTrueAlarm' in event ? { isTrueAlarm: event.isTrueAlarm } : {}),
  }
}

export function deliveryView({ etag: _etag, mailTo: _mailTo, ...delivery }: OutboxMessage): Delivery {
  const { about, transition, channel, status, attempts, plannedMs, nextAttemptMs, lastError, workOrder } = delivery
  return { about, transition, channel, status, attempts, plannedMs, nextAttemptMs, lastError, workOrder }
}

export function alertExplanation(alert: Alert): AlertExplanation {
  const again = recompute(alert.evidence, alert.signal, deviceModel(alert.modelId))
  const { before: _state, ...evidence } = alert.evidence
  return {
    alertId: alert.alertId,
    explanation: explainAlert(alert),
    evidence,
    recomputed: again,
    isReproduced: isReproduced(alert.evidence, again),
  }
}

/** A clock further off than this makes times that people would misread. */
const badClockMs = 60_000

/** @param held conditions that people have put aside, as `device|signal` */
export function deviceView(summary: DeviceSummary, placeOf: PlaceOf, held: ReadonlySet<string>, nowMs: number): DeviceView {
  const { deviceId, modelId, kind, lastSeenMs, gatewayId, clockBehindMs, ledger } = summary
  const model = deviceModel(modelId)
  const afterMs = silentAfterMs(summary)
  const isSilent = nowMs - lastSeenMs > afterMs || summary.signals.length === 0
  const conditions = summary.signals.map(({ condition }) => condition)
  const stateOf = ({ signal, condition }: DeviceSummary['signals'][number]): SensorState => {
    if (isSilent) return 'no-data'
    if (Math.abs(clockBehindMs) > badClockMs) return 'bad-clock'
    if (held.has(heldKey(deviceId, signal))) return 'shelved'
    if (condition === 'alarm') return 'alarm'
    if (!model?.alarms.some((alarm) => alarm.signal === signal)) return 'no-rule'
    return condition
  }
  return {
    deviceId,
    modelId,
    kind,
    lastSeenMs,
    silentAfterMs: afterMs,
    gatewayId,
    ...placeOf(deviceId),
    clockBehindMs,
    ledger,
    condition: isSilent ? 'no-data' : conditions.includes('alarm') ? 'alarm' : conditions.includes('learning') ? 'learning' : 'fine',
    signals: summary.signals.map((signal) => ({
      ...signal,
      name: signalDisplayName(model, signal.signal),
      unit: model?.signals[signal.signal]?.unit ?? '',
      state: stateOf(signal),
      limits: (model?.alarms ?? []).flatMap((alarm) =>
        alarm.condition !== 'unusual' && alarm.signal === signal.signal ? [{ limit: alarm.limit, direction: alarm.direction }] : [],
      ),
    })),
  }
}

/** How a signal went on between two of its points: where an edge held readings back, by the filter of the device's model. */
export function interpolationOf(
  { gatewayId, modelId }: Pick<DeviceSummary, 'gatewayId' | 'modelId'>,
  signal: string,
  pointWidthMs: number,
): ReadingsView['interpolation'] {
  // Means of a minute and more count what was held back.
  if (gatewayId === '' || pointWidthMs >= resolutions['1m']) return 'linear'
  switch (deviceModel(modelId)?.signals[signal]?.filter?.kind) {
    case 'swinging-door':
    case 'aggregate':
    case 'pass':
      return 'linear'
    default:
      return 'step'
  }
}

export function heldKey(deviceId: string, signal: string): string {
  return `${deviceId}|${signal}`
}
