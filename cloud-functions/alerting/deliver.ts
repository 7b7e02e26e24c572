/**
 * Sends waiting messages to the service department as signed webhooks (Standard Webhooks). The webhook-id is the same
 * on every retry, so a receiver that remembers ids makes one work order of many deliveries.
 */
import { Webhook } from 'standardwebhooks'
import { z } from 'zod'
import type { Alert } from '../../contract/alert.ts'
import { deviceModel, signalDisplayName } from '../../contract/device-model.ts'
import { readAlert } from '../store/alert-store.ts'
import { updateOutbox, waitingMessages } from '../store/outbox-store.ts'
import type { OutboxMessage } from '../store/outbox-store.ts'
import { hasStatus } from '../store/tables.ts'
import type { Tables } from '../store/tables.ts'
import { explainAlert } from './explanation.ts'

export type ServiceDepartment = { readonly url: string; readonly secret: string }

const timeoutMs = 10_000
const firstRetryMs = 5_000
const retryMsMax = 3_600_000
/** With doubling pauses of at most an hour: about ten hours. */
const attemptsMax = 20

/** Delivers what is due. @returns how many were delivered */
export async function deliverDue(
  tables: Tables,
  department: ServiceDepartment,
  nowMs: number,
  only?: { alertId: string },
): Promise<number> {
  const due = (await waitingMessages(tables)).filter(
    (message) => message.nextAttemptMs <= nowMs && (!only || message.alertId === only.alertId),
  )
  let delivered = 0
  for (const message of due) {
    const stored = await readAlert(tables, message.alertId)
    if (!stored) continue
    const outcome = await post(department, message, stored.alert, nowMs)
    try {
      await updateOutbox(tables, message, { attempts: message.attempts + 1, ...outcome })
    } catch (error) {
      // Somebody else delivered it meanwhile, under the same id.
      if (!hasStatus(error, 412)) throw error
    }
    if (outcome.status === 'delivered') delivered++
  }
  return delivered
}

const Receipt = z.object({ workOrder: z.string().max(64) })

async function post(department: ServiceDepartment, message: OutboxMessage, alert: Alert, nowMs: number) {
  const id = `${message.alertId}.${message.transition}`
  const body = JSON.stringify(workOrderRequest(alert))
  const signature = new Webhook(department.secret).sign(id, new Date(nowMs), body)
  const headers = {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': Math.floor(nowMs / 1000).toString(),
    'webhook-signature': signature,
  }
  try {
    const response = await fetch(department.url, {
      method: 'POST',
      headers,
      body,
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
    })
    if (!response.ok) throw new Error(`the service department answered ${response.status}`)
    const receipt = Receipt.safeParse(await response.json().catch(() => undefined))
    return { status: 'delivered' as const, lastError: '', workOrder: receipt.success ? receipt.data.workOrder : '' }
  } catch (error) {
    const isLast = message.attempts + 1 >= attemptsMax
    const pauseMs = Math.min(retryMsMax, firstRetryMs * 2 ** message.attempts)
    return {
      status: isLast ? ('given-up' as const) : ('waiting' as const),
      lastError: error instanceof Error ? error.message : String(error),
      nextAttemptMs: nowMs + pauseMs,
    }
  }
}

function workOrderRequest(alert: Alert) {
  const model = deviceModel(alert.modelId)
  const { before: _state, ...evidence } = alert.evidence
  const record = model?.alarms.find(({ signal, condition }) => signal === alert.signal && condition === alert.condition)
  return {
    type: 'alert.raised',
    timestamp: new Date(alert.raisedAtMs).toISOString(),
    data: {
      alertId: alert.alertId,
      asset: alert.deviceId,
      assetKind: model?.interface.displayName ?? '',
      failureCode: `${alert.signal}/${alert.condition}`,
      signal: signalDisplayName(model, alert.signal),
      priority: alert.priority,
      description: explainAlert(alert),
      cause: record?.cause ?? '',
      consequence: record?.consequence ?? '',
      recommendedAction: record?.action ?? '',
      respondWithinMin: record?.respondWithinMin,
      evidence,
    },
  }
}
