/** An alert in one sentence, for a page, a mail or a work order. */
import type { Alert } from '../../contract/alert.ts'
import { deviceModel, signalDisplayName } from '../../contract/device-model.ts'

export function explainAlert(alert: Alert): string {
  const { evidence, signal, modelId } = alert
  const model = deviceModel(modelId)
  const unit = model?.signals[signal]?.unit ?? ''
  const name = signalDisplayName(model, signal)
  const amount = (value: number) => `${formatValue(value)}${unit === '' ? '' : ` ${unit}`}`
  const others = evidence.alsoMoving.map((other) => signalDisplayName(model, other.signal).toLowerCase())
  const also = others.length > 0 ? ` Also moving: ${others.join(', ')}.` : ''
  switch (evidence.reason) {
    case 'above-limit':
      return `${name} is ${amount(evidence.observed)}, above its limit of ${amount(evidence.expectedMax)}.${also}`
    case 'below-limit':
      return `${name} is ${amount(evidence.observed)}, below its limit of ${amount(evidence.expectedMin)}.${also}`
    case 'unusually-high':
    case 'unusually-low': {
      const direction = evidence.reason === 'unusually-high' ? 'high' : 'low'
      const range = `${amount(evidence.expectedMin)} to ${amount(evidence.expectedMax)}`
      return `${name} is unusually ${direction}: ${amount(evidence.observed)}, expected ${range} from the last ${evidence.baselineReadings} normal readings.${also}`
    }
    default:
      return evidence.reason satisfies never
  }
}

/** Four significant digits: what a person compares, not what a machine computes with. */
export function formatValue(value: number): string {
  return Number(value.toPrecision(4)).toString()
}
