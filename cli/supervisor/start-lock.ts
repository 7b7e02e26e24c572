/** One `start` per data folder, and none before the processes of the last one are gone. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { doubt, FolderInUseError, isRunning, markOf, ProcessMark, readLock } from '../../journal/folder-lock.ts'

const Lock = z.object({ supervisor: ProcessMark, children: z.array(ProcessMark) })

/** Children of a supervisor that was killed notice it at once, and end within this time. */
const goneMsMax = 8_000

export class StartLock {
  readonly #path: string

  private constructor(path: string) {
    this.#path = path
  }

  /** @throws FolderInUseError while another start uses the folder */
  static async take(directory: string): Promise<StartLock> {
    const path = join(directory, 'start.lock')
    const held = readLock(path, Lock)
    if (held) {
      if (isRunning(held.supervisor))
        throw new FolderInUseError(
          `process ${held.supervisor.pid} has started Millwright with the data in '${directory}' already${doubt(held.supervisor, path)}`,
        )
      const deadline = Date.now() + goneMsMax
      while (held.children.some((mark) => isRunning(mark))) {
        if (Date.now() > deadline) {
          const left = held.children.filter((mark) => isRunning(mark)).map(({ pid }) => pid)
          throw new FolderInUseError(
            `processes ${left.join(', ')} of an earlier start still run on the data in '${directory}'; end them first${doubt(held.supervisor, path)}`,
          )
        }
        await delay(100)
      }
    }
    const lock = new StartLock(path)
    lock.write([])
    return lock
  }

  write(children: readonly number[]): void {
    writeFileSync(this.#path, JSON.stringify({ supervisor: markOf(process.pid), children: children.map((pid) => markOf(pid)) }))
  }

  release(): void {
    rmSync(this.#path, { force: true })
  }
}
