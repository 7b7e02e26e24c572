/** What a series is by its device's model, and what is thought of one of its readings. */
import type { DetectorName } from '../contract/alert.ts'
import type { LimitAlarm } from '../contract/device-model.ts'
import type { DetectionConfiguration } from './configuration.ts'

export type SeriesTraits = {
  /** The smallest change that means anything, in the signal's unit; 0 if not known. */
  readonly resolution: number
  /** Jumps by nature: a change says nothing. */
  readonly isJumpy: boolean
  /** Jumps between places where it rests, within a range that can be learned. */
  readonly isModal: boolean
  /** A signal of the device is jumpy: the machine has modes. */
  readonly hasModes: boolean
  /** Readings were left out on the way: a silence or a run says nothing. */
  readonly isThinned: boolean
  readonly configuration: DetectionConfiguration
  /** What the signal cannot or must not exceed, in its unit a second. */
  readonly ratePerSMax: number | undefined
  /** In the order of its model: the first that is passed counts. */
  readonly limits: readonly LimitAlarm[]
}

/** What is thought of one reading. One object is used again and again: nothing is allocated for a reading. */
export type Judgement = {
  /** `late` readings are older than the last and say nothing new. */
  kind: 'late' | 'learning' | 'judged'
  /** 1 is where an alert begins. */
  severity: number
  /** The same without what goes on for as long as it lasts: drift and stuck. */
  momentary: number
  detector: DetectorName | undefined
  /** Above what is expected, or below. */
  isHigh: boolean
  /** A value that stays in this range has a severity below 1 from this detector. */
  expectedMin: number
  expectedMax: number
  /** Worked out for judging, used again for learning. */
  isGap: boolean
  /** So long that what was recent before it is not recent any more. */
  isLongGap: boolean
  /** Close enough to the reading before it for their difference to mean something. */
  isJump: boolean
  /** How long the series has been seen, with gaps that are shorter than what was seen before them. */
  seenMs: number
  bin: number
  fast: number
  slow: number
  highPassed: number
  seasonal: number
  jump: number
  /** How far the change before this one was taken back by it. */
  reversal: number
  rolling: number
}

export function newJudgement(): Judgement {
  return {
    kind: 'learning',
    severity: 0,
    momentary: 0,
    detector: undefined,
    isHigh: false,
    expectedMin: 0,
    expectedMax: 0,
    isGap: false,
    isLongGap: false,
    isJump: false,
    seenMs: 0,
    bin: 0,
    fast: 0,
    slow: 0,
    highPassed: 0,
    seasonal: 0,
    jump: 0,
    reversal: 0,
    rolling: 0,
  }
}
