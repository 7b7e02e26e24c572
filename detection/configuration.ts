/**
 * What of detection a person may set: where alerts begin and end. One for all series; the rest of `settings.ts` is how
 * the detectors work. An alert's evidence names the configuration that raised it.
 */
import { z } from 'zod'
import { DeviceModel } from '../contract/device-model.ts'

const number = (value: number) => z.number().positive().finite().default(value)
const count = (value: number) => z.number().int().positive().default(value)

export const DetectionConfiguration = z.strictObject({
  /** Named in the evidence of every alert. */
  version: z.string().min(1).max(64).default('standard'),
  /** So many of its own ranges outside its own past, a statistic is abnormal. */
  marginRanges: number(0.5),
  /** Robust standard deviations from the rolling median. */
  rollingScore: number(10),
  /** Conditional standard deviations from what the other signals let expect: of one reading, and smoothed over ten. */
  relationScore: number(12),
  relationSmoothScore: number(4),
  /** Abnormal readings in a row before an episode begins, unless one is so severe. */
  onReadings: count(2),
  severeFrom: number(2),
  /** Normal readings in a row before it ends. */
  offReadings: count(8),
  /** So many readings after its end, a new episode of the signal must be twice as severe to be told of again. */
  cooldownReadings: count(100),
})
export type DetectionConfiguration = z.infer<typeof DetectionConfiguration>

export const standardConfiguration: DetectionConfiguration = DetectionConfiguration.parse({})

/** A change to be tried: of the configuration, and of device models by their DTMI (limits, deadbands, what is watched). */
export const ProposedChange = z.strictObject({
  detection: DetectionConfiguration.prefault({}),
  models: z
    .record(z.string(), z.strictObject({ signals: DeviceModel.shape.signals.optional(), alarms: DeviceModel.shape.alarms.optional() }))
    .default({}),
})
export type ProposedChange = z.infer<typeof ProposedChange>
