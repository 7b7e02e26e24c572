/** PagerDuty Events API v2: trigger, acknowledge and resolve under one dedup_key. */
import type { Alert } from '../../../contract/alert.ts'
import { factsOf } from '../../../contract/alert.ts'
import { kindOf } from '../plan-messages.ts'
import { requireSuccess } from './channel.ts'
import type { Channel, Notice } from './channel.ts'
import { guardedPost } from './guarded-post.ts'
import type { GuardOptions } from './guarded-post.ts'

export function pagerDutyChannel(url: string, routingKey: string, guard: GuardOptions): Channel {
  return {
    name: 'pagerduty',
    async deliver(notice) {
      const body = JSON.stringify(pagerDutyEvent(notice, routingKey))
      const { status, text } = await guardedPost(url, { 'content-type': 'application/json' }, body, guard)
      requireSuccess('PagerDuty', status, text)
      return {}
    },
  }
}

const severities: Record<Alert['priority'], 'critical' | 'error' | 'warning' | 'info'> = {
  critical: 'critical',
  high: 'error',
  medium: 'warning',
  low: 'info',
}

export function pagerDutyEvent({ transition, thread, alert, subject, text, pageUrl }: Notice, routingKey: string) {
  const about = { routing_key: routingKey, dedup_key: thread }
  const kind = kindOf(transition)
  if (kind === 'acknowledged') return { ...about, event_action: 'acknowledge' }
  if (kind === 'closed') return { ...about, event_action: 'resolve' }
  return {
    ...about,
    event_action: 'trigger',
    payload: {
      // 1,024 characters are taken.
      summary: subject.slice(0, 1_024),
      source: alert.deviceId,
      severity: severities[alert.priority],
      timestamp: new Date(alert.raisedAtMs).toISOString(),
      custom_details: { text, evidence: factsOf(alert).evidence },
    },
    links: [{ href: pageUrl, text: 'The alert' }],
  }
}
