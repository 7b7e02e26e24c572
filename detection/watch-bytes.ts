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

export const watchBytesVersion = 9

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
  .object({ ordinaryRun: z.number(), untilMs: z.number() })
  .nullable()
  .transform((known) => known ?? undefined)

const StoredWatch = z.object({
  modelId: z.string(),
  isThinned: z.boolean(),
  endedEdgeAlerts: z.array(z.string()),
  hasRelation: z.boolean(),
  knownTogether: StoredKnown,
  together: StoredCooldown,
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
      bootId: z.string(),
      seq: z.number(),
    }),
  ),
})

export function writeWatch(writer: ByteWriter, watch: DeviceWatch): void {
  const { modelId, isThinned, endedEdgeAlerts, relation, knownTogether, together, signals } = watch
  writer.uint(watchBytesVersion)
  const header = {
    modelId,
    isThinned,
    endedEdgeAlerts,
    hasRelation: relation !== undefined,
    knownTogether: runOf(knownTogether),
    together,
    signals: [...signals.values()].map(({ signal, phase, cooldown, origin, known, bootId, seq }) => ({
      signal,
      phase: phase.kind === 'active' ? { ...phase, expected: phase.expected ?? null } : phase,
      cooldown,
      origin: origin ?? null,
      known: runOf(known),
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
  if (relation) writer.raw(relationBytes(relation))
  if (knownTogether) writer.raw(relationBytes(knownTogether.state))
}

function runOf(known: Known<unknown> | undefined) {
  return known ? { ordinaryRun: known.ordinaryRun, untilMs: known.untilMs } : null
}

/** @throws RangeError for another version @throws for damaged bytes */
export function readWatch(reader: ByteReader, deviceId: string): DeviceWatch {
  const version = reader.uint()
  if (version !== watchBytesVersion) throw new RangeError(`a watch of version ${version}, this program reads ${watchBytesVersion}`)
  const { modelId, isThinned, endedEdgeAlerts, hasRelation, knownTogether, together, signals } = StoredWatch.parse(
    JSON.parse(reader.text()),
  )
  const watch: DeviceWatch = { ...newDeviceWatch(deviceId, { isThinned }), modelId, together, endedEdgeAlerts }
  for (const [index, stored] of signals.entries()) {
    const state = seriesStateFrom(reader.take(seriesStateBytes))
    const known = stored.known && { ...stored.known, state: seriesStateFrom(reader.take(seriesStateBytes)) }
    const recent = reader.float64Array(recentLength)
    watch.signals.set(stored.signal, { ...stored, index, state, recent, known, traits: undefined })
  }
  if (hasRelation) watch.relation = reader.float64Array(relationLength(signals.length))
  if (knownTogether) watch.knownTogether = { ...knownTogether, state: reader.float64Array(relationLength(signals.length)) }
  return watch
}
