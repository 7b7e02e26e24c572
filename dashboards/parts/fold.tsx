/** The first of many, and the rest when somebody asks for it: a plant of a thousand machines still fits a page. */
import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { t } from '../texts/texts.ts'
import { formatCount } from './format.ts'

/** Fewer than this are not worth a button. */
const foldedMin = 5

/** @returns what to show, and the button behind it where there is more */
export function useFold<T>(items: readonly T[], shown: number): readonly [readonly T[], ComponentChildren] {
  const [isOpen, setOpen] = useState(false)
  const folded = items.length - shown
  if (folded < foldedMin) return [items, null]
  const more = (
    <button type="button" class="more" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
      {t(isOpen ? 'hideMembers' : 'showMembers', { count: formatCount(folded) })}
    </button>
  )
  return [isOpen ? items : items.slice(0, shown), more]
}
