/** Numbers and times as people read them, in the language and time zone they have chosen. */
import { preferences } from '../preferences.ts'

const formats = new Map<string, Intl.DateTimeFormat>()

function dateFormat(name: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const { language, timeZone } = preferences()
  const key = `${name} ${language} ${timeZone}`
  let format = formats.get(key)
  if (!format) {
    format = new Intl.DateTimeFormat(language === 'de' ? 'de' : 'en-GB', { ...options, ...(timeZone === '' ? {} : { timeZone }) })
    formats.set(key, format)
  }
  return format
}

function locale(): string {
  return preferences().language === 'de' ? 'de' : 'en-GB'
}

/** Four significant digits at most. */
export function formatNumber(value: number): string {
  return Number(value.toPrecision(4)).toLocaleString(locale(), { maximumFractionDigits: 4 })
}

export function formatAmount(value: number, unit: string): string {
  return unit === '' ? formatNumber(value) : `${formatNumber(value)} ${unit}`
}

/** How far beyond: past a thousand it only means very far. */
export function formatSeverity(severity: number): string {
  return severity > 1_000 ? `> ${formatCount(1_000)}` : formatNumber(severity)
}

export function formatCount(value: number): string {
  return value.toLocaleString(locale())
}

export function formatShare(share: number): string {
  return `${(100 * share).toLocaleString(locale(), { maximumFractionDigits: 1 })} %`
}

const hm = { hour: '2-digit', minute: '2-digit' } as const
const hms = { ...hm, second: '2-digit' } as const

export function formatClock(timeMs: number): string {
  return dateFormat('clock', hms).format(timeMs)
}

export function formatDate(timeMs: number): string {
  return dateFormat('date', { year: 'numeric', month: 'short', day: 'numeric', ...hms, timeZoneName: 'shortOffset' }).format(timeMs)
}

/** A tick of a time axis: as fine as the distance between ticks; the first one of a day or less tells the date, too. */
export function formatTick(timeMs: number, stepMs: number, isFirst: boolean): string {
  if (stepMs >= 86_400_000) return dateFormat('day', { month: 'short', day: 'numeric' }).format(timeMs)
  if (isFirst && stepMs >= 3_600_000) return dateFormat('day-minute', { month: 'short', day: 'numeric', ...hm }).format(timeMs)
  return stepMs < 60_000 ? formatClock(timeMs) : dateFormat('minute', hm).format(timeMs)
}

/** `12 s`, `3 min`, `2 h`, `4 d`. */
export function formatAge(ageMs: number): string {
  const seconds = Math.max(0, Math.round(ageMs / 1000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h`
  return `${Math.floor(seconds / 86_400)} d`
}
