/** When the quiet hours that a moment lies in are over; undefined outside of them. By the wall clock of their time zone. */
import { Cron } from 'croner'
import type { NotificationPolicy } from './notification-policy.ts'

export function quietUntilMs(quiet: NonNullable<NotificationPolicy['quietHours']>, nowMs: number): number | undefined {
  const now = clockIn(quiet.timeZone, nowMs)
  const { from, to } = quiet
  const isQuiet = from < to ? now >= from && now < to : now >= from || now < to
  if (!isQuiet) return undefined
  const [hour, minute] = to.split(':').map(Number)
  // Which instant a wall clock shows next depends on daylight saving: croner knows.
  return new Cron(`${minute} ${hour} * * *`, { timezone: quiet.timeZone, paused: true }).nextRun(new Date(nowMs))?.getTime()
}

function clockIn(timeZone: string, timeMs: number): string {
  return new Intl.DateTimeFormat('en-GB', { timeZone, hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(timeMs)
}
