/** Looks whether devices, gateways or sites have fallen silent, or speak again, and writes it into their histories. */
import type { AlertEvent } from '../../contract/alert.ts'
import { unknownDeviceId } from '../../contract/unknown-device.ts'
import { silenceAlertId, silenceEvidence, silenceSettings, silentParts } from '../../detection/silence.ts'
import type { HeardDevice, SilentPart } from '../../detection/silence.ts'
import { appendEvent, listAlerts } from '../store/alert-store.ts'
import type { ListedAlert } from '../store/alert-store.ts'
import { listDevices } from '../store/latest-store.ts'
import { noteLook, readTopology } from '../store/plant-store.ts'
import type { Tables } from '../store/tables.ts'
import { isActive } from './alert-life.ts'
import { placeFinder } from './topology.ts'

/** Whoever is behind with the log for longer is blind, and has to say so. */
const behindMsMax = 15 * 60_000

/**
 * @param appliedUpToMs up to when, hub time, the log has been applied: what lies behind that may not be silence
 * @returns ids of the alerts whose history grew
 */
export async function watchSilence(tables: Tables, nowMs: number, appliedUpToMs: number): Promise<string[]> {
  const watchedSinceMs = await noteLook(tables, nowMs)
  const placeOf = placeFinder((await readTopology(tables)) ?? { places: [] })
  const devices = (await listDevices(tables))
    .filter(({ deviceId }) => deviceId !== unknownDeviceId)
    .map((device) => ({ ...device, site: placeOf(device.deviceId).site }))
  const known = await listAlerts(tables, {
    condition: 'no-data',
    standings: ['open', 'pending', 'shelved', 'suppressed', 'out-of-service'],
  })
  const heardUpToMs = Math.max(Math.min(nowMs, appliedUpToMs), nowMs - behindMsMax)
  const events = silenceEvents(devices, known, { watchedSinceMs, heardUpToMs, nowMs })
  for (const event of events) await appendEvent(tables, event, 'silence')
  return events.map(({ alertId }) => alertId)
}

/** What there is to tell, given the alerts of silence that there are. Pure. */
export function silenceEvents(
  devices: readonly HeardDevice[],
  known: readonly ListedAlert[],
  { watchedSinceMs, heardUpToMs, nowMs }: { readonly watchedSinceMs: number; readonly heardUpToMs: number; readonly nowMs: number },
): AlertEvent[] {
  const active = known.filter(isActive)
  const silent = silentParts(devices, watchedSinceMs, heardUpToMs)
  const ended = active.filter((alert) => isHeardAgain(alert, devices))
  const covered = new Set(active.filter((alert) => !ended.includes(alert)).map(keyOf))
  return [
    ...ended.map(({ alertId }) => ({ kind: 'returned', alertId, atMs: nowMs, why: 'data-again' }) as const),
    ...silent.filter((part) => !covered.has(keyOf({ deviceId: part.name, scope: part.scope }))).map((part) => raised(part, nowMs)),
  ]
}

function keyOf({ deviceId, scope }: Pick<ListedAlert, 'deviceId' | 'scope'>): string {
  return `${scope ?? 'device'} ${deviceId}`
}

/** One message after the silence began is enough: for a gateway, of any device behind it. */
function isHeardAgain({ deviceId, scope, evidence, affected }: ListedAlert, devices: readonly HeardDevice[]): boolean {
  const silentSinceMs = evidence.firstSeenMs + (scope === undefined ? 0 : silenceSettings.togetherMs)
  const names = new Set(scope === undefined ? [deviceId] : (affected?.deviceIds ?? []))
  return devices.some((device) => names.has(device.deviceId) && device.lastSeenMs > silentSinceMs)
}

function raised(part: SilentPart, nowMs: number): AlertEvent {
  const { name, scope, modelId, deviceIds } = part
  const affected = { count: deviceIds.length, deviceIds: deviceIds.toSorted().slice(0, silenceSettings.namesMax) }
  return {
    kind: 'raised',
    alertId: silenceAlertId(part),
    atMs: nowMs,
    deviceId: name,
    modelId,
    signal: '',
    condition: 'no-data',
    // One machine unseen is bad, many are worse.
    priority: scope === undefined ? 'medium' : 'high',
    evidence: silenceEvidence(part, nowMs),
    ...(scope === undefined ? {} : { scope, affected }),
  }
}
