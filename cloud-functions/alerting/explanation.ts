/** An alert in one sentence, for a page, a mail or a work order. */
import type { Alert } from '../../contract/alert.ts'
import { deviceModel, signalDisplayName } from '../../contract/device-model.ts'

export function explainAlert(alert: Alert): string {
  const { evidence, signal, modelId } = alert
  const model = deviceModel(modelId)
  const unit = model?.signals[signal]?.unit ?? ''
  const name = signalDisplayName(model, signal)
  const amount = (value: number) => `${formatValue(value)}${unit === '' ? '' : ` ${unit}`}`
  const observed = amount(evidence.observed)
  const range = `${amount(evidence.expectedMin)} to ${amount(evidence.expectedMax)}`
  const others = evidence.alsoMoving.map((other) => signalDisplayName(model, other.signal).toLowerCase())
  const also = others.length > 0 ? ` Also moving: ${others.join(', ')}.` : ''
  switch (evidence.reason) {
    case 'above-limit':
      return `${name} is ${observed}, above its limit of ${amount(evidence.expectedMax)}.${also}`
    case 'below-limit':
      return `${name} is ${observed}, below its limit of ${amount(evidence.expectedMin)}.${also}`
    case 'unusually-high':
      return `${name} is unusually high: ${observed}, expected ${range}.${also}`
    case 'unusually-low':
      return `${name} is unusually low: ${observed}, expected ${range}.${also}`
    case 'unusual-for-the-time-of-day':
      return `${name} is ${observed}; at this time of day ${range} is usual.${also}`
    case 'unusual-jump':
      return `${name} jumped to ${observed}; from one reading to the next ${range} was expected.${also}`
    case 'unusual-step':
      return `${name} moved to ${observed} faster than it ever does, expected ${range}.${also}`
    case 'changes-too-fast':
      return `${name} changed to ${observed} faster than it can, expected ${range}.${also}`
    case 'drifting':
      return `${name} has drifted away from where it was when the machine was new: now ${observed}, then ${range}.${also}`
    case 'does-not-fit-the-other-signals':
      return `${name} is ${observed}, which does not fit the other signals: by them ${range} is expected.${also}`
    case 'stuck':
      return `${name} no longer moves: it has been ${observed} longer than it ever was the same.${also}`
    case 'missing':
      return `${name} is no longer sent, while the device goes on; the last value was ${observed}.${also}`
    default:
      return evidence.reason satisfies never
  }
}

/** Four significant digits: what a person compares, not what a machine computes with. */
export function formatValue(value: number): string {
  return Number(value.toPrecision(4)).toString()
}
