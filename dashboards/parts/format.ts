/** Numbers and times as people read them, in the browser's language and time zone. */

/** Four significant digits at most. */
export function formatNumber(value: number): string {
  return Number(value.toPrecision(4)).toLocaleString(undefined, { maximumFractionDigits: 4 })
}

export function formatAmount(value: number, unit: string): string {
  return unit === '' ? formatNumber(value) : `${formatNumber(value)} ${unit}`
}

export function formatCount(value: number): string {
  return value.toLocaleString()
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const dateAndClock = new Intl.DateTimeFormat(undefined, {
  year: 'numeric',
  month: 'short',
  day: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  timeZoneName: 'shortOffset',
})

export function formatClock(timeMs: number): string {
  return clock.format(timeMs)
}

export function formatDate(timeMs: number): string {
  return dateAndClock.format(timeMs)
}

const minute = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })
const day = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric' })
const dayAndMinute = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' })

/** A tick of a time axis: as fine as the distance between ticks; the first one of a day or less tells the date, too. */
export function formatTick(timeMs: number, stepMs: number, isFirst: boolean): string {
  if (stepMs >= 86_400_000) return day.format(timeMs)
  if (isFirst && stepMs >= 3_600_000) return dayAndMinute.format(timeMs)
  return stepMs < 60_000 ? clock.format(timeMs) : minute.format(timeMs)
}

/** `12 s`, `3 min`, `2 h`, `4 d`. */
export function formatAge(ageMs: number): string {
  const seconds = Math.max(0, Math.round(ageMs / 1000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h`
  return `${Math.floor(seconds / 86_400)} d`
}
