/**
 * Run by what was installed, before anything else: loads the release that is to run in its place, and watches over one that
 * is on trial. The installed program is never overwritten, so that there is always one to go back to.
 */
import { createRequire } from 'node:module'
import { errorText } from '../../contract/error-text.ts'
import { atStart, goneBack } from './release.ts'
import type { ReleaseFolder } from './release-folder.ts'

/** Tells the release that it was loaded, and is not to look for another. */
const runsVariable = 'AGENT_RUNS_RELEASE'

export const isRelease = (environment: Record<string, string | undefined>) => environment[runsVariable] !== undefined

/**
 * @param trialMs within which a release on trial must reach the hub; then the process ends, and the next start goes back
 * @returns false when what was installed is to run
 */
export function startRelease(
  folder: ReleaseFolder,
  environment: Record<string, string | undefined>,
  trialMs: number,
  log: (event: string, fields: Record<string, unknown>) => void,
): boolean {
  const { state, runs } = atStart(folder.state)
  folder.state = state
  if (!runs) return false
  const giveUp = (reason: string): never => {
    log('went-back', { version: runs.version, reason })
    folder.state = goneBack(folder.state, reason)
    // One that loaded in part may have left anything behind: a process of its own is the only clean start.
    process.exit(1)
  }
  let file: string
  try {
    file = folder.fileOf(runs)
  } catch (error) {
    // Its file is gone or damaged: what was installed fetches it again.
    log('release-lost', { version: runs.version, error: errorText(error) })
    folder.state = {}
    return false
  }
  environment[runsVariable] = runs.version
  if (state.trial) setTimeout(() => folder.state.trial && giveUp(`no message reached the hub within ${trialMs / 1000} s`), trialMs).unref()
  log('runs-release', { version: runs.version, isOnTrial: state.trial !== undefined })
  try {
    createRequire(file)(file)
  } catch (error) {
    giveUp(errorText(error))
  }
  return true
}
