/** What only the laptop has: switches that break its cloud, the truth about its simulated faults, and what Azure would ask. */
import { useRef, useState } from 'preact/hooks'
import type { AlertItems, DeviceView } from '../../contract/api.ts'
import { yearlyCost } from '../../contract/azure-costs.ts'
import { errorText } from '../../contract/error-text.ts'
import { post, useLive } from '../live.ts'
import { serverNow } from '../server-clock.ts'
import { scoreOf } from '../scoreboard.ts'
import type { Label } from '../scoreboard.ts'
import { t } from '../texts/texts.ts'
import { formatAge, formatCount } from './format.ts'
import { Table } from './table.tsx'

type LocalState = {
  readonly metered: number
  readonly received: number
  readonly faults: readonly { readonly kind: string; readonly target?: string }[]
}

const faultKinds = [
  'throttle',
  'offline',
  'delay',
  'drop-acknowledgement',
  'kill-connection',
  'slow-storage',
  'failing-storage',
  'expire-token',
] as const

export function LaptopPanels({ published, devices }: { published: number | undefined; devices: readonly DeviceView[] }) {
  const state = useLive<LocalState>('/local/state', 3_000)
  if (!state.data) return null
  return (
    <>
      <section class="panel">
        <h2>{t('breakIt')}</h2>
        <BreakIt faults={state.data.faults} refresh={state.refresh} />
      </section>
      <div class="columns">
        <section class="panel">
          <h2>{t('scoreboard')}</h2>
          <Scoreboard />
        </section>
        <section class="panel">
          <h2>{t('costs')}</h2>
          <Costs metered={state.data.metered} confirmedMs={state.confirmedMs} published={published} devices={devices} />
        </section>
      </div>
    </>
  )
}

function BreakIt({ faults, refresh }: { faults: LocalState['faults']; refresh: () => void }) {
  const [problem, setProblem] = useState('')
  const ended = (error?: unknown) => {
    setProblem(error === undefined ? '' : errorText(error))
    refresh()
  }
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        const values = new FormData(event.currentTarget)
        const target = String(values.get('target') ?? '')
        const body = { kind: values.get('kind'), durationMs: 1000 * Number(values.get('seconds')), ...(target === '' ? {} : { target }) }
        post('/local/faults', body).then(() => ended(), ended)
      }}
    >
      <p class="none">{t('breakItText')}</p>
      <div class="toolbar">
        <label>
          {t('fault')}
          <select name="kind">
            {faultKinds.map((kind) => (
              <option key={kind}>{kind}</option>
            ))}
          </select>
        </label>
        <label>
          {t('target')}
          <input name="target" />
        </label>
        <label>
          {t('seconds')}
          <input name="seconds" type="number" min={1} max={86_400} defaultValue="30" />
        </label>
        <button type="submit">{t('set')}</button>
        <button
          type="button"
          onClick={() =>
            void fetch('/local/faults', { method: 'DELETE' }).then(
              (response) => ended(response.ok ? undefined : new Error(String(response.status))),
              ended,
            )
          }
        >
          {t('endAll')}
        </button>
      </div>
      {faults.length > 0 && (
        <p>{t('faultsNow', { list: faults.map(({ kind, target }) => (target === undefined ? kind : `${kind} ${target}`)).join(', ') })}</p>
      )}
      {problem !== '' && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
    </form>
  )
}

function Scoreboard() {
  const truth = useLive<{ labels: Label[] }>('/local/truth', 5_000)
  const alerts = useLive<AlertItems>('alerts?state=all&view=list&limit=5000', 5_000)
  if (!truth.data || !alerts.data) return <p class="none">{truth.problem ?? t('loading')}</p>
  const { scores, falseAlarms } = scoreOf(truth.data.labels, alerts.data.alerts, serverNow())
  return (
    <>
      <p class="none">{t('scoreboardText')}</p>
      <Table
        label={t('scoreboard')}
        head={[t('kind'), t('found'), t('missed'), t('medianDelay')]}
        numeric
        rows={scores.map(({ kind, found, missed, medianDelayMs }) => [
          kind,
          formatCount(found),
          formatCount(missed),
          medianDelayMs === undefined ? '–' : formatAge(medianDelayMs),
        ])}
      />
      <p>{t('falseAlarms', { count: falseAlarms })}</p>
    </>
  )
}

type CostProps = { metered: number; confirmedMs: number; published: number | undefined; devices: readonly DeviceView[] }

const dayMs = 86_400_000
/** A rate needs a while. */
const measuredMsMin = 10_000

/** Rates between the first answer this page got and the newest. */
function Costs({ metered, confirmedMs, published, devices }: CostProps) {
  const first = useRef<{ metered: number; published: number; atMs: number } | undefined>(undefined)
  if (published !== undefined) first.current ??= { metered, published, atMs: confirmedMs }
  const passedMs = confirmedMs - (first.current?.atMs ?? confirmedMs)
  if (!first.current || published === undefined || passedMs < measuredMsMin) return <p class="none">{t('loading')}</p>
  const perDay = (count: number) => (count * dayMs) / passedMs
  const signals = devices.reduce((sum, device) => sum + device.signals.length, 0)
  const readingsPerMessage = Math.max(1, signals / Math.max(1, devices.length))
  // The app writes a segment and its rollups for many readings; a message of its own for each sample has them all the same.
  const rates = [
    { name: t('withFilter'), meteredPerDay: perDay(metered - first.current.metered) },
    { name: t('withoutFilter'), meteredPerDay: perDay(published - first.current.published) / readingsPerMessage },
  ]
  const batch = 16
  return (
    <>
      <p class="none">{t('costsText')}</p>
      <Table
        label={t('costs')}
        head={['', t('messagesADay'), t('aYear')]}
        numeric
        rows={rates.map(({ name, meteredPerDay }) => {
          const executionsPerDay = meteredPerDay / batch
          const cost = yearlyCost({ meteredPerDay, executionsPerDay, tableTransactionsPerDay: executionsPerDay * 2 })
          return [name, formatCount(Math.round(meteredPerDay)), `$${formatCount(Math.round(cost))}`]
        })}
      />
    </>
  )
}
