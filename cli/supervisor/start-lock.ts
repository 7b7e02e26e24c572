/** One `start` per data folder, and none before the processes of the last one are gone. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'

const Lock = z.object({ supervisor: z.number(), children: z.array(z.number()) })

/** Children of a supervisor that was killed notice it at once, and end within this time. */
const goneMsMax = 8_000

export class FolderInUseError extends Error {
  override readonly name = 'FolderInUseError'
}

export class StartLock {
  readonly #path: string

  private constructor(path: string) {
    this.#path = path
  }

  /** @throws FolderInUseError while another start uses the folder */
  static async take(directory: string): Promise<StartLock> {
    const path = join(directory, 'start.lock')
    const held = readLock(path)
    if (held) {
      if (held.supervisor !== process.pid && isAlive(held.supervisor))
        throw new FolderInUseError(`process ${held.supervisor} has started Millwright with the data in '${directory}' already`)
      const deadline = Date.now() + goneMsMax
      while (held.children.some(isAlive)) {
        if (Date.now() > deadline)
          throw new FolderInUseError(
            `processes ${held.children.filter(isAlive).join(', ')} of an earlier start still run on the data in '${directory}'; end them first`,
          )
        await delay(100)
      }
    }
    const lock = new StartLock(path)
    lock.write([])
    return lock
  }

  write(children: readonly number[]): void {
    writeFileSync(this.#path, JSON.stringify({ supervisor: process.pid, children }))
  }

  release(): void {
    rmSync(this.#path, { force: true })
  }
}

function readLock(path: string): z.infer<typeof Lock> | undefined {
  try {
    return Lock.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch {
    // None, or one that a crash cut short: then its writer is gone, too.
    return undefined
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
