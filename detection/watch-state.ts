/** What is known of a device's signals: one state a signal, one for all of them together, and which episodes are open. */
import type { DeviceModel, LimitAlarm } from '../contract/device-model.ts'
import { standardConfiguration } from './configuration.ts'
import type { DetectionConfiguration } from './configuration.ts'
import type { Origin } from './aftermath.ts'
import { newCooldown } from './cooldown.ts'
import type { Cooldown } from './cooldown.ts'
import { quiet } from './episode.ts'
import type { Phase } from './episode.ts'
import type { SeriesTraits } from './judgement.ts'
import { newRecent } from './recent.ts'
import { newTogether } from './recovery.ts'
import type { Recovering, Together } from './recovery.ts'
import { isLearning } from './series-knowledge.ts'
import { newSeriesState } from './series-state.ts'
import type { SeriesState } from './series-state.ts'

export type SignalWatch = Recovering<SeriesState> & {
  readonly signal: string
  /** Its place among the signals of its device. */
  readonly index: number
  readonly recent: Float64Array
  phase: Phase
  readonly cooldown: Cooldown
  origin: Origin | undefined
  /** The last reading's place in its device's account. */
  bootId: string
  seq: number
  /** By the device's model; worked out again when that changes. */
  traits: SeriesTraits | undefined
}

export type DeviceWatch = {
  readonly deviceId: string
  /** Readings are left out on the way here, so that silence means nothing and moments are never whole. */
  readonly isThinned: boolean
  readonly configuration: DetectionConfiguration
  modelId: string
  readonly signals: Map<string, SignalWatch>
  /** In the order of `signals`. */
  readonly together: Together & { readonly cooldown: Cooldown }
  /** The last alerts of the edge that have ended here: told of again, they do not begin again. */
  readonly endedEdgeAlerts: string[]
}

export type WatchOptions = { readonly isThinned?: boolean; readonly configuration?: DetectionConfiguration }

export function newDeviceWatch(
  deviceId: string,
  { isThinned = false, configuration = standardConfiguration }: WatchOptions = {},
): DeviceWatch {
  return {
    deviceId,
    isThinned,
    configuration,
    modelId: '',
    signals: new Map(),
    together: { ...newTogether(), cooldown: newCooldown() },
    endedEdgeAlerts: [],
  }
}

/** Adds a signal that is new: what is known of all signals together begins again with it. */
export function addSignal(watch: DeviceWatch, signal: string): SignalWatch {
  const added: SignalWatch = {
    signal,
    index: watch.signals.size,
    state: newSeriesState(),
    known: undefined,
    absences: [],
    recent: newRecent(),
    phase: quiet,
    cooldown: newCooldown(),
    origin: undefined,
    bootId: '',
    seq: 0,
    traits: undefined,
  }
  watch.signals.set(signal, added)
  forgetRelation(watch)
  return added
}

function forgetRelation(watch: DeviceWatch): void {
  watch.together.state = watch.together.known = undefined
  watch.together.absences.length = 0
}

export function signalOf(watch: DeviceWatch, name: string, model: DeviceModel | undefined): SignalWatch {
  const modelId = model?.interface['@id'] ?? ''
  if (watch.modelId !== modelId) {
    watch.modelId = modelId
    forgetRelation(watch)
    for (const signal of watch.signals.values()) signal.traits = undefined
  }
  const signal = watch.signals.get(name) ?? addSignal(watch, name)
  signal.traits ??= traitsOf(model, name, watch)
  return signal
}

export function traitsOf(
  model: DeviceModel | undefined,
  signal: string,
  { isThinned = false, configuration = standardConfiguration }: WatchOptions = {},
): SeriesTraits {
  const known = model?.signals[signal]
  const hasModes = model !== undefined && Object.values(model.signals).some(({ watch }) => watch !== 'all')
  return {
    resolution: known?.deadband ?? 0,
    isJumpy: known !== undefined && known.watch !== 'all',
    isModal: known?.watch === 'modes',
    hasModes,
    isThinned,
    configuration,
    ratePerSMax: isThinned ? undefined : known?.ratePerSMax,
    limits: model?.alarms.filter((alarm): alarm is LimitAlarm => alarm.condition !== 'unusual' && alarm.signal === signal) ?? [],
  }
}

export function crossedLimit({ limits }: SeriesTraits, value: number): LimitAlarm | undefined {
  for (const alarm of limits) if (alarm.direction === 'above' ? value > alarm.limit : value < alarm.limit) return alarm
  return undefined
}

/** @param except of signals other than this one */
export function isEpisodeOpen(watch: DeviceWatch, except?: SignalWatch): boolean {
  for (const signal of watch.signals.values()) if (signal !== except && signal.phase.kind === 'active') return true
  return false
}

export function isAnythingOpen(watch: DeviceWatch): boolean {
  for (const signal of watch.signals.values()) if (signal.phase.kind !== 'quiet') return true
  return false
}

/** Nothing abnormal is open or begins. */
export function isQuiet(watch: DeviceWatch, signalName: string): boolean {
  return (watch.signals.get(signalName)?.phase.kind ?? 'quiet') === 'quiet'
}

export type SignalCondition = 'learning' | 'fine' | 'alarm'

/** The state a person sees of one signal. */
export function signalCondition({ phase, state }: SignalWatch): SignalCondition {
  if (phase.kind === 'active' || phase.kind === 'joined') return 'alarm'
  return isLearning(state) ? 'learning' : 'fine'
}
