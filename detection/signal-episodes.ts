/**
 * What a finding does to the episode of its signal: it begins one, keeps it open, makes it worse or lets it end. Signals that start to
 * move while an episode of the same device is open are evidence for it, not alerts of their own, unless they pass a hard limit: a limit
 * has its own cause and consequence.
 */
import type { DetectedEvent, Evidence } from '../contract/alert.ts'
import { unusualAlarm } from '../contract/device-model.ts'
import type { DeviceModel } from '../contract/device-model.ts'
import { alertIdOf } from './alert-id.ts'
import { beginAftermath, beginIncident } from './aftermath.ts'
import { beginCooldown, isCoolingDown, suppress } from './cooldown.ts'
import { isAbnormal, isDoubtful, isEnough, isStillOut, joined, keptRange, onsetOf, quiet, rememberEnded } from './episode.ts'
import type { ActivePhase, Finding, Onset } from './episode.ts'
import { evidenceOf } from './evidence.ts'
import { adoptLevel } from './learn-series.ts'
import { slot } from './series-state.ts'
import { episodeSettings, settings } from './settings.ts'
import { isEpisodeOpen } from './watch-state.ts'
import type { DeviceWatch, SignalWatch } from './watch-state.ts'

export const nothing: DetectedEvent[] = []

/** A finding, and the reading it was found in. */
export type Found = {
  readonly finding: Finding
  readonly isHigh: boolean
  readonly value: number
  readonly timeMs: number
  readonly nowMs: number
  readonly isJudged: boolean
  readonly model: DeviceModel | undefined
  readonly before: Uint8Array
}

export function onFinding(watch: DeviceWatch, signal: SignalWatch, found: Found): DetectedEvent[] {
  const { phase } = signal
  const { finding, value, isJudged, nowMs } = found
  if (phase.kind === 'active') {
    if (isStillOut(phase, finding, value)) return isJudged ? nothing : onStillOut(watch, signal, phase, found)
    return isDoubtful(finding) ? nothing : onNormal(watch, signal, nowMs)
  }
  if (isAbnormal(finding)) return isJudged ? nothing : onAbnormal(watch, signal, found)
  if (phase.kind === 'pending' || !isDoubtful(finding)) signal.phase = quiet
  return nothing
}

function onAbnormal(watch: DeviceWatch, signal: SignalWatch, found: Found): DetectedEvent[] {
  const { finding, timeMs } = found
  const { limit } = finding
  if (!limit && isEpisodeOpen(watch, signal)) {
    signal.phase = joined(signal.phase, finding.severity)
    return nothing
  }
  const onset = onsetOf(signal.phase, signal.seq, timeMs)
  if (!isEnough(onset, finding, watch.configuration)) {
    signal.phase = { kind: 'pending', ...onset }
    return nothing
  }
  if (isCoolingDown(signal.cooldown, finding)) {
    suppress(signal.cooldown, finding.severity, onset.readings, watch.configuration.cooldownReadings)
    signal.phase = quiet
    return nothing
  }
  return [raise(watch, signal, found, onset)]
}

/** @param name of the episode: the signal's, unless its last reading may have begun another already */
export function raise(watch: DeviceWatch, signal: SignalWatch, found: Found, onset: Onset, name = signal.signal): DetectedEvent {
  const { deviceId } = watch
  const { finding, model, nowMs, timeMs } = found
  const { condition, priority } = finding.limit ?? unusualAlarm(model, signal.signal)
  const alertId = alertIdOf(deviceId, name, signal.bootId, onset.firstSeq)
  const evidence = evidenceFor(watch, signal, found, onset.firstTimeMs)
  if (!isEpisodeOpen(watch)) beginIncident(watch, timeMs)
  signal.phase = {
    kind: 'active',
    alertId,
    condition,
    priority,
    firstTimeMs: onset.firstTimeMs,
    isFromEdge: false,
    expected: keptRange(finding),
    severity: finding.severity,
    normalReadings: 0,
    abnormalReadings: 0,
  }
  signal.cooldown.suppressed = 0
  const modelId = model?.interface['@id'] ?? ''
  return { kind: 'raised', alertId, atMs: nowMs, deviceId, modelId, signal: signal.signal, condition, priority, evidence }
}

function evidenceFor(watch: DeviceWatch, signal: SignalWatch, found: Found, firstTimeMs: number): Evidence {
  const { finding, isHigh, value, timeMs, before } = found
  const { state, recent, cooldown } = signal
  const alsoMoving = movingSignals(watch, signal, timeMs)
  return evidenceOf({
    configurationVersion: watch.configuration.version,
    finding,
    isHigh,
    observed: value,
    atMs: timeMs,
    firstTimeMs,
    state,
    recent,
    suppressed: cooldown.suppressed,
    alsoMoving,
    before,
  })
}

function onStillOut(watch: DeviceWatch, signal: SignalWatch, phase: ActivePhase, found: Found): DetectedEvent[] {
  const { finding, nowMs } = found
  const { limit } = finding
  // What the signals say together is said of a reading that was counted already, unless it was normal by itself.
  if (finding.detector !== 'relation' || phase.normalReadings > 0) phase.abnormalReadings++
  phase.normalReadings = 0
  phase.severity = Math.max(phase.severity, finding.severity)
  if (limit && phase.condition !== limit.condition) {
    const { condition, priority } = limit
    phase.condition = condition
    phase.priority = priority
    const evidence = evidenceFor(watch, signal, found, phase.firstTimeMs)
    return [{ kind: 'escalated', alertId: phase.alertId, atMs: nowMs, condition, priority, evidence }]
  }
  if (limit || phase.abnormalReadings < settings.adoptReadings) return nothing
  adoptLevel(signal.state)
  return endEpisode(watch, signal, 'adopted-as-normal', nowMs)
}

export function onNormal(watch: DeviceWatch, signal: SignalWatch, nowMs: number): DetectedEvent[] {
  const { phase } = signal
  if (phase.kind !== 'active') return nothing
  const offReadings = phase.isFromEdge ? episodeSettings.offReadingsUnlessTold : watch.configuration.offReadings
  return ++phase.normalReadings >= offReadings ? endEpisode(watch, signal, 'normal-again', nowMs) : nothing
}

function endEpisode(watch: DeviceWatch, signal: SignalWatch, why: 'normal-again' | 'adopted-as-normal', nowMs: number): DetectedEvent[] {
  const { phase, cooldown } = signal
  if (phase.kind !== 'active') return nothing
  signal.phase = quiet
  beginCooldown(cooldown, phase.severity, watch.configuration.cooldownReadings, false)
  if (!isEpisodeOpen(watch)) beginAftermath(watch)
  if (phase.isFromEdge) rememberEnded(watch.endedEdgeAlerts, phase.alertId)
  return [{ kind: 'returned', alertId: phase.alertId, atMs: nowMs, why }]
}

function movingSignals(watch: DeviceWatch, except: SignalWatch, nowMs: number): Evidence['alsoMoving'] {
  const moving: Evidence['alsoMoving'] = []
  for (const signal of watch.signals.values()) {
    const { numbers } = signal.state
    const severity = numbers[slot.severity]!
    const isRecent = Math.abs(nowMs - numbers[slot.lastTimeMs]!) <= episodeSettings.movingWithinMs
    if (signal !== except && isRecent && severity >= episodeSettings.movingSeverity) moving.push({ signal: signal.signal, severity })
  }
  return moving.sort((a, b) => b.severity - a.severity).slice(0, episodeSettings.movingMax)
}
