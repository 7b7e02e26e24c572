/** The operator's page. */
import './language-tag.ts'
import { render } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { AlertItem, Health } from '../contract/api.ts'
import { useAlerts } from './alert-feed.ts'
import { useChannelState } from './live-channel.ts'
import { useLive } from './live.ts'
import type { Live } from './live.ts'
import { usePlace } from './navigation.ts'
import type { Place } from './navigation.ts'
import { nameOf } from './parts/alert-actions.tsx'
import { formatClock, formatCount } from './parts/format.ts'
import { Settings } from './parts/settings.tsx'
import { usePreferences } from './preferences.ts'
import { beep } from './sound.ts'
import { t } from './texts/texts.ts'
import { useNow } from './use-now.ts'
import { AlertPage } from './views/alert.tsx'
import { AlertsPage } from './views/alerts.tsx'
import { DevicePage } from './views/device.tsx'
import { KpiPage } from './views/kpis.tsx'
import { Overview } from './views/overview.tsx'
import { PipelinePage } from './views/pipeline.tsx'

const staleMs = 20_000

const pages = [
  ['/', 'overview'],
  ['/alerts', 'alerts'],
  ['/pipeline', 'pipeline'],
  ['/kpis', 'kpis'],
] as const

function App() {
  const place = usePlace()
  const { hasSound } = usePreferences()
  const { announcement, announce } = useAnnouncement(hasSound)
  const health = useLive<Health>('health', 10_000)
  const alerts = useAlerts('open', announce)
  const count = alerts.data?.length
  useEffect(() => {
    document.title = count ? `(${count}) Millwright` : 'Millwright'
  }, [count])
  return (
    <>
      <header class="bar">
        <a class="brand" href="/">
          Millwright
        </a>
        <nav aria-label={t('pages')}>
          {pages.map(([path, view]) => (
            <a key={path} href={path} aria-current={place.view === view ? 'page' : undefined}>
              {t(view)}
              {view === 'alerts' && count !== undefined && count > 0 && <span class="badge">{formatCount(count)}</span>}
            </a>
          ))}
        </nav>
        <Freshness live={alerts} />
        <Settings user={health.data?.user ?? null} />
      </header>
      <p class="visually-hidden" aria-live="assertive">
        {announcement}
      </p>
      {health.data?.signedIn === false && <p class="panel notice">{t('readingOnly')}</p>}
      <View place={place} alerts={alerts} />
    </>
  )
}

function View({ place, alerts }: { place: Place; alerts: ReturnType<typeof useAlerts> }) {
  switch (place.view) {
    case 'overview':
      return <Overview alerts={alerts} />
    case 'alerts':
      return <AlertsPage openFeed={alerts} />
    case 'alert':
      return <AlertPage key={place.alertId} alertId={place.alertId} />
    case 'device':
      return <DevicePage key={place.deviceId} deviceId={place.deviceId} />
    case 'pipeline':
      return <PipelinePage />
    case 'kpis':
      return <KpiPage />
    default:
      return (
        <main>
          <p class="panel">
            {t('noSuchPage')} <a href="/">{t('toOverview')}</a>
          </p>
        </main>
      )
  }
}

/** At most one message in this time: a storm must not drown the person who listens to the page. */
const announceEveryMs = 5_000

/** Says new alerts of the highest priorities, for ears: to screen readers, and as a tone where it is wanted. */
function useAnnouncement(hasSound: boolean) {
  const [announcement, setAnnouncement] = useState('')
  const lastMs = useRef(0)
  const announce = (alert: AlertItem) => {
    const isGrave = alert.priority === 'critical' || alert.priority === 'high'
    if (!isGrave || alert.standing !== 'open' || Date.now() - lastMs.current < announceEveryMs) return
    lastMs.current = Date.now()
    setAnnouncement(t('newAlert', { priority: t(`priority.${alert.priority}`), name: nameOf(alert) }))
    if (hasSound) beep()
  }
  return { announcement, announce }
}

/** Whether what is shown is still true, always in sight. */
function Freshness({ live }: { live: Live<unknown> }) {
  const nowMs = useNow(1_000)
  const channel = useChannelState()
  const isStale = live.confirmedMs > 0 && nowMs - live.confirmedMs > staleMs
  const text =
    live.confirmedMs === 0
      ? t('connecting')
      : isStale
        ? t('staleSince', { time: formatClock(live.confirmedMs) })
        : `${t(channel === 'live' ? 'live' : 'polling')}, ${t('confirmed', { time: formatClock(live.confirmedMs) })}`
  return (
    <span class="freshness" data-stale={isStale} data-channel={channel} role={isStale ? 'alert' : undefined}>
      {text}
    </span>
  )
}

const root = document.getElementById('app')!
root.replaceChildren()
render(<App />, root)
