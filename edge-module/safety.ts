/** What the edge does by itself when a safety limit is passed: tell a module output, and call the device. */
import type { DetectedEvent } from '../contract/alert.ts'
import { deviceModel } from '../contract/device-model.ts'
import type { LimitAlarm } from '../contract/device-model.ts'
import type { EdgeAlertEvent } from '../contract/edge-alerts.ts'
import type { EdgeState } from './edge-devices.ts'

export type SafetyAction = {
  /** For whoever listens to the module's output: a lamp, a relay, a controller. */
  readonly notice: {
    readonly alertId: string
    readonly deviceId: string
    readonly signal: string
    readonly state: 'active' | 'returned'
    readonly condition: string
    readonly atMs: number
    readonly observed?: number
    readonly limit?: number
    readonly action?: string
  }
  /** Direct method on the device itself, when the limit is passed. */
  readonly call: { readonly method: string; readonly payload: Record<string, unknown> } | undefined
}

/** Remembers which open alerts are safety alerts, so that their end is told, too. */
export class SafetyRules {
  readonly #open = new Map<string, { readonly condition: string }>()

  /** Alerts that were open when the module was last alive. */
  restore({ devices }: EdgeState): void {
    for (const { raw } of devices.values())
      for (const { phase } of raw.signals.values())
        if (phase.kind === 'active') this.#open.set(phase.alertId, { condition: phase.condition })
  }

  actionOn({ deviceId, signal, event }: EdgeAlertEvent, modelId: string): SafetyAction | undefined {
    if (event.kind === 'returned') {
      const known = this.#open.get(event.alertId)
      this.#open.delete(event.alertId)
      if (known && !safetyLimit(modelId, signal, known.condition)) return undefined
      return known && { notice: noticeOf(deviceId, signal, event, known.condition, 'returned'), call: undefined }
    }
    const limit = safetyLimit(modelId, signal, event.condition)
    if (!limit) return undefined
    this.#open.set(event.alertId, { condition: event.condition })
    const notice = { ...noticeOf(deviceId, signal, event, event.condition, 'active'), observed: event.evidence.observed }
    return { notice: { ...notice, limit: limit.limit, action: limit.action }, call: limit.safety }
  }
}

function safetyLimit(modelId: string, signal: string, condition: string): LimitAlarm | undefined {
  return deviceModel(modelId)?.alarms.find(
    (alarm): alarm is LimitAlarm =>
      alarm.condition !== 'unusual' && alarm.signal === signal && alarm.condition === condition && alarm.safety !== undefined,
  )
}

function noticeOf(deviceId: string, signal: string, { alertId, atMs }: DetectedEvent, condition: string, state: 'active' | 'returned') {
  return { alertId, deviceId, signal, state, condition, atMs }
}
