/** The page's own addresses: /, /alerts, /alerts/{id}, /devices/{id}, /pipeline, /kpis. */
import { useEffect, useState } from 'preact/hooks'

export type Place =
  | { readonly view: 'overview' }
  | { readonly view: 'alerts' }
  | { readonly view: 'alert'; readonly alertId: string }
  | { readonly view: 'device'; readonly deviceId: string }
  | { readonly view: 'pipeline' }
  | { readonly view: 'kpis' }
  | { readonly view: 'unknown' }

export function placeOf(path: string): Place {
  const [first = '', second] = path.split('/').filter((part) => part !== '')
  if (first === '') return { view: 'overview' }
  if ((first === 'pipeline' || first === 'kpis' || first === 'alerts') && second === undefined) return { view: first }
  if (first === 'alerts' && second !== undefined) return { view: 'alert', alertId: decoded(second) }
  if (first === 'devices' && second !== undefined) return { view: 'device', deviceId: decoded(second) }
  return { view: 'unknown' }
}

/** Anybody may write an address; what cannot be decoded names nothing. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

export const addressOf = {
  alert: (alertId: string) => `/alerts/${encodeURIComponent(alertId)}`,
  device: (deviceId: string) => `/devices/${encodeURIComponent(deviceId)}`,
}

const moved = new EventTarget()

/** Goes to another place of the page without a reload. */
export function go(path: string): void {
  history.pushState(null, '', path)
  moved.dispatchEvent(new Event('move'))
  scrollTo(0, 0)
}

/** The present place; links within the page change it without a reload. */
export function usePlace(): Place {
  const [path, setPath] = useState(location.pathname)
  useEffect(() => {
    const onMove = () => setPath(location.pathname)
    const onClick = (event: MouseEvent) => {
      const link = event.target instanceof Element ? event.target.closest('a') : null
      const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey
      if (!link || !isPlain || link.origin !== location.origin || link.pathname.startsWith('/api/') || link.target !== '') return
      event.preventDefault()
      go(link.pathname)
    }
    addEventListener('popstate', onMove)
    moved.addEventListener('move', onMove)
    addEventListener('click', onClick)
    return () => {
      removeEventListener('popstate', onMove)
      moved.removeEventListener('move', onMove)
      removeEventListener('click', onClick)
    }
  }, [])
  return placeOf(path)
}
