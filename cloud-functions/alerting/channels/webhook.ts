/** The service department's door: signed webhooks (Standard Webhooks). The webhook-id is the same on every retry. */
import { Webhook } from 'standardwebhooks'
import { z } from 'zod'
import { factsOf } from '../../../contract/alert.ts'
import type { Alert } from '../../../contract/alert.ts'
import { explainAlert } from '../../../contract/alert-text.ts'
import { deviceModel, recordOf, signalDisplayName } from '../../../contract/device-model.ts'
import { kindOf } from '../plan-messages.ts'
import { requireSuccess } from './channel.ts'
import type { Channel, Notice } from './channel.ts'
import { guardedPost } from './guarded-post.ts'
import type { GuardOptions } from './guarded-post.ts'

const Receipt = z.object({ workOrder: z.string().trim().min(1).max(64) })

/** @param secret `whsec_…` */
export function webhookChannel(url: string, secret: string, guard: GuardOptions): Channel {
  const webhook = new Webhook(secret)
  return {
    name: 'webhook',
    async deliver(notice) {
      const { id, nowMs } = notice
      const body = JSON.stringify(webhookBody(notice))
      const headers = {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': Math.floor(nowMs / 1000).toString(),
        'webhook-signature': webhook.sign(id, new Date(nowMs), body),
      }
      const { status, text } = await guardedPost(url, headers, body, guard)
      requireSuccess('the service department', status, text)
      const receipt = Receipt.safeParse(jsonOr(text))
      return receipt.success ? { workOrder: receipt.data.workOrder } : {}
    },
  }
}

/** `alert.raised` asks for a work order; the other kinds tell what became of it. */
export function webhookBody({ transition, alert, pageUrl, nowMs }: Notice) {
  const kind = kindOf(transition)
  return {
    type: `alert.${kind}`,
    timestamp: new Date(kind === 'raised' ? alert.raisedAtMs : nowMs).toISOString(),
    data: workOrderRequest(alert, pageUrl),
  }
}

/** What a fault is called, for the service department: one work order is open for an asset and a failure code. */
export function failureCodeOf({ signal, condition }: Pick<Alert, 'signal' | 'condition'>): string {
  return signal === '' ? condition : `${signal}/${condition}`
}

function workOrderRequest(alert: Alert, pageUrl: string) {
  const model = deviceModel(alert.modelId)
  const { cause, consequence, action, respondWithinMin } = recordOf(alert)
  return {
    alertId: alert.alertId,
    asset: alert.deviceId,
    assetKind: alert.scope ?? model?.interface.displayName ?? '',
    failureCode: failureCodeOf(alert),
    signal: alert.signal === '' ? '' : signalDisplayName(model, alert.signal),
    priority: alert.priority,
    description: explainAlert(alert),
    cause,
    consequence,
    recommendedAction: action,
    respondWithinMin,
    dueAt: new Date(alert.raisedAtMs + respondWithinMin * 60_000).toISOString(),
    page: pageUrl,
    ...(alert.affected ? { affected: alert.affected } : {}),
    ...(alert.workOrder ? { workOrder: alert.workOrder.number } : {}),
    evidence: factsOf(alert).evidence,
  }
}

function jsonOr(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
