/** The page's own addresses: /, /alerts/{id}, /devices/{id}, /pipeline. */
import { useEffect, useState } from 'preact/hooks'

export type Place =
  | { readonly view: 'overview' }
  | { readonly view: 'alert'; readonly alertId: string }
  | { readonly view: 'device'; readonly deviceId: string }
  | { readonly view: 'pipeline' }
  | { readonly view: 'unknown' }

export function placeOf(path: string): Place {
  const [first = '', second] = path.split('/').filter((part) => part !== '')
  if (first === '') return { view: 'overview' }
  if (first === 'pipeline') return { view: 'pipeline' }
  if (first === 'alerts' && second !== undefined) return { view: 'alert', alertId: decodeURIComponent(second) }
  if (first === 'devices' && second !== undefined) return { view: 'device', deviceId: decodeURIComponent(second) }
  return { view: 'unknown' }
}

export const addressOf = {
  alert: (alertId: string) => `/alerts/${encodeURIComponent(alertId)}`,
  device: (deviceId: string) => `/devices/${encodeURIComponent(deviceId)}`,
}

/** The present place; links within the page change it without a reload. */
export function usePlace(): Place {
  const [path, setPath] = useState(location.pathname)
  useEffect(() => {
    const onPop = () => setPath(location.pathname)
    const onClick = (event: MouseEvent) => {
      const link = event.target instanceof Element ? event.target.closest('a') : null
      const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey
      if (!link || !isPlain || link.origin !== location.origin || link.pathname.startsWith('/api/') || link.target !== '') return
      event.preventDefault()
      history.pushState(null, '', link.pathname)
      setPath(link.pathname)
      scrollTo(0, 0)
    }
    addEventListener('popstate', onPop)
    addEventListener('click', onClick)
    return () => {
      removeEventListener('popstate', onPop)
      removeEventListener('click', onClick)
    }
  }, [])
  return placeOf(path)
}
