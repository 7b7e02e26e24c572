/**
 * How the signals of a device move together. The inverse covariance Ω of the signals is kept by rank-one updates
 * (Sherman and Morrison); with d the deviation from the means, `(Ωd)ᵢ / √Ωᵢᵢ` is how many conditional standard
 * deviations signal i lies from what all the others say of it. That finds an offset far inside the signal's own range.
 * It is compared with its own past, single and smoothed, as every other statistic here.
 *
 * Models of machines are not linear: the farther the other signals are from where they usually are, the less is
 * expected of one (`leverage`).
 */
import type { DetectionConfiguration } from './configuration.ts'
import { whole } from './series-state.ts'
import { relationSettings as settings, settings as seriesSettings } from './settings.ts'

/** Numbers before the signals' own. */
const head = { signals: 0, count: 1, unusualRun: 2, renewed: 3, momentMs: 4, firstMs: 5, learnForMs: 6, inBlock: 7 } as const
const headLength = 8
/** Of each signal. */
const own = { mean: 0, value: 1, smooth: 2, resolution: 3, past: 4 } as const
/** The two largest blocks and the open one, as sizes: of one reading, then smoothed. */
const pastLength = 3
const ownLength = own.past + 2 * pastLength

/** What is thought of a moment, and what was worked out for it: one object is used again and again. */
export type MomentJudgement = {
  /** 1 is where an alert begins. */
  severity: number
  /** Index of the worst signal. */
  worst: number
  isHigh: boolean
  expectedMin: number
  expectedMax: number
  readonly deviations: Float64Array
  readonly products: Float64Array
  readonly scores: Float64Array
  readonly smooths: Float64Array
  distance: number
}

export function newMomentJudgement(): MomentJudgement {
  const { signalsMax } = settings
  return {
    severity: 0,
    worst: -1,
    isHigh: false,
    expectedMin: 0,
    expectedMax: 0,
    deviations: new Float64Array(signalsMax),
    products: new Float64Array(signalsMax),
    scores: new Float64Array(signalsMax),
    smooths: new Float64Array(signalsMax),
    distance: 0,
  }
}

/** One array a device: head, the signals, the inverse covariance. */
export type RelationState = Float64Array

/** @param hasModes a signal jumps by nature: the machine must have gone through its modes before it is judged */
export function newRelation(resolutions: readonly number[], hasModes: boolean): RelationState {
  const state = new Float64Array(relationLength(resolutions.length))
  state[head.signals] = resolutions.length
  state[head.learnForMs] = hasModes ? settings.modesMs : 0
  for (const [index, resolution] of resolutions.entries()) state[ownOf(index) + own.resolution] = resolution
  return state
}

export function relationLength(signals: number): number {
  return headLength + signals * (ownLength + signals)
}

function signalsOf(state: RelationState): number {
  return whole(state[head.signals]!)
}

function ownOf(index: number): number {
  return headLength + index * ownLength
}

/**
 * Takes over a signal's reading.
 * @param toleranceMs readings of different signals so close together are of one moment; a second one of a signal is of another
 * @returns true when every signal has a reading of this moment
 */
export function renew(state: RelationState, index: number, value: number, timeMs: number, toleranceMs: number): boolean {
  const momentMs = state[head.momentMs]!
  if (timeMs < momentMs - toleranceMs) return false
  const isAnother = timeMs > momentMs + toleranceMs || (state[head.renewed]! & (1 << index)) !== 0
  if (isAnother) {
    if (state[head.count]! > 1) stayYoung(state, timeMs)
    state[head.momentMs] = timeMs
    state[head.renewed] = 0
  }
  state[ownOf(index) + own.value] = value
  const renewed = (state[head.renewed] = state[head.renewed]! | (1 << index))
  return renewed === (1 << signalsOf(state)) - 1
}

/** What was away for longer than it was seen is hardly older for it, as a series is, and learned for as long again. */
function stayYoung(state: RelationState, timeMs: number): void {
  const ageMs = relationAgeMs(state)
  const pauseMs = timeMs - state[head.momentMs]!
  if (pauseMs <= Math.max(ageMs, seriesSettings.gapIntervals * intervalOf(state))) return
  const knownMs = (1 + seriesSettings.gapAgeShare) * ageMs
  state[head.firstMs] = timeMs - knownMs
  state[head.learnForMs] = Math.max(state[head.learnForMs]!, knownMs + ageMs)
}

export function relationBytes({ buffer, byteOffset, byteLength }: RelationState): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}

/** Judges the moment by what was learned of the moments before it; changes nothing. */
export function judgeMoment(state: RelationState, judgement: MomentJudgement, configuration: DetectionConfiguration): void {
  judgement.severity = 0
  judgement.worst = -1
  const count = state[head.count]! + 1
  if (count <= settings.scaleReadings) return
  multiply(state, judgement)
  scoreSignals(state, judgement, Math.min(count, memoryOf(state)))
  const isLearning = count <= settings.learningReadings || relationAgeMs(state) < state[head.learnForMs]!
  if (!isLearning) findWorst(state, judgement, count, configuration)
}

/** @param isSuspicious another detector finds something wrong at this moment: it must not be learned, unless it stays */
export function learnMoment(state: RelationState, judgement: MomentJudgement, isSuspicious: boolean): void {
  const count = ++state[head.count]!
  if (count === 1) state[head.firstMs] = state[head.momentMs]!
  if (count <= settings.scaleReadings) return beginScale(state, count)
  for (let i = 0; i < signalsOf(state); i++) state[ownOf(i) + own.smooth] = judgement.smooths[i]!
  if (judgement.severity < 1 && !isSuspicious) state[head.unusualRun] = 0
  else if (++state[head.unusualRun]! < settings.adoptReadings) return
  else if (state[head.unusualRun] === settings.adoptReadings) adoptScores(state, judgement)
  rememberScores(state, judgement, count)
  learnCovariance(state, judgement, count)
}

/** Moments that what was seen counts for: what has become of a machine within them is compared with what it was. */
function memoryOf(state: RelationState): number {
  return Math.max(settings.memoryReadings, settings.memoryMs / intervalOf(state))
}

/** Usual time between moments. */
function intervalOf(state: RelationState): number {
  return relationAgeMs(state) / state[head.count]!
}

/** Mean and variance of the first moments; the inverse covariance begins as their diagonal. */
function beginScale(state: RelationState, count: number): void {
  const signals = signalsOf(state)
  const matrix = ownOf(signals)
  for (let i = 0; i < signals; i++) {
    const at = ownOf(i)
    const deviation = state[at + own.value]! - state[at + own.mean]!
    state[at + own.mean]! += deviation / count
    // Until the matrix begins, its diagonal gathers the sum of squares.
    const diagonal = matrix + i * signals + i
    state[diagonal]! += deviation * (state[at + own.value]! - state[at + own.mean]!)
    if (count === settings.scaleReadings) state[diagonal] = 1 / (state[diagonal]! / count + floorOf(state, i) ** 2)
  }
}

function floorOf(state: RelationState, index: number): number {
  const at = ownOf(index)
  return Math.max(state[at + own.resolution]!, Math.abs(state[at + own.mean]!) * 1e-6, 1e-9)
}

/** d, Ωd and dᵀΩd, the squared distance of the moment from what is usual. */
function multiply(state: RelationState, judgement: MomentJudgement): void {
  const { deviations, products } = judgement
  const signals = signalsOf(state)
  const matrix = ownOf(signals)
  for (let i = 0; i < signals; i++) deviations[i] = state[ownOf(i) + own.value]! - state[ownOf(i) + own.mean]!
  let distance = 0
  for (let i = 0; i < signals; i++) {
    const row = matrix + i * signals
    let product = 0
    for (let j = 0; j < signals; j++) product += state[row + j]! * deviations[j]!
    products[i] = product
    distance += product * deviations[i]!
  }
  judgement.distance = distance
}

function scoreSignals(state: RelationState, { products, scores, smooths, distance }: MomentJudgement, memory: number): void {
  const signals = signalsOf(state)
  const matrix = ownOf(signals)
  for (let i = 0; i < signals; i++) {
    const score = products[i]! / Math.sqrt(state[matrix + i * signals + i]!)
    const others = Math.max(0, distance - score * score)
    const discounted = score / Math.sqrt(1 + (settings.leverage * others) / memory)
    scores[i] = discounted
    const smooth = state[ownOf(i) + own.smooth]!
    smooths[i] = smooth + settings.smoothWeight * (discounted - smooth)
  }
}

function findWorst(state: RelationState, judgement: MomentJudgement, count: number, configuration: DetectionConfiguration): void {
  const { products } = judgement
  const signals = signalsOf(state)
  const maturity = 1 + Math.max(settings.maturityReadings / count, Math.sqrt(settings.maturityMs / Math.max(1, relationAgeMs(state))))
  for (let i = 0; i < signals; i++) {
    const severity = unusualness(state, i, judgement, configuration) / maturity
    if (severity <= judgement.severity) continue
    judgement.severity = severity
    judgement.worst = i
    judgement.isHigh = products[i]! > 0
    const value = state[ownOf(i) + own.value]!
    const weight = state[ownOf(signals) + i * signals + i]!
    const expected = value - products[i]! / weight
    const room = Math.abs(value - expected) / Math.max(severity, 1e-9)
    judgement.expectedMin = expected - room
    judgement.expectedMax = expected + room
  }
}

/** Of one signal, single or smoothed, against its past; 1 is where an alert begins once the past is mature. */
function unusualness(
  state: RelationState,
  index: number,
  { scores, smooths }: MomentJudgement,
  { relationScore, relationSmoothScore }: DetectionConfiguration,
): number {
  const at = ownOf(index) + own.past
  const single = Math.abs(scores[index]!) / Math.max(relationScore, settings.past * secondOf(state, at))
  const smooth = Math.abs(smooths[index]!) / Math.max(relationSmoothScore, settings.past * secondOf(state, at + pastLength))
  return Math.max(single, smooth)
}

function secondOf(state: RelationState, at: number): number {
  return state[at + 1]!
}

/** How long the signals have been compared. */
export function relationAgeMs(state: RelationState): number {
  return state[head.momentMs]! - state[head.firstMs]!
}

/** Takes over the moment that another state of the same signals has. */
export function takeMoment(state: RelationState, from: RelationState): void {
  state[head.momentMs] = from[head.momentMs]!
  for (let i = 0; i < signalsOf(state); i++) state[ownOf(i) + own.value] = from[ownOf(i) + own.value]!
}

/** What was known then of how the signals move together is known again; values and times are those of now. */
export function restoreRelation(state: RelationState, known: RelationState): void {
  const signals = signalsOf(state)
  for (let i = 0; i < signals; i++) {
    const at = ownOf(i)
    state[at + own.mean] = known[at + own.mean]!
    for (let j = own.past; j < ownLength; j++) state[at + j] = known[at + j]!
  }
  state.set(known.subarray(ownOf(signals)), ownOf(signals))
}

/** Sizes of the scores join the past block by block, as in `past.ts`: the second largest of all blocks counts. */
function rememberScores(state: RelationState, { scores, smooths }: MomentJudgement, count: number): void {
  const signals = signalsOf(state)
  const isBlockEnd = ++state[head.inBlock]! >= blockReadings(state, count)
  if (isBlockEnd) state[head.inBlock] = 0
  for (let i = 0; i < signals; i++) {
    const at = ownOf(i)
    rememberSize(state, at + own.past, Math.abs(scores[i]!), isBlockEnd)
    rememberSize(state, at + own.past + pastLength, Math.abs(smooths[i]!), isBlockEnd)
  }
}

/** A day, so that wear which grows from day to day is compared with what was before it; less while little is known at all. */
function blockReadings(state: RelationState, count: number): number {
  return Math.max(settings.blockReadings, Math.min(settings.blockMs / intervalOf(state), settings.blockAgeShare * count))
}

/** What has lasted is the new normal: it is part of the past at once, whatever the blocks say. */
function adoptScores(state: RelationState, { scores, smooths }: MomentJudgement): void {
  for (let i = 0; i < signalsOf(state); i++) {
    const at = ownOf(i) + own.past
    for (const [past, size] of [
      [at, Math.abs(scores[i]!)],
      [at + pastLength, Math.abs(smooths[i]!)],
    ] as const)
      state[past] = state[past + 1] = Math.max(state[past + 1]!, size)
  }
}

function rememberSize(state: RelationState, at: number, size: number, isBlockEnd: boolean): void {
  if (size > state[at + 2]!) state[at + 2] = size
  if (!isBlockEnd) return
  const block = state[at + 2]!
  if (block > state[at]!) {
    state[at + 1] = state[at]!
    state[at] = block
  } else if (block > state[at + 1]!) state[at + 1] = block
  state[at + 2] = 0
}

function learnCovariance(state: RelationState, { deviations, products, distance }: MomentJudgement, count: number): void {
  const signals = signalsOf(state)
  const weight = 1 / Math.min(count, memoryOf(state))
  for (let i = 0; i < signals; i++) state[ownOf(i) + own.mean]! += weight * deviations[i]!
  addOuter(state, products, weight / (1 - weight + weight * distance), 1 - weight)
  // A little noise for each signal in turn: without it a signal that never moves would be expected never to.
  const i = count % signals
  const row = ownOf(signals) + i * signals
  const noise = (settings.floor * floorOf(state, i)) ** 2 * signals * weight
  for (let j = 0; j < signals; j++) products[j] = state[row + j]!
  addOuter(state, products, noise / (1 + noise * state[row + i]!), 1)
}

/**
 * Ω := (Ω − factor · p pᵀ) / scale. Half of it is worked out and the rest mirrored: what rounding leaves between the two halves
 * would grow with every division, and be all there is after some thirty memories (Verhaegen, 1989).
 */
function addOuter(state: RelationState, products: Float64Array, factor: number, scale: number): void {
  const signals = signalsOf(state)
  const matrix = ownOf(signals)
  for (let i = 0; i < signals; i++) {
    const row = matrix + i * signals
    const scaled = factor * products[i]!
    for (let j = 0; j <= i; j++) state[row + j] = state[matrix + j * signals + i] = (state[row + j]! - scaled * products[j]!) / scale
  }
}
