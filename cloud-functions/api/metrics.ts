/** The figures of the page for Prometheus: read from the store when asked, so that every instance says the same. */
import { Gauge, Registry } from 'prom-client'
import { Standing } from '../../contract/alert.ts'
import { Priority } from '../../contract/device-model.ts'
import { addLedgers } from '../../contract/ledger.ts'
import { silentAfterMs } from '../../detection/silence.ts'
import { listAlerts } from '../store/alert-store.ts'
import { standingOf } from '../../contract/alert.ts'
import { listDevices } from '../store/latest-store.ts'
import { messagesWith, OutboxStatus } from '../store/outbox-store.ts'
import type { Tables } from '../store/tables.ts'

export async function metricsText(tables: Tables, nowMs: number): Promise<{ text: string; contentType: string }> {
  const [devices, alerts] = await Promise.all([listDevices(tables), listAlerts(tables, {})])
  const registry = new Registry()
  const gauge = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
    new Gauge({ name: `millwright_${name}`, help, labelNames, registers: [registry] })

  const readings = gauge('readings', 'Readings by what became of them; unexplained must be 0', ['outcome'])
  for (const [outcome, count] of Object.entries(addLedgers(devices.map(({ ledger }) => ledger)))) readings.set({ outcome }, count)

  const sensors = gauge('devices', 'Devices that are heard, and that are silent', ['state'])
  const silent = devices.filter((device) => nowMs - device.lastSeenMs > silentAfterMs(device)).length
  sensors.set({ state: 'heard' }, devices.length - silent)
  sensors.set({ state: 'silent' }, silent)

  const standing = gauge('alerts', 'Alerts by where they stand and by priority', ['standing', 'priority'])
  for (const where of Standing.options)
    for (const priority of Priority.options)
      standing.set(
        { standing: where, priority },
        alerts.filter((alert) => standingOf(alert) === where && alert.priority === priority).length,
      )
  const unacknowledged = gauge('alerts_unacknowledged', 'Open alerts that nobody has acknowledged', [])
  unacknowledged.set(alerts.filter((alert) => standingOf(alert) === 'open' && !alert.acknowledged).length)

  const outbox = gauge('messages', 'Messages to the service department and to people', ['status'])
  for (const status of OutboxStatus.options) outbox.set({ status }, (await messagesWith(tables, status)).length)

  const age = gauge('newest_reading_age_seconds', 'How long ago any device was heard', [])
  const lastSeenMs = Math.max(0, ...devices.map((device) => device.lastSeenMs))
  if (lastSeenMs > 0) age.set((nowMs - lastSeenMs) / 1000)
  return { text: await registry.metrics(), contentType: registry.contentType }
}
