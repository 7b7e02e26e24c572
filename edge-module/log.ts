/** Events as JSON lines, from a level on that may change while the module runs. */
import type { LogLevel } from './settings.ts'

export type Log = (level: LogLevel, event: string, fields?: Record<string, unknown>) => void

const levels: readonly LogLevel[] = ['error', 'warn', 'info', 'debug']

export function newLog(write: (line: string) => void, nowMs: () => number, first: LogLevel): { log: Log; setLevel(level: LogLevel): void } {
  let most = levels.indexOf(first)
  return {
    log(level, event, fields = {}) {
      if (levels.indexOf(level) > most) return
      write(`${JSON.stringify({ time: new Date(nowMs()).toISOString(), level, part: 'edge-module', event, ...fields })}\n`)
    },
    setLevel: (level) => (most = levels.indexOf(level)),
  }
}
