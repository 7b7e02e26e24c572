/**
 * The open alerts, alive: asked for with ETags, and told of by the live channel in between. Of two tellings of an alert
 * the one with the higher version counts, so that nothing shows twice and nothing old wins.
 */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { AlertItem, AlertItems } from '../contract/api.ts'
import { byPriority } from '../contract/priorities.ts'
import { listen, useChannelState } from './live-channel.ts'
import { useLive } from './live.ts'
import type { Live } from './live.ts'

export type Feed = Live<AlertItem[]> & { readonly flood: AlertItems['flood']; refresh(): void }

const pollMs = 2_000
/** While the live channel tells everything, asking is only for certainty. */
const pollWhileLiveMs = 15_000

/** @param standing which alerts; those that leave it go from the list */
export function useAlerts(standing: AlertItem['standing'], onNew?: (alert: AlertItem) => void): Feed {
  const isLive = useChannelState() === 'live'
  const asked = useLive<AlertItems>(`alerts?state=${standing}&view=list&limit=20000`, isLive ? pollWhileLiveMs : pollMs)
  const [told, setTold] = useState<ReadonlyMap<string, AlertItem>>(new Map())
  const { refresh } = asked
  const latest = useRef({ refresh, onNew })
  latest.current = { refresh, onNew }
  useEffect(() => {
    // Several in a burst are shown together.
    let waiting: AlertItem[] = []
    let frame = 0
    const show = () => {
      const arrived = waiting
      waiting = []
      frame = 0
      setTold((known) => new Map([...known, ...arrived.map((alert) => [alert.alertId, alert] as const)]))
    }
    const stop = listen({
      onMessage(message) {
        if (message.kind !== 'alerts') return
        waiting.push(...message.alerts)
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
  // What was told before the last answer is in it.
  const answered = asked.data
  useEffect(() => {
    if (!answered) return
    const versions = new Map(answered.alerts.map(({ alertId, version }) => [alertId, version]))
    setTold((known) => new Map([...known].filter(([alertId, { version }]) => version > (versions.get(alertId) ?? 0))))
  }, [answered])
  const data = useMemo(() => (answered ? merged(answered.alerts, told, standing) : undefined), [answered, told, standing])
  return { ...asked, data, flood: answered?.flood ?? null }
}

function merged(asked: readonly AlertItem[], told: ReadonlyMap<string, AlertItem>, standing: AlertItem['standing']): AlertItem[] {
  if (told.size === 0) return [...asked]
  const all = new Map(asked.map((alert) => [alert.alertId, alert]))
  for (const [alertId, alert] of told) if (alert.version > (all.get(alertId)?.version ?? 0)) all.set(alertId, alert)
  return [...all.values()].filter((alert) => alert.standing === standing).sort(byUrgency)
}

/** Unacknowledged first, then the graver, then the newer. */
export function byUrgency(a: AlertItem, b: AlertItem): number {
  return Number(a.acknowledged !== undefined) - Number(b.acknowledged !== undefined) || byPriority(a, b) || b.raisedAtMs - a.raisedAtMs
}
