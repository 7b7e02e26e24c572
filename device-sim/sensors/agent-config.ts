/** Which sensor is which signal, for those who want more, or other names, than what is found automatically. */
import { z } from 'zod'

const Scaled = { scale: z.number().default(1), offset: z.number().default(0) }
/** Below `/sys`. */
const SysPath = z
  .string()
  .min(1)
  .refine(
    (path) => !path.startsWith('/') && !path.split('/').includes('..'),
    'expected a path below /sys, such as class/thermal/thermal_zone0/temp',
  )

export const SensorSource = z.discriminatedUnion('source', [
  /** A thermal zone by its type, as `cpu-thermal`; °C. */
  z.strictObject({ source: z.literal('thermal'), type: z.string() }),
  /** A chip by its name and channel, as `nct6775` and `fan2`; °C, V, A, W, rpm. */
  z.strictObject({ source: z.literal('hwmon'), chip: z.string(), channel: z.string().regex(/^(temp|fan|in|curr|power)\d+$/) }),
  /** Industrial I/O by the device's name and channel, as `bme280` and `pressure`; milli-units where the driver has them, so `scale` is needed. */
  z.strictObject({ source: z.literal('iio'), device: z.string(), channel: z.string().regex(/^[a-z0-9_]+$/), ...Scaled }),
  /** 1-wire by its id, as `28-0316a2792bff`; °C. */
  z.strictObject({ source: z.literal('w1'), id: z.string().regex(/^[0-9a-f]{2}-[0-9a-f]{6,16}$/) }),
  /** Any number in a file of sysfs. */
  z.strictObject({ source: z.literal('file'), path: SysPath, ...Scaled }),
  /** A counter in a file of sysfs, as what it gains a second. */
  z.strictObject({ source: z.literal('counter'), path: SysPath, ...Scaled }),
  /** A register over I²C; needs the package `i2c-bus`, which is not installed with Millwright. */
  z.strictObject({
    source: z.literal('i2c'),
    bus: z.number().int().min(0).max(31),
    address: z.number().int().min(3).max(0x77),
    register: z.number().int().min(0).max(255),
    bytes: z.union([z.literal(1), z.literal(2)]).default(2),
    signed: z.boolean().default(true),
    littleEndian: z.boolean().default(false),
    ...Scaled,
  }),
])
export type SensorSource = z.infer<typeof SensorSource>

export const AgentConfig = z.strictObject({
  /** DTMI; the model of a computer unless the signals are others. */
  modelId: z.string().default('dtmi:millwright:Computer;1'),
  /** Beside the mapped signals also those that are found automatically. */
  automatic: z.boolean().default(true),
  signals: z.record(z.string().regex(/^[A-Za-z][A-Za-z0-9_]{0,63}$/), SensorSource).default({}),
})
export type AgentConfig = z.infer<typeof AgentConfig>
