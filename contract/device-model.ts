/**
 * A device model says what a kind of device measures and what may go wrong with it: a DTDL v3 interface,
 * the precision and deadband of each signal, and a rationalisation record (ISA-18.2) for each alarm.
 * A new kind of device is one more JSON file in `models/`.
 */
import { z } from 'zod'
import { FilterSpec } from './filter-spec.ts'
import { priorities } from './priorities.ts'
import centrifugalPump from './models/centrifugal-pump.json' with { type: 'json' }
import coldStore from './models/cold-store.json' with { type: 'json' }
import computer from './models/computer.json' with { type: 'json' }
import deliveryVehicle from './models/delivery-vehicle.json' with { type: 'json' }
import gearedMotor from './models/geared-motor.json' with { type: 'json' }
import industrialOven from './models/industrial-oven.json' with { type: 'json' }
import machiningSpindle from './models/machining-spindle.json' with { type: 'json' }
import reciprocatingCompressor from './models/reciprocating-compressor.json' with { type: 'json' }
import storageTank from './models/storage-tank.json' with { type: 'json' }

export const Priority = z.enum(priorities)
export type Priority = z.infer<typeof Priority>

/** Cause, consequence, action: what an operator must know beside the number. */
const Rationale = z.object({
  signal: z.string(),
  priority: Priority,
  cause: z.string(),
  consequence: z.string(),
  action: z.string(),
  respondWithinMin: z.number().int().positive(),
  /** Told of only when it is still active after this time. */
  onDelayS: z.number().nonnegative().default(0),
  /** Active until it has been normal for this time. */
  offDelayS: z.number().nonnegative().default(0),
  /** Stays active until somebody clears it, even when the value is normal again. */
  isLatched: z.boolean().default(false),
  /** Acknowledged and still active after this time, it must be acknowledged again. */
  reAlarmMin: z.number().positive().optional(),
})

type Rationale = z.infer<typeof Rationale>

const LimitAlarm = Rationale.extend({
  condition: z.enum(['high-high', 'low-low']),
  limit: z.number(),
  direction: z.enum(['above', 'below']),
  /** A limit that protects people or the machine: one reading is enough, and the edge acts on it without the cloud. */
  safety: z
    .object({
      /** Direct method that the edge calls on the device itself. */
      method: z.string().min(1).max(128),
      payload: z.record(z.string(), z.unknown()).default({}),
    })
    .optional(),
})

const UnusualAlarm = Rationale.extend({ condition: z.literal('unusual') })

export const AlarmRecord = z.discriminatedUnion('condition', [LimitAlarm, UnusualAlarm])
export type AlarmRecord = z.infer<typeof AlarmRecord>
export type LimitAlarm = z.infer<typeof LimitAlarm>

const SignalModel = z.object({
  unit: z.string(),
  /** Decimals that carry information; the rest is noise of the conversion. */
  decimals: z.number().int().min(0).max(9),
  /** Changes narrower than this, in the signal's unit, are not worth sending. */
  deadband: z.number().nonnegative(),
  /** How much the edge may leave out; without it, a deadband of `deadband`. */
  filter: FilterSpec.optional(),
  /** Other names under which devices of this kind send the signal, with the unit they send it in. */
  aliases: z.record(z.string(), z.object({ unit: z.string() })).default({}),
  /** A change faster than this, in the signal's unit a second, is impossible or dangerous. */
  ratePerSMax: z.number().positive().optional(),
  /**
   * `modes` for signals that jump by nature within what the machine can do (on and off, speeds): where they rest, and how
   * far they go, is learned. `limits` for those of which the past says nothing (positions, loads of a network).
   */
  watch: z.enum(['all', 'modes', 'limits']).default('all'),
})
export type SignalModel = z.infer<typeof SignalModel>

const DtdlContent = z.looseObject({ name: z.string(), displayName: z.string() })

export const DeviceModel = z.object({
  interface: z.looseObject({
    '@id': z.string().regex(/^dtmi:[A-Za-z0-9_:]+;[1-9][0-9]*$/),
    displayName: z.string(),
    description: z.string(),
    contents: z.array(DtdlContent),
  }),
  signals: z.record(z.string(), SignalModel),
  alarms: z.array(AlarmRecord),
})
export type DeviceModel = z.infer<typeof DeviceModel>

const models: ReadonlyMap<string, DeviceModel> = new Map(
  [
    centrifugalPump,
    coldStore,
    computer,
    deliveryVehicle,
    gearedMotor,
    industrialOven,
    machiningSpindle,
    reciprocatingCompressor,
    storageTank,
  ].map((file) => {
    const model = DeviceModel.parse(file)
    // Asked by names that devices choose: 'constructor' is no signal of any model.
    const signals = Object.assign(Object.create(null) as DeviceModel['signals'], model.signals)
    return [model.interface['@id'], { ...model, signals }]
  }),
)

/** The model with this DTMI, or undefined: a device without a known model is stored and watched, but has no limits. */
export function deviceModel(modelId: string | undefined): DeviceModel | undefined {
  return modelId === undefined ? undefined : models.get(modelId)
}

export function deviceModels(): DeviceModel[] {
  return [...models.values()]
}

/** The name a person reads for a signal; the wire name when the model does not know it. */
export function signalDisplayName(model: DeviceModel | undefined, signal: string): string {
  return model?.interface.contents.find((content) => content.name === signal)?.displayName ?? signal
}

/** What is known about an unusual value of a signal; a general record when the model has none. */
export function unusualAlarm(model: DeviceModel | undefined, signal: string): AlarmRecord {
  const record = model?.alarms.find((alarm) => alarm.signal === signal && alarm.condition === 'unusual')
  return (
    record ?? {
      signal,
      condition: 'unusual',
      priority: 'low',
      cause: 'Not known: this signal has no rationalisation record',
      consequence: 'Not known',
      action: 'Compare with the other signals of the device and look at the machine',
      respondWithinMin: 480,
      onDelayS: 0,
      offDelayS: 0,
      isLatched: false,
    }
  )
}

/** A device, a gateway or a site that says nothing any more. */
const silenceRecord: Omit<Rationale, 'signal'> = {
  priority: 'medium',
  cause: 'Power, network or program of the device, or of what connects it',
  consequence: 'Nobody watches the machine: a fault of it would not be seen',
  action: 'Look whether the machine has power and network; then at its program',
  respondWithinMin: 60,
  onDelayS: 0,
  offDelayS: 0,
  isLatched: false,
}

/** The rationalisation record of an alert: cause, consequence, action, priority and delays. */
export function recordOf(alert: { modelId: string; signal: string; condition: string }): Omit<Rationale, 'signal'> {
  if (alert.condition === 'no-data') return silenceRecord
  const model = deviceModel(alert.modelId)
  return (
    model?.alarms.find(({ signal, condition }) => signal === alert.signal && condition === alert.condition) ??
    unusualAlarm(model, alert.signal)
  )
}
