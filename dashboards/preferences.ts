/** What the person at this page has chosen; kept in this browser. */
import { useEffect, useState } from 'preact/hooks'

export type Preferences = {
  readonly language: 'en' | 'de'
  /** An IANA zone; empty for that of this computer. */
  readonly timeZone: string
  readonly hasSound: boolean
  /** Single keys act on alerts; WCAG 2.1.4 wants a way to switch that off. */
  readonly hasShortcuts: boolean
}

const key = 'millwright'
const usual: Preferences = {
  language: navigator.language.startsWith('de') ? 'de' : 'en',
  timeZone: '',
  hasSound: false,
  hasShortcuts: true,
}

let current: Preferences = read()
const changed = new EventTarget()

function read(): Preferences {
  try {
    const kept = JSON.parse(localStorage.getItem(key) ?? '{}') as Partial<Preferences>
    return {
      language: kept.language === 'de' || kept.language === 'en' ? kept.language : usual.language,
      timeZone: isZone(kept.timeZone) ? kept.timeZone : usual.timeZone,
      hasSound: kept.hasSound === true,
      hasShortcuts: kept.hasShortcuts !== false,
    }
  } catch {
    return usual
  }
}

function isZone(timeZone: unknown): timeZone is string {
  try {
    return typeof timeZone === 'string' && (timeZone === '' || new Intl.DateTimeFormat('en', { timeZone }).format(0) !== '')
  } catch {
    return false
  }
}

export function preferences(): Preferences {
  return current
}

export function prefer(change: Partial<Preferences>): void {
  current = { ...current, ...change }
  localStorage.setItem(key, JSON.stringify(current))
  document.documentElement.lang = current.language
  changed.dispatchEvent(new Event('change'))
}

/** Renders again when something is preferred; used once, at the root. */
export function usePreferences(): Preferences {
  const [state, setState] = useState(current)
  useEffect(() => {
    const onChange = () => setState(current)
    changed.addEventListener('change', onChange)
    document.documentElement.lang = current.language
    return () => changed.removeEventListener('change', onChange)
  }, [])
  return state
}
