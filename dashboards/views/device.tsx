/** One device: every signal as a live chart, with the spread of each point, its limits, and the device's account. */
import { useState } from 'preact/hooks'
import type { DeviceView, ReadingsView, SignalView } from '../../contract/api.ts'
import { useLive } from '../live.ts'
import { Chart } from '../parts/chart.tsx'
import { formatAmount } from '../parts/format.ts'
import { LedgerEquation } from '../parts/ledger.tsx'
import { Time } from '../parts/time.tsx'

const spans = [
  { label: '5 min', ms: 300_000 },
  { label: '15 min', ms: 900_000 },
  { label: '1 h', ms: 3_600_000 },
  { label: '24 h', ms: 86_400_000 },
  { label: 'All', ms: Number.POSITIVE_INFINITY },
] as const

export function DevicePage({ deviceId }: { deviceId: string }) {
  const { data: device, problem } = useLive<DeviceView>(`devices/${encodeURIComponent(deviceId)}`, 1_000)
  const [spanMs, setSpanMs] = useState<number>(spans[0].ms)
  if (!device) {
    return (
      <main>
        <p class="panel none">{problem ?? 'Loading …'}</p>
      </main>
    )
  }
  return (
    <main>
      <section class="panel">
        <h1>{device.deviceId}</h1>
        <p class="none">
          {device.kind === '' ? 'No device model is known' : device.kind} · last seen <Time ms={device.lastSeenMs} />
        </p>
        <LedgerEquation counts={device.ledger} />
        <div class="spans" role="group" aria-label="Span of the charts">
          {spans.map(({ label, ms }) => (
            <button key={label} type="button" aria-pressed={ms === spanMs} onClick={() => setSpanMs(ms)}>
              {label}
            </button>
          ))}
        </div>
      </section>
      <section class="charts" aria-label="Signals">
        {device.signals.map((signal) => (
          <SignalChart key={signal.signal} deviceId={device.deviceId} signal={signal} spanMs={spanMs} />
        ))}
      </section>
    </main>
  )
}

function SignalChart({ deviceId, signal, spanMs }: { deviceId: string; signal: SignalView; spanMs: number }) {
  // A recording's readings lie in the past: the span ends at the signal's last reading, not now.
  const span = Number.isFinite(spanMs) ? `&from=${Math.floor((signal.timeMs - spanMs) / 1000) * 1000}` : '&from=0'
  const [query, setQuery] = useState(span)
  // The span moves on when the answer to the last question is there, so that slow answers do not pile up.
  const { data } = useLive<ReadingsView>(
    `devices/${encodeURIComponent(deviceId)}/readings?signal=${encodeURIComponent(signal.signal)}${query}`,
    1_000,
  )
  if (
    data &&
    query !== span &&
    (data.timesMs.length === 0 || Math.abs(fromOf(span) - fromOf(query)) >= Math.max(data.resolutionMs * 5, 10_000))
  )
    setQuery(span)
  const shown = useKept(data)
  const spread =
    shown && shown.min.length > 0
      ? `${formatAmount(Math.min(...shown.min), signal.unit)} to ${formatAmount(Math.max(...shown.max), signal.unit)}`
      : 'no readings in this span'
  return (
    <figure class="panel" data-signal={signal.signal}>
      <figcaption>
        <h2>{signal.name}</h2>
        <span class={signal.condition === 'alarm' ? 'wrong' : ''}>
          {formatAmount(signal.value, signal.unit)}
          {signal.condition === 'alarm' ? ' · alarm' : signal.condition === 'learning' ? ' · learning' : ''}
        </span>
      </figcaption>
      {shown && (
        <Chart
          label={`${signal.name}: now ${formatAmount(signal.value, signal.unit)}, ${spread}`}
          data={{ timesMs: shown.timesMs, values: shown.mean, bandMin: shown.min, bandMax: shown.max, limits: nearLimits(signal, shown) }}
        />
      )}
      <span>{spread}</span>
    </figure>
  )
}

function fromOf(query: string): number {
  return Number(query.slice(query.indexOf('=') + 1))
}

/** The last data, while new data is on its way. */
function useKept<T>(data: T | undefined): T | undefined {
  const [kept, setKept] = useState(data)
  if (data !== undefined && data !== kept) setKept(data)
  return data ?? kept
}

/** A limit far away would only flatten the line. */
function nearLimits({ limits }: SignalView, { min, max }: ReadingsView): number[] {
  const [low, high] = [Math.min(...min), Math.max(...max)]
  const reach = Math.max(high - low, Math.abs(high) * 0.25)
  return limits.map(({ limit }) => limit).filter((limit) => limit >= low - reach && limit <= high + reach)
}
