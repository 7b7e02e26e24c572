import type { ChildProcess } from 'node:child_process'

/**
 * Asks a process to end, by SIGTERM. Windows has no signals and would end it at once, whatever it is writing: there its channel
 * is hung up, which tells it the same.
 *
 * @param patienceMs after which it is killed
 * @returns its exit code once it is gone, null when it had none
 */
export function endProcess(child: ChildProcess, patienceMs: number): Promise<number | null> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode)
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs)
    child.once('exit', (code) => {
      clearTimeout(timer)
      resolve(code)
    })
    if (process.platform !== 'win32') child.kill('SIGTERM')
    else if (child.connected) child.disconnect()
  })
}
