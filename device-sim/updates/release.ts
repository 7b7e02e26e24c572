/**
 * Which release of the agent runs. A new one is tried: it must bring a message to the hub within its time, and until then
 * the one before stays at hand. This is the state and its changes; files and processes are in the shell beside it.
 */
import { z } from 'zod'

/** The desired property `software`: one file, named by its bytes, signed by whoever may put programs on these devices. */
export const Release = z.object({
  version: z.string().min(1).max(64),
  /** Where the file is; asked only while it is not on the device. */
  url: z.url({ protocol: /^https$/, error: 'must be an address of https' }).max(2048),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hexadecimal digits'),
  /** Ed25519 over the file, base64. */
  signature: z.base64().max(128),
  /** Raised to have one tried again that was gone back from. */
  attempt: z.number().int().min(1).default(1),
})
export type Release = z.infer<typeof Release>

export const ReleaseState = z.object({
  /** Undefined: what was installed. */
  active: Release.optional(),
  /** What ran before the active one: kept, so that going back needs no network. */
  previous: Release.optional(),
  trial: z.object({ release: Release, starts: z.number().int() }).optional(),
  wentBack: z.object({ release: Release, reason: z.string() }).optional(),
})
export type ReleaseState = z.infer<typeof ReleaseState>

/** Starts that a release on trial has; one that ends before it is confirmed uses them up. */
const trialStartsMax = 3

/** At the start of the process: what is to run (undefined: what was installed), and the state that says so. */
export function atStart(state: ReleaseState): { readonly state: ReleaseState; readonly runs: Release | undefined } {
  if (!state.trial) return { state, runs: state.active }
  if (state.trial.starts >= trialStartsMax) {
    const after = goneBack(state, `it ended ${state.trial.starts} times before a message reached the hub`)
    return { state: after, runs: after.active }
  }
  const trial = { ...state.trial, starts: state.trial.starts + 1 }
  return { state: { ...state, trial }, runs: trial.release }
}

/** Another release was asked for, and its file is there. */
export function onTrial(state: ReleaseState, release: Release): ReleaseState {
  return { ...state, trial: { release, starts: 0 }, wentBack: undefined }
}

/** The release on trial has brought a message to the hub. */
export function confirmed(state: ReleaseState): ReleaseState {
  if (!state.trial) return state
  const { release } = state.trial
  return { active: release, previous: state.active?.sha256 === release.sha256 ? state.previous : state.active }
}

/** What runs has failed: the one before the trial runs again; of one that was confirmed long ago, what was installed. */
export function goneBack(state: ReleaseState, reason: string): ReleaseState {
  if (state.trial) return { active: state.active, previous: state.previous, wentBack: { release: state.trial.release, reason } }
  return state.active ? { wentBack: { release: state.active, reason } } : state
}

/** What is to be done about a desired release. */
export type Decision =
  | { readonly kind: 'runs' }
  | { readonly kind: 'went-back'; readonly reason: string }
  | { readonly kind: 'switch'; readonly isHere: boolean }

export function decide(state: ReleaseState, desired: Release): Decision {
  // Once confirmed it is the active one; while it is on trial it is what runs.
  const runs = state.trial?.release ?? state.active
  if (runs?.sha256 === desired.sha256) return { kind: 'runs' }
  const { wentBack } = state
  if (wentBack?.release.sha256 === desired.sha256 && wentBack.release.attempt === desired.attempt)
    return { kind: 'went-back', reason: wentBack.reason }
  return { kind: 'switch', isHere: [state.active, state.previous].some((kept) => kept?.sha256 === desired.sha256) }
}
