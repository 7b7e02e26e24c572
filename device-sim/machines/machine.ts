/** What every simulated machine has in common: it is stepped through time, under load, with or without a fault. */
import type { Random } from '../random.ts'
import type { Surroundings } from './surroundings.ts'

/** How far a fault has grown, from 0 (none) to 1 (full). */
export type FaultSeverity = number

export type Conditions = Surroundings & {
  readonly fault: { readonly kind: string; readonly severity: FaultSeverity } | undefined
}

/** What a machine is at one moment, as JSON: one that is given it goes on from there. */
export type MachineState = Record<string, number | boolean | undefined>

export type Machine = {
  readonly modelId: string
  /** Kinds of physical fault this machine can have. */
  readonly faultKinds: readonly string[]
  readonly state: MachineState
  /** Advances by `stepS` seconds and reads the sensors. */
  step(stepS: number, conditions: Conditions): Record<string, number>
}

export type MachineFactory = (random: Random) => Machine

/** How far a physical fault of a kind has grown. */
export function severityOf({ fault }: Conditions, kind: string): FaultSeverity {
  return fault?.kind === kind ? fault.severity : 0
}

/**
 * A slowly varying demand around a mean: a load without steps, from two slow waves and a mean-reverting random walk.
 * Relative, 1 is nominal.
 */
export function slowDemand(random: Random, mean: number): SlowDemand {
  const phases = [random.next() * 2 * Math.PI, random.next() * 2 * Math.PI]
  return {
    state: { demandS: random.next() * 10_000, demandWalk: 0 },
    after(state, stepS) {
      state.demandS += stepS
      state.demandWalk += -state.demandWalk * Math.min(1, stepS / 300) + 0.0008 * Math.sqrt(Math.min(stepS, 300)) * random.normal()
      return (
        mean +
        0.04 * Math.sin((2 * Math.PI * state.demandS) / 2_400 + phases[0]!) +
        0.02 * Math.sin((2 * Math.PI * state.demandS) / 900 + phases[1]!) +
        state.demandWalk
      )
    },
  }
}

type DemandState = { demandS: number; demandWalk: number }
export type SlowDemand = {
  /** To be part of the machine's. */
  readonly state: DemandState
  after(state: DemandState, stepS: number): number
}

/** First-order lag: moves `value` towards `target` with time constant `tauS`. Exact for any step. */
export function lag(value: number, target: number, stepS: number, tauS: number): number {
  return target + (value - target) * Math.exp(-stepS / tauS)
}

/** A cycle that repeats: seconds into it, and the number of the cycle. */
export function cycleOf(elapsedS: number, periodS: number): { readonly phaseS: number; readonly cycle: number } {
  return { phaseS: elapsedS % periodS, cycle: Math.floor(elapsedS / periodS) }
}

/** How much of a fault shows, at a moment between its onset and its end. */
export function severityAt(elapsedS: number, rampS: number): FaultSeverity {
  return elapsedS <= 0 ? 0 : Math.min(1, elapsedS / rampS)
}
