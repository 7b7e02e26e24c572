/** A message in words: what a mail, a card or a pager shows. */
import type { Alert } from '../../contract/alert.ts'
import { explainAlert } from '../../contract/alert-text.ts'
import { recordOf, signalDisplayName, deviceModel } from '../../contract/device-model.ts'
import type { ListedAlert } from '../store/alert-store.ts'
import { kindOf } from './plan-messages.ts'
import type { Transition } from './plan-messages.ts'

export function subjectOf(alert: Alert, transition: Transition): string {
  const { deviceId, modelId, signal, scope, priority, affected } = alert
  const what = signal === '' ? 'no data' : signalDisplayName(deviceModel(modelId), signal)
  const where = scope === 'plant' ? 'the whole plant' : deviceId
  const more = affected && affected.count > 1 ? ` (${affected.count} devices)` : ''
  return `${prefixOf(transition)}[${priority}] ${where}: ${what}${more}`
}

function prefixOf(transition: Transition): string {
  const kind = kindOf(transition)
  if (kind === 'reminder') return 'Still open: '
  if (kind === 'escalation') return 'Nobody has answered: '
  if (kind === 'escalated') return 'Worse: '
  if (kind === 'again') return 'Again: '
  return kind === 'closed' ? 'Over: ' : ''
}

export function textOf(alert: Alert, transition: Transition, links: { pageUrl: string; acknowledgeUrl: string | undefined }): string {
  const { cause, consequence, action, respondWithinMin } = recordOf(alert)
  if (kindOf(transition) === 'closed') {
    const { acknowledged, returnedAtMs } = alert
    const until = returnedAtMs === undefined ? '' : ` It was back to normal at ${new Date(returnedAtMs).toISOString()}.`
    return `${explainAlert(alert)}\n\nThis is over.${until}${acknowledged ? ` Seen by ${acknowledged.by}${acknowledged.note === '' ? '' : `: ${acknowledged.note}`}.` : ''}\n\n${links.pageUrl}`
  }
  return [
    explainAlert(alert),
    '',
    `Cause: ${cause}`,
    `Consequence: ${consequence}`,
    `Do: ${action}`,
    `Within: ${respondWithinMin} min, from ${new Date(alert.raisedAtMs).toISOString()}`,
    ...(alert.affected && alert.affected.count > 1 ? [`Affected: ${namesOf(alert.affected)}`] : []),
    '',
    `The alert: ${links.pageUrl}`,
    ...(links.acknowledgeUrl === undefined ? [] : [`Acknowledge: ${links.acknowledgeUrl}`]),
  ].join('\n')
}

function namesOf({ count, deviceIds }: NonNullable<Alert['affected']>): string {
  const shown = deviceIds.slice(0, 10).join(', ')
  return count > 10 ? `${shown} and ${count - 10} more` : shown
}

const digestLines = 50

/** A flood in one message. */
export function digestText(alerts: readonly ListedAlert[], transition: Transition, pageUrl: string): { subject: string; text: string } {
  const lines = alerts.slice(0, digestLines).map((alert) => `[${alert.priority}] ${alert.deviceId}: ${explainAlert(alert)}`)
  const more = alerts.length > digestLines ? [`… and ${alerts.length - digestLines} more`] : []
  return {
    subject: `${prefixOf(transition)}Alarm flood: ${alerts.length} alerts`,
    text: [...lines, ...more, '', `The list: ${pageUrl}`].join('\n'),
  }
}
