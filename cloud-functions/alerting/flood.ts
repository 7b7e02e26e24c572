/** Alarm floods (ISA-18.2 §16.5, EEMUA 191): more than ten new alerts in ten minutes begin one, fewer than five end it. Pure. */
export const floodSettings = { windowMs: 10 * 60_000, beginsAbove: 10, endsBelow: 5 } as const

export type Flood = { readonly sinceMs: number; readonly untilMs: number | undefined; readonly alerts: number }

/**
 * The floods that announcements make, oldest first; the last one has no end while it lasts.
 * @param announcedMs when alerts were told of, in any order
 */
export function floodsIn(announcedMs: readonly number[], nowMs: number): Flood[] {
  const { windowMs, beginsAbove, endsBelow } = floodSettings
  const times = announcedMs.toSorted((a, b) => a - b)
  const floods: Flood[] = []
  let [first, sinceMs, alerts] = [0, undefined as number | undefined, 0]
  for (const [index, timeMs] of times.entries()) {
    // The rate falls between announcements, not at them.
    if (sinceMs !== undefined) {
      const endMs = endOf(index - 1, timeMs)
      if (endMs !== undefined) {
        floods.push({ sinceMs, untilMs: endMs, alerts })
        sinceMs = undefined
      }
    }
    while (times[first]! <= timeMs - windowMs) first++
    if (sinceMs === undefined && index - first + 1 > beginsAbove) {
      sinceMs = times[first]!
      alerts = index - first + 1
    } else if (sinceMs !== undefined) alerts++
  }
  if (sinceMs === undefined) return floods
  floods.push({ sinceMs, untilMs: endOf(times.length - 1, nowMs), alerts })
  return floods

  /** When fewer than `endsBelow` were left in the window, if that was before `beforeMs`. */
  function endOf(lastIndex: number, beforeMs: number): number | undefined {
    const leaving = times[lastIndex - endsBelow + 1]
    const endMs = leaving === undefined ? times[lastIndex]! : leaving + windowMs
    return endMs < beforeMs ? endMs : undefined
  }
}

/** The flood that lasts now. */
export function floodNow(announcedMs: readonly number[], nowMs: number): Flood | undefined {
  const last = floodsIn(announcedMs, nowMs).at(-1)
  return last && last.untilMs === undefined ? last : undefined
}
