/** SenML in JSON (RFC 8428): base fields, relative times, numeric values. Text, boolean and data values are not readings. */
import { z } from 'zod'
import { parseJson, SeriesCollector } from './json.ts'
import { MalformedTelemetryError } from './malformed.ts'
import type { Series } from './telemetry.ts'

export const senmlContentType = 'application/senml+json'

const SenmlRecord = z.object({
  bn: z.string().optional(),
  bt: z.number().optional(),
  bv: z.number().optional(),
  bu: z.string().optional(),
  n: z.string().optional(),
  u: z.string().optional(),
  t: z.number().optional(),
  v: z.number().optional(),
})
const SenmlPack = z.array(SenmlRecord).min(1)

export function decodeSenml(body: Uint8Array, { firstSeq, arrivedMs }: { firstSeq: number; arrivedMs: number }): Series[] {
  const result = SenmlPack.safeParse(parseJson(body))
  if (!result.success)
    throw new MalformedTelemetryError('not-telemetry', `not SenML: ${z.prettifyError(result.error)}`, { cause: result.error })
  const collector = new SeriesCollector(firstSeq)
  let [baseName, baseTimeS, baseValue] = ['', 0, 0]
  let baseUnit: string | undefined
  for (const record of result.data) {
    baseName = record.bn ?? baseName
    baseTimeS = record.bt ?? baseTimeS
    baseValue = record.bv ?? baseValue
    baseUnit = record.bu ?? baseUnit
    if (record.v === undefined) continue
    collector.add(
      signalName(baseName, record.n ?? ''),
      senmlTimeMs(baseTimeS + (record.t ?? 0), arrivedMs),
      baseValue + record.v,
      record.u ?? baseUnit,
    )
  }
  if (collector.count === 0) throw new MalformedTelemetryError('not-telemetry', 'the pack holds no numeric value')
  return collector.finish()
}

/** The base name usually names the device, which the hub has already authenticated: only the rest names the signal. */
function signalName(baseName: string, name: string): string {
  return name !== '' ? name : (baseName.split(/[:/]/).findLast((part) => part !== '') ?? '')
}

/** RFC 8428 §4.5.3: values below 2^28 seconds are relative to now. */
function senmlTimeMs(timeS: number, arrivedMs: number): number {
  return Math.round(Math.abs(timeS) < 2 ** 28 ? arrivedMs + timeS * 1000 : timeS * 1000)
}
