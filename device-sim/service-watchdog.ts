/**
 * Tells systemd that the agent is ready, and lives: as often as `WatchdogSec=` of its unit wants, while it does. An agent
 * that hangs falls silent, and is started again. Node has no datagram sockets of the Unix kind, so `systemd-notify` speaks.
 */
import { execFile } from 'node:child_process'

export type ServiceWatchdog = { stop(): void }

/**
 * @param environment NOTIFY_SOCKET and WATCHDOG_USEC, as systemd sets them; without the first, nobody is told
 * @param isAlive asked before each word
 */
export function startServiceWatchdog(
  environment: Record<string, string | undefined>,
  isAlive: () => boolean,
  onTrouble: (error: Error) => void,
): ServiceWatchdog {
  if (!environment.NOTIFY_SOCKET) return { stop() {} }
  const notify = (message: string) => execFile('systemd-notify', [message], { env: environment }, (error) => error && onTrouble(error))
  notify('READY=1')
  const everyMs = Number(environment.WATCHDOG_USEC ?? 0) / 1000 / 2
  const timer = everyMs > 0 ? setInterval(() => isAlive() && notify('WATCHDOG=1'), everyMs) : undefined
  timer?.unref()
  return {
    stop() {
      clearInterval(timer)
      notify('STOPPING=1')
    },
  }
}
