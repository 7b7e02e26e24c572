/** A watch as bytes: phases as JSON, detectors bit for bit. What another version wrote is not read: it is learned anew. */
import { z } from 'zod'
import { AlertCondition } from '../contract/alert.ts'
import { Priority } from '../contract/device-model.ts'
import { ByteReader, ByteWriter } from '../contract/telemetry/varint.ts'
import { newDeviceWatch } from './watch-state.ts'
import type { DeviceWatch } from './watch-state.ts'
import { recentLength } from './recent.ts'
import type { Known } from './recovery.ts'
import { relationBytes, relationLength } from './relation.ts'
import { seriesBytes, seriesStateBytes, seriesStateFrom } from './series-state.ts'

export const watchBytesVersion = 10

const Phase = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('quiet') }),
  z.object({ kind: z.literal('pending'), readings: z.number(), firstSeq: z.number(), firstTimeMs: z.number() }),
  z.object({ kind: z.literal('joined'), severity: z.number() }),
  z.object({
    kind: z.literal('active'),
    alertId: z.string(),
    condition: AlertCondition,
    priority: Priority,
    firstTimeMs: z.number(),
    isFromEdge: z.boolean(),
    expected: z
      .object({ min: z.number(), max: z.number() })
      .nullable()
      .transform((range) => range ?? undefined),
    severity: z.number(),
    normalReadings: z.number(),
    abnormalReadings: z.number(),
  }),
])

const StoredCooldown = z.object({
  readings: z.number(),
  severity: z.number(),
  suppressed: z.number(),
  isPatient: z.boolean(),
  worst: z.number(),
})

/** Its state stands behind, as bytes. */
const StoredKnown = z
  .object({ sinceMs: z.number(), awayUntilMs: z.number(), ordinaryRun: z.number() })
  .nullable()
  .transform((known) => known ?? undefined)

const StoredWatch = z.object({
  modelId: z.string(),
  isThinned: z.boolean(),
  endedEdgeAlerts: z.array(z.string()),
  together: z.object({ hasState: z.boolean(), known: StoredKnown, absences: z.array(z.number()), cooldown: StoredCooldown }),
  signals: z.array(
    z.object({
      signal: z.string(),
      phase: Phase,
      cooldown: StoredCooldown,
      origin: z
        .object({ level: z.number(), untilCount: z.number() })
        .nullable()
        .transform((origin) => origin ?? undefined),
      known: StoredKnown,
      absences: z.array(z.number()),
      bootId: z.string(),
      seq: z.number(),
    }),
  ),
})

export function writeWatch(writer: ByteWriter, watch: DeviceWatch): void {
  const { modelId, isThinned, endedEdgeAlerts, together, signals } = watch
  writer.uint(watchBytesVersion)
  const header = {
    modelId,
    isThinned,
    endedEdgeAlerts,
    together: {
      hasState: together.state !== undefined,
      known: withoutState(together.known),
      absences: together.absences,
      cooldown: together.cooldown,
    },
    signals: [...signals.values()].map(({ signal, phase, cooldown, origin, known, absences, bootId, seq }) => ({
      signal,
      phase: phase.kind === 'active' ? { ...phase, expected: phase.expected ?? null } : phase,
      cooldown,
      origin: origin ?? null,
      known: withoutState(known),
      absences,
      bootId,
      seq,
    })),
  }
  writer.text(JSON.stringify(header))
  for (const { state, recent, known } of signals.values()) {
    writer.raw(seriesBytes(state))
    if (known) writer.raw(seriesBytes(known.state))
    writer.raw(new Uint8Array(recent.buffer, recent.byteOffset, recent.byteLength))
  }
  if (together.state) writer.raw(relationBytes(together.state))
  if (together.known) writer.raw(relationBytes(together.known.state))
}

function withoutState(known: Known<unknown> | undefined) {
  return known ? { sinceMs: known.sinceMs, awayUntilMs: known.awayUntilMs, ordinaryRun: known.ordinaryRun } : null
}

/** @throws RangeError for another version @throws for damaged bytes */
export function readWatch(reader: ByteReader, deviceId: string): DeviceWatch {
  const version = reader.uint()
  if (version !== watchBytesVersion) throw new RangeError(`a watch of version ${version}, this program reads ${watchBytesVersion}`)
  const { modelId, isThinned, endedEdgeAlerts, together, signals } = StoredWatch.parse(JSON.parse(reader.text()))
  const { hasState, ...stored } = together
  const watch: DeviceWatch = {
    ...newDeviceWatch(deviceId, { isThinned }),
    modelId,
    endedEdgeAlerts,
    together: { ...stored, state: undefined, known: undefined },
  }
  for (const [index, signal] of signals.entries()) {
    const state = seriesStateFrom(reader.take(seriesStateBytes))
    const known = signal.known && { ...signal.known, state: seriesStateFrom(reader.take(seriesStateBytes)) }
    const recent = reader.float64Array(recentLength)
    watch.signals.set(signal.signal, { ...signal, index, state, recent, known, traits: undefined })
  }
  const relation = () => reader.float64Array(relationLength(signals.length))
  if (hasState) watch.together.state = relation()
  if (stored.known) watch.together.known = { ...stored.known, state: relation() }
  return watch
}
