/**
 * What an operator may change while the module runs: writable properties of its twin, each acknowledged by the Plug and
 * Play convention (`value`, `ac`, `av`, `ad`). A property that cannot be read is refused with the reason, and its last
 * good value stays in force; the others are applied.
 */
import { z } from 'zod'
import type { Acknowledgement } from '../contract/acknowledgement.ts'
import type { DeviceModel } from '../contract/device-model.ts'
import { FilterSpec } from '../contract/filter-spec.ts'
import type { SignalRule } from './filters.ts'

const IntervalMs = z.number().int().min(0).max(86_400_000)

const SignalSettings = z.strictObject({
  filter: FilterSpec.optional(),
  minIntervalMs: IntervalMs.optional(),
  maxIntervalMs: IntervalMs.optional(),
})

/** Devices that are filtered alike. Several versions of a group stand side by side as several groups. */
const Group = z.strictObject({
  version: z.string().min(1).max(64),
  /** The highest that matches counts; of two equal ones, the first by name. */
  priority: z.number().int().default(0),
  /** Device ids, `*` standing for any characters; without them every device of the models. */
  devices: z.array(z.string().min(1).max(128)).max(100).optional(),
  /** DTMIs; without them every model. */
  models: z.array(z.string()).max(100).optional(),
  deadbandFactor: z.number().min(0).max(1000).optional(),
  minIntervalMs: IntervalMs.optional(),
  maxIntervalMs: IntervalMs.optional(),
  /** By signal; `*` is for all that are not named. */
  signals: z.record(z.string(), SignalSettings).default({}),
})
type Group = z.infer<typeof Group>

/** Every writable property with its default. */
const properties = {
  /** Multiplies the deadbands and tolerances of the device models; 0 passes everything. */
  deadbandFactor: z.number().min(0).max(1000).default(1),
  /** A signal that does not move is still sent this often. */
  maxIntervalMs: IntervalMs.default(15_000),
  /** The longest a reading waits at the edge for others to be packed with. */
  batchMaxDelayMs: z.number().int().min(50).max(600_000).default(1_000),
  /** How often the newest readings are told ahead of everything else, for the case that the way to the cloud is jammed. */
  previewEveryMs: z.number().int().min(1_000).max(3_600_000).default(60_000),
  /** What one device may send, on a mean over ten seconds; what is beyond is summed up unjudged, and reported. */
  readingsPerSMax: z.number().int().min(1).max(100_000).default(1_000),
  groups: z.record(z.string(), Group).default({}),
} as const

export const Configuration = z.object(properties)
export type Configuration = z.infer<typeof Configuration>
export const writableProperties = Object.keys(properties) as (keyof Configuration)[]

export const defaultConfiguration: Configuration = Configuration.parse({})

/** Applies desired properties over what is in force. */
export function applyDesired(
  inForce: Configuration,
  desired: Readonly<Record<string, unknown>>,
): { configuration: Configuration; acknowledgements: Record<string, Acknowledgement> } {
  const configuration: Record<string, unknown> = { ...inForce }
  const acknowledgements: Record<string, Acknowledgement> = {}
  const av = typeof desired.$version === 'number' ? desired.$version : 0
  for (const name of writableProperties) {
    const wanted = desired[name]
    const result = properties[name].safeParse(wanted === null ? undefined : wanted)
    if (result.success) {
      configuration[name] = result.data
      const isDefault = wanted === undefined || wanted === null
      acknowledgements[name] = { value: result.data, ac: isDefault ? 203 : 200, av, ad: isDefault ? 'default' : 'applied' }
    } else {
      acknowledgements[name] = { value: inForce[name], ac: 400, av, ad: z.prettifyError(result.error).slice(0, 500) }
    }
  }
  return { configuration: Configuration.parse(configuration), acknowledgements }
}

/** The group a device belongs to, with its name. */
export function groupOf(
  { groups }: Configuration,
  deviceId: string,
  modelId: string,
): { readonly name: string; readonly group: Group } | undefined {
  const matching = Object.entries(groups).filter(
    ([, { devices, models }]) =>
      (devices === undefined || devices.some((pattern) => matchesPattern(deviceId, pattern))) &&
      (models === undefined || models.includes(modelId)),
  )
  const [best] = matching.sort(([nameA, a], [nameB, b]) => b.priority - a.priority || (nameA < nameB ? -1 : 1))
  return best && { name: best[0], group: best[1] }
}

function matchesPattern(text: string, pattern: string): boolean {
  const parts = pattern.split('*')
  if (parts.length === 1) return text === pattern
  const [first = '', ...rest] = parts
  const last = rest.pop() ?? ''
  if (!text.startsWith(first) || text.length < first.length + last.length || !text.endsWith(last)) return false
  let position = first.length
  for (const part of rest) {
    const found = text.indexOf(part, position)
    if (found < 0) return false
    position = found + part.length
  }
  return position <= text.length - last.length
}

/** How one signal is filtered: the group's word, then the model's, then a deadband of the model's width. */
export function ruleOf(
  configuration: Configuration,
  { deviceId, modelId, signal, model }: { deviceId: string; modelId: string; signal: string; model: DeviceModel | undefined },
): SignalRule {
  const group = groupOf(configuration, deviceId, modelId)?.group
  const own = group && (Object.hasOwn(group.signals, signal) ? group.signals[signal] : group.signals['*'])
  const known = model?.signals[signal]
  const factor = group?.deadbandFactor ?? configuration.deadbandFactor
  const filter = own?.filter ?? scaled(known?.filter ?? { kind: 'deadband', width: known?.deadband ?? 0 }, factor)
  return {
    filter,
    minIntervalMs: own?.minIntervalMs ?? group?.minIntervalMs ?? 0,
    maxIntervalMs: own?.maxIntervalMs ?? group?.maxIntervalMs ?? configuration.maxIntervalMs,
  }
}

function scaled(filter: FilterSpec, factor: number): FilterSpec {
  if (factor === 0) return { kind: 'pass' }
  switch (filter.kind) {
    case 'deadband':
      return { ...filter, width: filter.width * factor }
    case 'relative-deadband':
      return { ...filter, pct: filter.pct * factor, floor: filter.floor * factor }
    case 'swinging-door':
      return { ...filter, tolerance: filter.tolerance * factor }
    default:
      return filter
  }
}
