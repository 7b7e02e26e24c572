/** The open alerts, alive: asked for with ETags, and told of by the live channel in between. */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { AlertItem, AlertItems } from '../contract/api.ts'
import { listen, useChannelState } from './live-channel.ts'
import { useLive } from './live.ts'
import type { Live } from './live.ts'
import { note, toldSince, withNews, withTold } from './told-alerts.ts'
import type { ToldAlert, ToldAlerts } from './told-alerts.ts'

export type Feed = Live<AlertItem[]> & { readonly flood: AlertItems['flood']; refresh(): void }

const pollMs = 2_000
/** While the live channel tells everything, asking is only for certainty. */
const pollWhileLiveMs = 15_000

/** @param standing which alerts; those that leave it go from the list */
export function useAlerts(standing: AlertItem['standing'], onNew?: (alert: AlertItem) => void): Feed {
  const isLive = useChannelState() === 'live'
  const asked = useLive<AlertItems>(`alerts?state=${standing}&view=list&limit=20000`, isLive ? pollWhileLiveMs : pollMs)
  const [told, setTold] = useState<ToldAlerts>(new Map())
  const { refresh } = asked
  const latest = useRef({ refresh, onNew })
  latest.current = { refresh, onNew }
  useEffect(() => {
    // Several in a burst are shown together. A page that nobody sees draws nothing for hours: the newest of each is enough.
    const waiting = new Map<string, ToldAlert>()
    let frame = 0
    const show = () => {
      const arrived = [...waiting.values()]
      waiting.clear()
      frame = 0
      setTold((known) => withTold(known, arrived))
    }
    const stop = listen({
      onMessage(message) {
        if (message.kind !== 'alerts') return
        for (const alert of message.alerts) note(waiting, { alert, toldAt: performance.now() })
        frame ||= requestAnimationFrame(show)
        for (const alert of message.alerts) if (alert.version === 1) latest.current.onNew?.(alert)
      },
      onGap: () => latest.current.refresh(),
    })
    return () => {
      stop()
      cancelAnimationFrame(frame)
    }
  }, [])
  const { data: answered, askedAt } = asked
  useEffect(() => setTold((known) => toldSince(known, askedAt)), [askedAt])
  const data = useMemo(() => (answered ? withNews(answered.alerts, told, standing) : undefined), [answered, told, standing])
  return { ...asked, data, flood: answered?.flood ?? null }
}
