/**
 * Decides which readings of one signal are worth sending. All kinds compare with what was *sent* last, never with what
 * was seen last: comparing with the last one seen would let a slow drift pass for ever without a single message. So what
 * the cloud draws is never further off than the width or tolerance: between readings sent, a step for the deadbands, a
 * line for the swinging door.
 *
 * The state is one typed array, so that it can be kept as bytes.
 */
import type { FilterSpec } from '../contract/filter-spec.ts'

export type SignalRule = {
  readonly filter: FilterSpec
  /** Not more often than this, unless something is wrong; it may cost more than the tolerance. 0 for no such limit. */
  readonly minIntervalMs: number
  /** A signal that does not move is still sent this often. */
  readonly maxIntervalMs: number
}

const slot = {
  hasSent: 0,
  sentTimeMs: 1,
  sentValue: 2,
  hasHeld: 3,
  heldTimeMs: 4,
  heldValue: 5,
  heldSeq: 6,
  /** Slopes, in units per millisecond, between which a line from the last reading sent meets all since within tolerance. */
  slopeMin: 7,
  slopeMax: 8,
} as const
export const filterStateLength = 9
export type FilterState = Float64Array

export function newFilterState(): FilterState {
  return new Float64Array(filterStateLength)
}

/**
 * What to do with a reading. `sendHeld`: the reading before it, held back so far, is a corner of the curve and must be
 * sent first.
 */
export type Decision = { readonly send: boolean; readonly sendHeld: boolean }
const nothing: Decision = { send: false, sendHeld: false }
const current: Decision = { send: true, sendHeld: false }
const held: Decision = { send: false, sendHeld: true }
const both: Decision = { send: true, sendHeld: true }

export type HeldReading = { readonly timeMs: number; readonly seq: number; readonly value: number }

/** The reading that a swinging door holds back for the moment: perhaps a corner, perhaps not. */
export function heldReading(state: FilterState): HeldReading | undefined {
  if (state[slot.hasHeld] !== 1) return undefined
  return { timeMs: state[slot.heldTimeMs]!, seq: state[slot.heldSeq]!, value: state[slot.heldValue]! }
}

/** @param isOpen something is wrong with the signal, or may be: everything passes */
export function filterReading(
  state: FilterState,
  rule: SignalRule,
  { timeMs, seq, value }: { timeMs: number; seq: number; value: number },
  isOpen: boolean,
): Decision {
  if (state[slot.hasSent] === 0) {
    sent(state, timeMs, value)
    return current
  }
  if (rule.filter.kind === 'swinging-door')
    return swingingDoor(state, rule.filter.tolerance, rule.maxIntervalMs, { timeMs, seq, value }, isOpen)
  // A corner that another filter held, before the configuration changed.
  const sendHeld = state[slot.hasHeld] === 1
  const elapsedMs = Math.abs(timeMs - state[slot.sentTimeMs]!)
  const isWorthIt =
    isOpen ||
    elapsedMs >= rule.maxIntervalMs ||
    (elapsedMs >= rule.minIntervalMs && hasMoved(rule.filter, state[slot.sentValue]!, value, elapsedMs))
  if (!isWorthIt) {
    if (!sendHeld) return nothing
    sent(state, state[slot.heldTimeMs]!, state[slot.heldValue]!)
    return held
  }
  sent(state, timeMs, value)
  return sendHeld ? both : current
}

function hasMoved(filter: Exclude<FilterSpec, { kind: 'swinging-door' }>, sentValue: number, value: number, elapsedMs: number): boolean {
  switch (filter.kind) {
    case 'pass':
      return true
    case 'deadband':
      return filter.width === 0 || Math.abs(value - sentValue) > filter.width
    case 'relative-deadband':
      return Math.abs(value - sentValue) > Math.max(filter.floor, (Math.abs(sentValue) * filter.pct) / 100)
    case 'on-change':
      return value !== sentValue
    case 'aggregate':
      return elapsedMs >= filter.periodMs
    default:
      return filter satisfies never
  }
}

/**
 * Swinging door, with the corner tested itself: a reading may end the line only if the line to it lies within the
 * tolerance of all readings before it. (Bristol 1990 tests the doors alone, which allows twice the tolerance.)
 */
function swingingDoor(
  state: FilterState,
  tolerance: number,
  maxIntervalMs: number,
  { timeMs, seq, value }: { timeMs: number; seq: number; value: number },
  isOpen: boolean,
): Decision {
  const hasHeld = state[slot.hasHeld] === 1
  const lastTimeMs = hasHeld ? state[slot.heldTimeMs]! : state[slot.sentTimeMs]!
  // A clock that stands or goes back has no slopes: the line ends here, and the next begins.
  if (timeMs <= lastTimeMs) {
    sent(state, timeMs, value)
    return hasHeld ? both : current
  }
  const elapsedMs = timeMs - state[slot.sentTimeMs]!
  const slope = (value - state[slot.sentValue]!) / elapsedMs
  const isOnLine = !hasHeld || (slope >= state[slot.slopeMin]! && slope <= state[slot.slopeMax]!)
  if (isOpen || elapsedMs >= maxIntervalMs) {
    sent(state, timeMs, value)
    return isOnLine ? current : both
  }
  if (isOnLine) {
    narrow(state, tolerance, elapsedMs, value)
    hold(state, timeMs, seq, value)
    return nothing
  }
  sent(state, state[slot.heldTimeMs]!, state[slot.heldValue]!)
  narrow(state, tolerance, timeMs - state[slot.sentTimeMs]!, value)
  hold(state, timeMs, seq, value)
  return held
}

function sent(state: FilterState, timeMs: number, value: number): void {
  state[slot.hasSent] = 1
  state[slot.sentTimeMs] = timeMs
  state[slot.sentValue] = value
  state[slot.hasHeld] = 0
  state[slot.slopeMin] = Number.NEGATIVE_INFINITY
  state[slot.slopeMax] = Number.POSITIVE_INFINITY
}

function narrow(state: FilterState, tolerance: number, elapsedMs: number, value: number): void {
  const rise = value - state[slot.sentValue]!
  state[slot.slopeMin] = Math.max(state[slot.slopeMin]!, (rise - tolerance) / elapsedMs)
  state[slot.slopeMax] = Math.min(state[slot.slopeMax]!, (rise + tolerance) / elapsedMs)
}

function hold(state: FilterState, timeMs: number, seq: number, value: number): void {
  state[slot.hasHeld] = 1
  state[slot.heldTimeMs] = timeMs
  state[slot.heldSeq] = seq
  state[slot.heldValue] = value
}
