import type { Priority as Level } from '../../contract/device-model.ts'
import { t } from '../texts/texts.ts'

/** Shape, number and word beside the colour: each alone is enough. */
const shapes: Record<Level, { readonly path: string; readonly number: string }> = {
  critical: { path: 'M5 1h6l4 4v6l-4 4H5l-4-4V5z', number: '1' },
  high: { path: 'M8 1l7 14H1z', number: '2' },
  medium: { path: 'M8 0.5L15.5 8 8 15.5 0.5 8z', number: '3' },
  low: { path: 'M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1z', number: '4' },
}

export function Priority({ level }: { level: Level }) {
  const { path, number } = shapes[level]
  return (
    <span class="priority" data-priority={level}>
      <svg viewBox="0 0 16 16" aria-hidden="true">
        <path d={path} />
        <text x="8" y={level === 'high' ? 13 : 11} text-anchor="middle">
          {number}
        </text>
      </svg>
      <span class="word">{t(`priority.${level}`)}</span>
    </span>
  )
}
