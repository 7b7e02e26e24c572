/** GET devices, devices/{id}, devices/{id}/readings, devices/{id}/explain, devices/{id}/twin, health, ledger. */
import { z } from 'zod'
import { DeviceList, DeviceView, Health, LedgerView, ReadingsView, SilenceExplanation } from '../../contract/api.ts'
import { errorText } from '../../contract/error-text.ts'
import { addLedgers } from '../../contract/ledger.ts'
import { unknownDeviceId } from '../../contract/unknown-device.ts'
import { endpoint } from '../api/endpoint.ts'
import { explainSilence } from '../api/explain-silence.ts'
import { identify } from '../api/identity.ts'
import { Problem } from '../api/problem.ts'
import { readPoints, widthFor } from '../api/points.ts'
import { deviceView, heldKey, interpolationOf } from '../api/views.ts'
import { appHub, appPlaces, appSettings, appTables } from '../services.ts'
import { listAlerts } from '../store/alert-store.ts'
import { listDevices, readDevice } from '../store/latest-store.ts'
import type { DeviceSummary } from '../store/latest-store.ts'

/** Devices, without the account of messages that name none. */
async function realDevices() {
  return (await listDevices(await appTables())).filter(({ deviceId }) => deviceId !== unknownDeviceId)
}

endpoint({
  name: 'health',
  method: 'GET',
  path: 'health',
  summary: 'Whether the app answers, and who asks',
  access: 'public',
  response: Health,
  handle: async ({ request }) => {
    const devices = await realDevices()
    const lastSeenMs = Math.max(0, ...devices.map((device) => device.lastSeenMs))
    const { OPERATOR_TOKEN: operatorToken, PLATFORM_SIGN_IN } = appSettings()
    const who = identify(request.headers, { operatorToken, isBehindPlatformSignIn: PLATFORM_SIGN_IN !== 'none' }, Date.now())
    return {
      status: 'ok',
      devices: devices.length,
      lastReading: lastSeenMs > 0 ? new Date(lastSeenMs).toISOString() : null,
      signedIn: who !== undefined,
      user: who ?? null,
    } satisfies Health
  },
})

/** Conditions that people have put aside. */
async function heldConditions(): Promise<ReadonlySet<string>> {
  const held = await listAlerts(await appTables(), { standings: ['shelved', 'out-of-service'] })
  return new Set(held.map(({ deviceId, signal }) => heldKey(deviceId, signal)))
}

async function views(summaries: readonly DeviceSummary[]): Promise<DeviceView[]> {
  const nowMs = Date.now()
  const [placeOf, held] = await Promise.all([appPlaces(nowMs), heldConditions()])
  return summaries.map((summary) => deviceView(summary, placeOf, held, nowMs))
}

endpoint({
  name: 'devices',
  method: 'GET',
  path: 'devices',
  summary: 'Every device with its newest values, and the one state that each of its sensors is in',
  access: 'viewer',
  response: DeviceList,
  handle: async () => ({ devices: await views(await realDevices()) }),
})

async function requireDevice(deviceId: string | undefined) {
  const device = deviceId === undefined ? undefined : await readDevice(await appTables(), deviceId)
  if (!device) throw new Problem(404, 'No such device', `no readings of '${deviceId}' have arrived`)
  return device
}

endpoint({
  name: 'device',
  method: 'GET',
  path: 'devices/{id}',
  summary: 'One device',
  access: 'viewer',
  response: DeviceView,
  handle: async ({ params }) => (await views([(await requireDevice(params.id)).summary]))[0],
})

/** ISO 8601, or milliseconds within what a Date can be. */
const Instant = z
  .union([z.iso.datetime({ offset: true }).transform((text) => Date.parse(text)), z.coerce.number()])
  .pipe(z.number().min(-8.64e15).max(8.64e15))
const ReadingsQuery = z.object({
  signal: z.string().min(1),
  from: Instant.optional(),
  to: Instant.optional(),
  /** Width of a point in seconds; chosen from the span when absent. */
  resolution: z.coerce.number().min(1).max(86_400).optional(),
})

endpoint({
  name: 'readings',
  method: 'GET',
  path: 'devices/{id}/readings',
  summary: 'A stretch of a signal in at most a thousand points, with minimum and maximum',
  access: 'viewer',
  query: ReadingsQuery,
  response: ReadingsView,
  handle: async ({ params, query }) => {
    const device = await requireDevice(params.id)
    const { summary } = device
    const toMs = query.to ?? Math.max(summary.lastSeenMs, ...summary.signals.map(({ timeMs }) => timeMs)) + 1
    const fromMs = query.from ?? toMs - 15 * 60_000
    if (fromMs >= toMs) throw new Problem(400, 'Bad request', `'from' must be before 'to'`)
    const widthMs = Math.max(query.resolution === undefined ? 0 : query.resolution * 1000, widthFor(toMs - fromMs))
    const points = await readPoints(await appTables(), device, { signal: query.signal, fromMs, toMs, widthMs })
    return {
      deviceId: summary.deviceId,
      signal: query.signal,
      from: fromMs,
      to: toMs,
      resolutionMs: widthMs,
      interpolation: interpolationOf(summary, query.signal, widthMs),
      ...points,
    } satisfies ReadingsView
  },
})

endpoint({
  name: 'explain-silence',
  method: 'GET',
  path: 'devices/{id}/explain',
  summary: 'Why there was no alert in a span, or which: its readings judged again',
  access: 'viewer',
  query: z.object({ signal: z.string().min(1), from: Instant, to: Instant }),
  response: SilenceExplanation,
  handle: async ({ params, query: { signal, from: fromMs, to: toMs } }) => {
    if (fromMs >= toMs) throw new Problem(400, 'Bad request', `'from' must be before 'to'`)
    const { summary } = await requireDevice(params.id)
    return explainSilence(await appTables(), summary, { signal, fromMs, toMs })
  },
})

endpoint({
  name: 'twin',
  method: 'GET',
  path: 'devices/{id}/twin',
  summary: 'The device twin as the hub has it: tags, desired and reported properties',
  access: 'viewer',
  response: z.looseObject({ deviceId: z.string() }),
  handle: async ({ params }) => {
    const hub = appHub()
    if (!hub) throw new Problem(501, 'Not set up', 'twins are shown where IOT_HUB_CONNECTION is set')
    const twin = await hub.twin(params.id ?? '').catch((error: unknown) => {
      throw new Problem(502, 'No answer', `${errorText(error)}; try again`)
    })
    if (!twin) throw new Problem(404, 'No such device', `the hub knows no '${params.id}'`)
    return twin
  },
})

endpoint({
  name: 'ledger',
  method: 'GET',
  path: 'ledger',
  summary: 'Where every reading went, by device and in total',
  access: 'viewer',
  response: LedgerView,
  handle: async () => {
    const devices = await listDevices(await appTables())
    return {
      total: addLedgers(devices.map(({ ledger }) => ledger)),
      devices: devices.map(({ deviceId, ledger }) => ({ deviceId, ...ledger })),
    } satisfies LedgerView
  },
})
