/** One device: every signal as a live chart, with the spread of each point, its limits, and the device's account. */
import { useMemo, useState } from 'preact/hooks'
import type { AlertItems, DeviceView, LiveDevice, ReadingsView, SignalView } from '../../contract/api.ts'
import { useLiveDevices, withNewest } from '../device-feed.ts'
import { useChannelState } from '../live-channel.ts'
import { useLive } from '../live.ts'
import { AlertRow } from '../parts/alert-row.tsx'
import { Chart } from '../parts/chart.tsx'
import { useFold } from '../parts/fold.tsx'
import { formatAmount, formatCount, formatNumber } from '../parts/format.ts'
import { LedgerEquation } from '../parts/ledger.tsx'
import { Pending } from '../parts/pending.tsx'
import { Time } from '../parts/time.tsx'
import { t } from '../texts/texts.ts'
import { useNow } from '../use-now.ts'

const spans = [
  { label: '5 min', ms: 300_000 },
  { label: '15 min', ms: 900_000 },
  { label: '1 h', ms: 3_600_000 },
  { label: '24 h', ms: 86_400_000 },
  { label: '30 d', ms: 30 * 86_400_000 },
  { label: '', ms: Number.POSITIVE_INFINITY },
] as const

/** So many live charts leave the page its breath. */
const chartsShown = 50

export function DevicePage({ deviceId }: { deviceId: string }) {
  const isLive = useChannelState() === 'live'
  const { data, problem } = useLive<DeviceView>(`devices/${encodeURIComponent(deviceId)}`, isLive ? 5_000 : 1_000)
  const told = useLiveDevices().get(deviceId)
  const [spanMs, setSpanMs] = useState<number>(spans[0].ms)
  const device = useMemo(() => data && withNewest(data, told), [data, told])
  if (!device) return <Pending problem={problem} />
  return (
    <main>
      <section class="panel">
        <h1>{device.deviceId}</h1>
        <p class="none">
          {device.kind === '' ? t('withoutModel') : device.kind} · {t('lastSeen')} <Time ms={device.lastSeenMs} />
        </p>
        <LedgerEquation counts={device.ledger} />
        <Facts device={device} />
        <div class="spans" role="group" aria-label={t('spanOfCharts')}>
          {spans.map(({ label, ms }) => (
            <button key={ms} type="button" aria-pressed={ms === spanMs} onClick={() => setSpanMs(ms)}>
              {label === '' ? t('all') : label}
            </button>
          ))}
        </div>
      </section>
      <Charts device={device} spanMs={spanMs} told={told} />
      <DeviceAlerts deviceId={deviceId} />
      <Twin deviceId={deviceId} />
    </main>
  )
}

/** Each chart asks for its own readings: of a machine with hundreds of signals, those in alarm come first, the rest when asked for. */
function Charts({ device, spanMs, told }: { device: DeviceView; spanMs: number; told: LiveDevice | undefined }) {
  const alarms = device.signals.filter(({ condition }) => condition === 'alarm')
  const others = device.signals.filter(({ condition }) => condition !== 'alarm')
  const [shown, more] = useFold(device.signals.length > chartsShown ? [...alarms, ...others] : device.signals, chartsShown)
  return (
    <>
      <section class="charts" aria-label={t('spanOfCharts')}>
        {shown.map((signal) => (
          <SignalChart key={signal.signal} deviceId={device.deviceId} signal={signal} spanMs={spanMs} told={told} />
        ))}
      </section>
      {more}
    </>
  )
}

function Facts({ device }: { device: DeviceView }) {
  const { ledger, clockBehindMs, gatewayId, site, line, latitude, longitude } = device
  const newestMs = Math.max(0, ...device.signals.map(({ timeMs }) => timeMs))
  const seconds = formatNumber(Math.abs(clockBehindMs) / 1000)
  const clock = Math.abs(clockBehindMs) < 1_000 ? t('clockRight') : t(clockBehindMs > 0 ? 'clockBehind' : 'clockAhead', { seconds })
  return (
    <dl class="facts">
      <dt>{t('eventTime')}</dt>
      <dd>{newestMs === 0 ? '–' : <Time ms={newestMs} />}</dd>
      <dt>{t('arrivalTime')}</dt>
      <dd>
        <Time ms={device.lastSeenMs} />
      </dd>
      <dt>{t('clockOff')}</dt>
      <dd>{clock}</dd>
      <dt>{t('throughGateway')}</dt>
      <dd>{gatewayId === '' ? t('itself') : gatewayId}</dd>
      <dt>{t('place')}</dt>
      <dd>
        {site === '' ? t('elsewhere') : line === '' ? site : `${site}, ${line}`}
        {latitude !== undefined && longitude !== undefined ? ` (${latitude}, ${longitude})` : ''}
      </dd>
      <dt>{t('gaps')}</dt>
      <dd class={ledger.unexplained === 0 ? '' : 'wrong'}>
        {ledger.unexplained === 0 ? t('noGaps') : t('gapsText', { count: formatCount(ledger.unexplained) })}
        {ledger.inFlight === 0 ? '' : ` ${t('inFlightText', { count: formatCount(ledger.inFlight) })}`}
      </dd>
    </dl>
  )
}

/** Points that the live channel has brought since the last answer; more would be older than the next one. */
const tailMax = 600

function SignalChart({
  deviceId,
  signal,
  spanMs,
  told,
}: {
  deviceId: string
  signal: SignalView
  spanMs: number
  told: LiveDevice | undefined
}) {
  // A recording's readings lie in the past: the span ends at the signal's last reading, not now.
  const span = Number.isFinite(spanMs) ? `&from=${Math.floor((signal.timeMs - spanMs) / 1000) * 1000}` : '&from=0'
  const [query, setQuery] = useState(span)
  const isLive = useChannelState() === 'live'
  // The span moves on when the answer to the last question is there, so that slow answers do not pile up.
  const { data } = useLive<ReadingsView>(
    `devices/${encodeURIComponent(deviceId)}/readings?signal=${encodeURIComponent(signal.signal)}${query}`,
    isLive ? 15_000 : 1_000,
  )
  const hasMoved = data && Math.abs(fromOf(span) - fromOf(query)) >= Math.max(data.resolutionMs * 5, isLive ? 30_000 : 10_000)
  if (data && query !== span && (data.timesMs.length === 0 || hasMoved || spanOf(query) !== spanOf(span))) setQuery(span)
  const shown = useKept(data)
  const tail = useTail(signal.signal, told, shown)
  const drawn = useMemo(() => shown && withTail(shown, tail), [shown, tail])
  const spread =
    drawn && drawn.min.length > 0
      ? t('rangeOf', { min: formatAmount(least(drawn.min), signal.unit), max: formatAmount(most(drawn.max), signal.unit) })
      : t('noReadings')
  return (
    <figure class="panel" data-signal={signal.signal}>
      <figcaption>
        <h2>{signal.name}</h2>
        <span class={signal.condition === 'alarm' ? 'wrong' : ''}>
          {formatAmount(signal.value, signal.unit)}
          {signal.state === 'fine' ? '' : ` · ${t(`sensor.${signal.state}`).toLowerCase()}`}
        </span>
      </figcaption>
      {drawn && (
        <Chart
          label={t('nowValue', { name: signal.name, value: formatAmount(signal.value, signal.unit), spread })}
          data={{
            timesMs: drawn.timesMs,
            values: drawn.mean,
            bandMin: drawn.min,
            bandMax: drawn.max,
            interpolation: drawn.interpolation,
            limits: nearLimits(signal, drawn),
          }}
        />
      )}
      <span>{spread}</span>
      {drawn && drawn.timesMs.length > 0 && <PointTable points={drawn} unit={signal.unit} />}
    </figure>
  )
}

type Drawn = Pick<ReadingsView, 'timesMs' | 'mean' | 'min' | 'max' | 'count' | 'interpolation'>
type Tail = { readonly timesMs: readonly number[]; readonly values: readonly number[] }
const noTail: Tail = { timesMs: [], values: [] }

/** What the live channel tells, kept until an answer has it. */
function useTail(signal: string, told: LiveDevice | undefined, shown: ReadingsView | undefined): Tail {
  const [tail, setTail] = useState(noTail)
  const newest = told?.signals.find(([name]) => name === signal)
  const lastMs = tail.timesMs.at(-1) ?? shown?.timesMs.at(-1) ?? 0
  if (newest && newest[1] > lastMs) {
    const timesMs = [...tail.timesMs, newest[1]].slice(-tailMax)
    setTail({ timesMs, values: [...tail.values, newest[2]].slice(-tailMax) })
  }
  const answeredMs = shown?.timesMs.at(-1) ?? 0
  if (tail.timesMs.length > 0 && tail.timesMs[0]! <= answeredMs) {
    const from = tail.timesMs.findIndex((timeMs) => timeMs > answeredMs)
    setTail(from < 0 ? noTail : { timesMs: tail.timesMs.slice(from), values: tail.values.slice(from) })
  }
  return tail
}

function withTail(shown: ReadingsView, { timesMs, values }: Tail): Drawn {
  if (timesMs.length === 0) return shown
  return {
    timesMs: [...shown.timesMs, ...timesMs],
    mean: [...shown.mean, ...values],
    min: [...shown.min, ...values],
    max: [...shown.max, ...values],
    count: [...shown.count, ...values.map(() => 1)],
    interpolation: shown.interpolation,
  }
}

const rowsShown = 20

/** The same for those who cannot see a chart, and for those who want the numbers. */
function PointTable({ points, unit }: { points: Drawn; unit: string }) {
  const [isOpen, setOpen] = useState(false)
  const from = Math.max(0, points.timesMs.length - rowsShown)
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{t('asTable')}</summary>
      {isOpen && (
        <div class="scroll" tabIndex={0} role="region" aria-label={t('asTable')}>
          <table>
            <thead>
              <tr>
                {(['time', 'mean', 'minimum', 'maximum', 'count'] as const).map((key) => (
                  <th key={key} scope="col">
                    {t(key)}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {points.timesMs.slice(from).map((timeMs, index) => (
                <tr key={timeMs}>
                  <td>
                    <Time ms={timeMs} />
                  </td>
                  <td>{formatAmount(points.mean[from + index]!, unit)}</td>
                  <td>{formatAmount(points.min[from + index]!, unit)}</td>
                  <td>{formatAmount(points.max[from + index]!, unit)}</td>
                  <td>{formatCount(points.count[from + index]!)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  )
}

function DeviceAlerts({ deviceId }: { deviceId: string }) {
  const nowMs = useNow(5_000)
  const { data } = useLive<AlertItems>(`alerts?state=all&view=list&limit=20&device=${encodeURIComponent(deviceId)}`, 5_000)
  if (!data || data.alerts.length === 0) return null
  return (
    <section class="panel">
      <h2>{t('alertsOfDevice')}</h2>
      <div class="alerts" role="list" aria-label={t('alertsOfDevice')}>
        {data.alerts.map((alert) => (
          <AlertRow key={alert.alertId} alert={alert} nowMs={nowMs} />
        ))}
      </div>
    </section>
  )
}

function Twin({ deviceId }: { deviceId: string }) {
  const [isOpen, setOpen] = useState(false)
  const { data, problem } = useLive<unknown>(isOpen ? `devices/${encodeURIComponent(deviceId)}/twin` : undefined, 10_000)
  return (
    <section class="panel">
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>{t('twin')}</summary>
        {data === undefined ? (
          <p class="none">{problem ?? t('loading')}</p>
        ) : (
          <pre tabIndex={0} role="region" aria-label={t('twin')}>
            {JSON.stringify(data, null, 2)}
          </pre>
        )}
      </details>
    </section>
  )
}

function fromOf(query: string): number {
  return Number(query.slice(query.indexOf('=') + 1))
}

/** Whether all is asked for, or a stretch; which stretch it is moves all the time. */
function spanOf(query: string): string {
  return fromOf(query) === 0 ? 'all' : 'stretch'
}

function least(values: readonly number[]): number {
  return values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)
}

function most(values: readonly number[]): number {
  return values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
}

/** The last data, while new data is on its way. */
function useKept<T>(data: T | undefined): T | undefined {
  const [kept, setKept] = useState(data)
  if (data !== undefined && data !== kept) setKept(data)
  return data ?? kept
}

/** A limit far away would only flatten the line. */
function nearLimits({ limits }: SignalView, { min, max }: Drawn): number[] {
  const [low, high] = [least([...min]), most([...max])]
  const reach = Math.max(high - low, Math.abs(high) * 0.25)
  return limits.map(({ limit }) => limit).filter((limit) => limit >= low - reach && limit <= high + reach)
}
