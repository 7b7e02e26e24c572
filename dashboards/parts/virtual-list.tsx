/** A long list of which only what is in sight is drawn. All rows are equally high, so that their places are known. */
import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'

export type VirtualListProps<Item> = {
  readonly items: readonly Item[]
  readonly keyOf: (item: Item) => string
  readonly draw: (item: Item, index: number) => ComponentChildren
  /** Row that must be in sight. */
  readonly current?: number | undefined
  readonly label: string
}

/** Rows drawn above and below what is in sight, so that scrolling does not show white. */
const margin = 8
const rowHeights = { wide: 64, narrow: 132 }
const narrow = '(max-width: 700px)'

export function VirtualList<Item>({ items, keyOf, draw, current, label }: VirtualListProps<Item>) {
  const element = useRef<HTMLDivElement>(null)
  const [rowHeight, setRowHeight] = useState(matchMedia(narrow).matches ? rowHeights.narrow : rowHeights.wide)
  const [view, setView] = useState({ top: 0, height: 600 })
  useEffect(() => {
    const query = matchMedia(narrow)
    const onWidth = () => setRowHeight(query.matches ? rowHeights.narrow : rowHeights.wide)
    query.addEventListener('change', onWidth)
    return () => query.removeEventListener('change', onWidth)
  }, [])
  useEffect(() => {
    const list = element.current!
    let frame = 0
    const look = () => {
      frame = 0
      setView({ top: list.scrollTop, height: list.clientHeight })
    }
    const onScroll = () => (frame ||= requestAnimationFrame(look))
    list.addEventListener('scroll', onScroll, { passive: true })
    const resized = new ResizeObserver(onScroll)
    resized.observe(list)
    return () => {
      list.removeEventListener('scroll', onScroll)
      resized.disconnect()
      cancelAnimationFrame(frame)
    }
  }, [])
  useEffect(() => {
    const list = element.current!
    if (current === undefined) return
    const [top, bottom] = [current * rowHeight, (current + 1) * rowHeight]
    if (top < list.scrollTop) list.scrollTop = top
    else if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight
  }, [current, rowHeight])
  const first = Math.max(0, Math.floor(view.top / rowHeight) - margin)
  const last = Math.min(items.length, Math.ceil((view.top + view.height) / rowHeight) + margin)
  return (
    <div class="virtual" ref={element} role="list" aria-label={label} tabIndex={0}>
      <div class="virtual-space" style={{ height: `${items.length * rowHeight}px` }}>
        {items.slice(first, last).map((item, index) => (
          <div key={keyOf(item)} class="virtual-row" style={{ top: `${(first + index) * rowHeight}px`, height: `${rowHeight}px` }}>
            {draw(item, first + index)}
          </div>
        ))}
      </div>
    </div>
  )
}
