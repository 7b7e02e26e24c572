/** A text of the page in the language of its reader, with values put in. */
import { preferences } from '../preferences.ts'
import { de } from './de.ts'
import { en } from './en.ts'
import type { TextKey } from './en.ts'

export type { TextKey }

export function t(key: TextKey, values: Readonly<Record<string, string | number>> = {}): string {
  const text: string = (preferences().language === 'de' ? de : en)[key]
  return text.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ''))
}
