/** The operator's page. */
import { render } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import type { AlertView, DeviceView, Health } from '../contract/api.ts'
import { useLive } from './live.ts'
import type { Live } from './live.ts'
import { usePlace } from './navigation.ts'
import { formatClock } from './parts/format.ts'
import { AlertPage } from './views/alert.tsx'
import { DevicePage } from './views/device.tsx'
import { Overview } from './views/overview.tsx'
import { PipelinePage } from './views/pipeline.tsx'

const staleMs = 10_000

function App() {
  const place = usePlace()
  const health = useLive<Health>('health', 5_000)
  const isOverview = place.view === 'overview'
  const devices = useLive<{ devices: DeviceView[] }>(isOverview ? 'devices' : undefined, 2_000)
  const alerts = useLive<{ alerts: AlertView[] }>(isOverview ? 'alerts' : undefined, 1_000)
  return (
    <>
      <header class="bar">
        <a class="brand" href="/">
          Millwright
        </a>
        <nav aria-label="Pages">
          <a href="/" aria-current={isOverview ? 'page' : undefined}>
            Overview
          </a>
          <a href="/pipeline" aria-current={place.view === 'pipeline' ? 'page' : undefined}>
            Pipeline
          </a>
        </nav>
        <Freshness live={isOverview ? alerts : health} />
      </header>
      {health.data?.signedIn === false && (
        <p class="panel notice">You are reading. To acknowledge alerts, open the sign-in link that was printed at start.</p>
      )}
      {place.view === 'overview' && <Overview devices={devices} alerts={alerts} refresh={alerts.refresh} />}
      {place.view === 'alert' && <AlertPage alertId={place.alertId} />}
      {place.view === 'device' && <DevicePage deviceId={place.deviceId} />}
      {place.view === 'pipeline' && <PipelinePage />}
      {place.view === 'unknown' && (
        <main>
          <p class="panel">
            There is no such page. <a href="/">To the overview</a>
          </p>
        </main>
      )}
    </>
  )
}

/** Whether what is shown is still true, always in sight. */
function Freshness({ live }: { live: Live<unknown> }) {
  const [nowMs, setNowMs] = useState(Date.now())
  useEffect(() => {
    const timer = setInterval(() => setNowMs(Date.now()), 1_000)
    return () => clearInterval(timer)
  }, [])
  const isStale = live.confirmedMs > 0 && nowMs - live.confirmedMs > staleMs
  const text =
    live.confirmedMs === 0
      ? 'connecting …'
      : isStale
        ? `stale since ${formatClock(live.confirmedMs)}`
        : `polling, confirmed ${formatClock(live.confirmedMs)}`
  return (
    <span class="freshness" data-stale={isStale} role={isStale ? 'alert' : undefined}>
      {text}
    </span>
  )
}

const root = document.getElementById('app')!
root.replaceChildren()
render(<App />, root)
