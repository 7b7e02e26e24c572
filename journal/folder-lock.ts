/**
 * One process a folder: two that write the same log would cut each other's records off. A process that was killed leaves
 * its lock behind; it counts for nothing, also when its number belongs to another process by now.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { z } from 'zod'

/** A process, and what tells it from a later one of the same number: when it began; empty where nobody says cheaply (Windows). */
export const ProcessMark = z.object({ pid: z.number().int().positive(), began: z.string() })
export type ProcessMark = z.infer<typeof ProcessMark>

/** Somebody else works in the folder. Trying again helps when it has ended. */
export class FolderInUseError extends Error {
  override readonly name = 'FolderInUseError'
}

export function markOf(pid: number, platform: NodeJS.Platform = process.platform): ProcessMark {
  return { pid, began: beganOf(pid, platform) }
}

export function isRunning({ pid, began }: ProcessMark, platform: NodeJS.Platform = process.platform): boolean {
  if (pid === process.pid) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  const nowBegan = beganOf(pid, platform)
  return began === '' || nowBegan === '' || began === nowBegan
}

/** Linux tells in ticks since the computer began, and which beginning that was; macOS in seconds, by `ps`. */
function beganOf(pid: number, platform: NodeJS.Platform): string {
  try {
    if (platform === 'win32') return ''
    if (platform !== 'linux') {
      const environment = { ...process.env, LC_ALL: 'C', TZ: 'UTC' }
      return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8', env: environment, stdio: 'pipe' }).trim()
    }
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // Behind the command's name, which may hold anything: the 22nd field of all.
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}/${ticks}`
  } catch {
    return ''
  }
}

export class FolderLock {
  readonly #path: string

  private constructor(path: string) {
    this.#path = path
  }

  /**
   * @param advice what whoever is refused can do instead
   * @throws FolderInUseError while another process has it
   */
  static take(path: string, advice: string): FolderLock {
    const held = readLock(path, ProcessMark)
    if (held && isRunning(held))
      throw new FolderInUseError(`process ${held.pid} has '${path}' and works in that folder; ${advice}${doubt(held, path)}`)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, JSON.stringify(markOf(process.pid)))
    return new FolderLock(path)
  }

  release(): void {
    rmSync(this.#path, { force: true })
  }
}

/** Where a number says nothing of whose it is by now, a person must look. */
export function doubt({ began }: ProcessMark, path: string): string {
  return began === '' ? `; if that process is not Millwright's, remove '${path}'` : ''
}

export function readLock<Lock>(path: string, schema: z.ZodType<Lock>): Lock | undefined {
  try {
    return schema.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch {
    // None, or one that a crash cut short: then its writer is gone, too.
    return undefined
  }
}
