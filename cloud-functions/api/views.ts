/** What the API says of an alert and of a device: stored data joined with the device model's words. */
import type { AlertExplanation, AlertView, DeviceView } from '../../contract/api.ts'
import type { Alert } from '../../contract/alert.ts'
import { deviceModel, signalDisplayName, unusualAlarm } from '../../contract/device-model.ts'
import { isReproduced, recompute } from '../../detection/explain.ts'
import { explainAlert } from '../alerting/explanation.ts'
import type { DeviceSummary } from '../store/latest-store.ts'

export function alertView(alert: Alert): AlertView {
  const model = deviceModel(alert.modelId)
  const record =
    model?.alarms.find(({ signal, condition }) => signal === alert.signal && condition === alert.condition) ??
    unusualAlarm(model, alert.signal)
  const { cause, consequence, action, respondWithinMin } = record
  const { before: _state, ...evidence } = alert.evidence
  return {
    ...alert,
    evidence,
    deviceKind: model?.interface.displayName ?? '',
    signalName: signalDisplayName(model, alert.signal),
    unit: model?.signals[alert.signal]?.unit ?? '',
    explanation: explainAlert(alert),
    alsoMoving: alert.evidence.alsoMoving.map(({ signal, severity }) => ({ signal, severity, name: signalDisplayName(model, signal) })),
    rationale: { cause, consequence, action, respondWithinMin },
  }
}

export function alertExplanation(alert: Alert): AlertExplanation {
  const again = recompute(alert.evidence, alert.signal, deviceModel(alert.modelId))
  const { alertId, evidence, explanation } = alertView(alert)
  return { alertId, explanation, evidence, recomputed: again, isReproduced: isReproduced(alert.evidence, again) }
}

/** A device that has been silent longer than this shows as such. */
const silentAfterMs = 60_000

export function deviceView({ hoursUpToMs: _hours, daysUpToMs: _days, ...device }: DeviceSummary, nowMs: number): DeviceView {
  const model = deviceModel(device.modelId)
  const conditions = device.signals.map(({ condition }) => condition)
  const isSilent = nowMs - device.lastSeenMs > silentAfterMs || device.signals.length === 0
  const condition = isSilent ? 'no-data' : conditions.includes('alarm') ? 'alarm' : conditions.includes('learning') ? 'learning' : 'fine'
  return {
    ...device,
    condition,
    signals: device.signals.map((signal) => ({
      ...signal,
      name: signalDisplayName(model, signal.signal),
      unit: model?.signals[signal.signal]?.unit ?? '',
      limits: (model?.alarms ?? []).flatMap((alarm) =>
        alarm.condition !== 'unusual' && alarm.signal === signal.signal ? [{ limit: alarm.limit, direction: alarm.direction }] : [],
      ),
    })),
  }
}
