/** GET devices, devices/{id}, devices/{id}/readings, ledger, dead-letters, health. */
import { app } from '@azure/functions'
import { z } from 'zod'
import type { DeadLetterView, Health, LedgerView, ReadingsView } from '../../contract/api.ts'
import { addLedgers } from '../../contract/ledger.ts'
import { unknownDeviceId } from '../../contract/unknown-device.ts'
import { explainSilence } from '../api/explain-silence.ts'
import { isOperator } from '../api/operator.ts'
import { answering, Problem } from '../api/respond.ts'
import { readPoints, widthFor } from '../api/points.ts'
import { deviceView } from '../api/views.ts'
import { appSettings, appTables } from '../services.ts'
import { listDeadLetters, listDevices, readDevice } from '../store/latest-store.ts'

const get = { methods: ['GET' as const], authLevel: 'anonymous' as const }

/** Devices, without the account of messages that name none. */
async function realDevices() {
  return (await listDevices(await appTables())).filter(({ deviceId }) => deviceId !== unknownDeviceId)
}

app.http('health', {
  ...get,
  route: 'v1/health',
  handler: answering(async (request) => {
    const devices = await realDevices()
    const lastSeenMs = Math.max(0, ...devices.map((device) => device.lastSeenMs))
    return {
      status: 'ok',
      devices: devices.length,
      lastReading: lastSeenMs > 0 ? new Date(lastSeenMs).toISOString() : null,
      signedIn: isOperator(request, appSettings().OPERATOR_TOKEN),
    } satisfies Health
  }),
})

app.http('devices', {
  ...get,
  route: 'v1/devices',
  handler: answering(async () => {
    const nowMs = Date.now()
    return { devices: (await realDevices()).map((device) => deviceView(device, nowMs)) }
  }),
})

async function requireDevice(deviceId: string | undefined) {
  const device = deviceId === undefined ? undefined : await readDevice(await appTables(), deviceId)
  if (!device) throw new Problem(404, 'No such device', `no readings of '${deviceId}' have arrived`)
  return device
}

app.http('device', {
  ...get,
  route: 'v1/devices/{id}',
  handler: answering(async (request) => deviceView((await requireDevice(request.params.id)).summary, Date.now())),
})

const Instant = z.union([z.iso.datetime({ offset: true }).transform((text) => Date.parse(text)), z.coerce.number()]).pipe(z.number())
const ReadingsQuery = z.object({
  signal: z.string().min(1),
  from: Instant.optional(),
  to: Instant.optional(),
  /** Width of a point in seconds; chosen from the span when absent. */
  resolution: z.coerce.number().min(1).max(86_400).optional(),
})

app.http('readings', {
  ...get,
  route: 'v1/devices/{id}/readings',
  handler: answering(async (request) => {
    const query = ReadingsQuery.parse(Object.fromEntries(request.query))
    const { summary, tail } = await requireDevice(request.params.id)
    const toMs = query.to ?? Math.max(summary.lastSeenMs, ...summary.signals.map(({ timeMs }) => timeMs)) + 1
    const fromMs = query.from ?? toMs - 15 * 60_000
    if (fromMs >= toMs) throw new Problem(400, 'Bad request', `'from' must be before 'to'`)
    const widthMs = Math.max(query.resolution === undefined ? 0 : query.resolution * 1000, widthFor(toMs - fromMs))
    const points = await readPoints(await appTables(), summary, tail, { signal: query.signal, fromMs, toMs, widthMs })
    return {
      deviceId: summary.deviceId,
      signal: query.signal,
      from: fromMs,
      to: toMs,
      resolutionMs: widthMs,
      ...points,
    } satisfies ReadingsView
  }),
})

const ExplainQuery = z.object({ signal: z.string().min(1), from: Instant, to: Instant })

app.http('explain-silence', {
  ...get,
  route: 'v1/devices/{id}/explain',
  handler: answering(async (request) => {
    const { signal, from: fromMs, to: toMs } = ExplainQuery.parse(Object.fromEntries(request.query))
    if (fromMs >= toMs) throw new Problem(400, 'Bad request', `'from' must be before 'to'`)
    const { summary } = await requireDevice(request.params.id)
    return explainSilence(await appTables(), summary, { signal, fromMs, toMs })
  }),
})

app.http('ledger', {
  ...get,
  route: 'v1/ledger',
  handler: answering(async () => {
    const devices = await listDevices(await appTables())
    return {
      total: addLedgers(devices.map(({ ledger }) => ledger)),
      devices: devices.map(({ deviceId, ledger }) => ({ deviceId, ...ledger })),
    } satisfies LedgerView
  }),
})

app.http('dead-letters', {
  ...get,
  route: 'v1/dead-letters',
  handler: answering(async () => {
    const letters = await listDeadLetters(await appTables(), 500)
    return {
      deadLetters: letters.map(
        ({ partitionKey, rowKey, arrivedMs, ...letter }) =>
          ({ id: `${partitionKey}-${rowKey}`, arrivedAt: new Date(arrivedMs).toISOString(), ...letter }) satisfies DeadLetterView,
      ),
    }
  }),
})
