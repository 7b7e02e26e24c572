/**
 * Answers the desired property `software`: fetches what is asked for, checks it, puts it on trial and asks for a restart.
 * Each step is reported by an acknowledgement, and so is what came of the trial after the restart.
 */
import { z } from 'zod'
import type { Acknowledgement } from '../../contract/acknowledgement.ts'
import { errorText } from '../../contract/error-text.ts'
import { pause } from '../pause.ts'
import { confirmed, decide, onTrial, Release } from './release.ts'
import type { ReleaseFolder } from './release-folder.ts'
import { ReleaseError } from './release-folder.ts'

const retryMsMin = 10_000
const retryMsMax = 3_600_000

export type UpdaterOptions = {
  /** Undefined where no key is trusted: then nothing is ever fetched. */
  readonly folder: ReleaseFolder | undefined
  /** Version of the program that runs. */
  readonly version: string
  /** Asked for when a release is on trial: the service manager starts the process again. */
  readonly restart: () => void
  readonly signal: AbortSignal
}

export class Updater {
  readonly #options: UpdaterOptions
  /** Ends the fetching of what is no longer desired. */
  #fetching = new AbortController()

  constructor(options: UpdaterOptions) {
    this.#options = options
  }

  /** A message has reached the hub: the release that runs is good. */
  confirm(): void {
    const { folder } = this.#options
    if (folder?.state.trial) folder.state = confirmed(folder.state)
  }

  /** @param report told each step @returns when the last step is told */
  async answer(desired: unknown, av: number, report: (acknowledgement: Acknowledgement) => void): Promise<void> {
    const { folder, version, signal } = this.#options
    this.#fetching.abort()
    const fetching = (this.#fetching = new AbortController())
    const told = (ac: Acknowledgement['ac'], ad: string) => report({ value: { version }, ac, av, ad })
    if (desired === undefined || desired === null) return told(203, 'nothing desired')
    if (!folder) return told(403, 'this agent takes no releases: AGENT_UPDATE_KEY_FILE is not set')
    const read = Release.safeParse(desired)
    if (!read.success) return told(400, z.prettifyError(read.error).slice(0, 500))
    const release = read.data
    const decision = decide(folder.state, release)
    if (decision.kind === 'runs') return told(200, 'runs')
    if (decision.kind === 'went-back')
      return told(500, `went back from ${release.version}: ${decision.reason}; raise \`attempt\` to try again`)
    for (let retryMs = retryMsMin; !fetching.signal.aborted && !signal.aborted; retryMs = Math.min(retryMsMax, retryMs * 2)) {
      try {
        told(202, decision.isHere ? `goes back to ${release.version}` : `fetches ${release.version}`)
        await folder.fetch(release)
        break
      } catch (error) {
        if (!(error instanceof ReleaseError) || !error.retryable) return told(400, errorText(error))
        told(202, `${error.message}; again in ${retryMs / 1000} s`)
        await pause(retryMs, AbortSignal.any([fetching.signal, signal]))
      }
    }
    if (fetching.signal.aborted || signal.aborted) return undefined
    folder.state = onTrial(folder.state, release)
    told(202, `starts ${release.version}`)
    this.#options.restart()
    return undefined
  }
}
