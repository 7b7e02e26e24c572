/** What another configuration would have said of recorded readings: alerts it adds, removes and moves. */
import type { DetectedEvent } from '../contract/alert.ts'
import { deviceModel } from '../contract/device-model.ts'
import type { DeviceModel } from '../contract/device-model.ts'
import { standardConfiguration } from './configuration.ts'
import type { DetectionConfiguration, ProposedChange } from './configuration.ts'
import { watchReading, watchSilence } from './device-watch.ts'
import { newDeviceWatch } from './watch-state.ts'
import type { DeviceWatch } from './watch-state.ts'

/** One sample of one device. */
export type BacktestSample = {
  readonly deviceId: string
  readonly modelId: string
  readonly timeMs: number
  readonly values: Readonly<Record<string, number>>
}

export type BacktestAlert = {
  readonly deviceId: string
  readonly signal: string
  readonly condition: string
  readonly detector: string
  readonly raisedAtMs: number
  /** Undefined while it lasts. */
  returnedAtMs: number | undefined
}

export type Backtest = {
  readonly before: number
  readonly after: number
  readonly added: BacktestAlert[]
  readonly removed: BacktestAlert[]
  /** The same trouble, told at another time or as something else. */
  readonly moved: { readonly from: BacktestAlert; readonly to: BacktestAlert }[]
}

/** Judges samples as they come, under two configurations at once. Samples of a device must be in the order of time. */
export class Backtester {
  readonly #runs: readonly [Run, Run]

  constructor(change: ProposedChange) {
    const changed = (modelId: string): DeviceModel | undefined => {
      const model = deviceModel(modelId)
      const proposed = change.models[modelId]
      return model && proposed
        ? { ...model, signals: { ...model.signals, ...proposed.signals }, alarms: proposed.alarms ?? model.alarms }
        : model
    }
    this.#runs = [new Run(standardConfiguration, deviceModel), new Run(change.detection, changed)]
  }

  add(sample: BacktestSample): void {
    for (const run of this.#runs) run.add(sample)
  }

  result(): Backtest {
    const [before, after] = this.#runs.map(({ alerts }) => alerts) as [BacktestAlert[], BacktestAlert[]]
    return { before: before.length, after: after.length, ...compare(before, after) }
  }
}

class Run {
  readonly alerts: BacktestAlert[] = []
  readonly #configuration: DetectionConfiguration
  readonly #modelOf: (modelId: string) => DeviceModel | undefined
  readonly #watches = new Map<string, { watch: DeviceWatch; model: DeviceModel | undefined; seq: number }>()
  readonly #open = new Map<string, BacktestAlert>()

  constructor(configuration: DetectionConfiguration, modelOf: (modelId: string) => DeviceModel | undefined) {
    this.#configuration = configuration
    this.#modelOf = modelOf
  }

  add({ deviceId, modelId, timeMs, values }: BacktestSample): void {
    let device = this.#watches.get(deviceId)
    if (!device) {
      device = { watch: newDeviceWatch(deviceId, { configuration: this.#configuration }), model: this.#modelOf(modelId), seq: 0 }
      this.#watches.set(deviceId, device)
    }
    const { watch, model } = device
    for (const [signal, value] of Object.entries(values))
      this.#note(deviceId, watchReading(watch, { signal, bootId: '', seq: ++device.seq, timeMs, value }, model, timeMs))
    this.#note(deviceId, watchSilence(watch, timeMs, model, timeMs))
  }

  #note(deviceId: string, events: readonly DetectedEvent[]): void {
    for (const event of events) {
      if (event.kind === 'raised') {
        const { signal, condition, atMs, evidence } = event
        const alert = { deviceId, signal, condition, detector: evidence.detector, raisedAtMs: atMs, returnedAtMs: undefined }
        this.alerts.push(alert)
        this.#open.set(event.alertId, alert)
      } else if (event.kind === 'returned') this.#open.get(event.alertId)!.returnedAtMs = event.atMs
    }
  }
}

/** Alerts of one signal that overlap, or begin close to each other, are about the same trouble. */
const sameTroubleMs = 600_000

function compare(before: readonly BacktestAlert[], after: readonly BacktestAlert[]): Omit<Backtest, 'before' | 'after'> {
  const left = new Set(after)
  const removed: BacktestAlert[] = []
  const moved: Backtest['moved'] = []
  for (const from of before) {
    let to: BacktestAlert | undefined
    for (const candidate of left) if (isSameTrouble(from, candidate) && (!to || apart(from, candidate) < apart(from, to))) to = candidate
    if (!to) {
      removed.push(from)
      continue
    }
    left.delete(to)
    const isSame = from.raisedAtMs === to.raisedAtMs && from.condition === to.condition && from.detector === to.detector
    if (!isSame) moved.push({ from, to })
  }
  return { added: [...left], removed, moved }
}

function apart(a: BacktestAlert, b: BacktestAlert): number {
  return Math.abs(a.raisedAtMs - b.raisedAtMs)
}

function isSameTrouble(a: BacktestAlert, b: BacktestAlert): boolean {
  if (a.deviceId !== b.deviceId || a.signal !== b.signal) return false
  const endOf = ({ returnedAtMs = Number.POSITIVE_INFINITY }: BacktestAlert) => returnedAtMs
  return apart(a, b) <= sameTroubleMs || (a.raisedAtMs <= endOf(b) && b.raisedAtMs <= endOf(a))
}
