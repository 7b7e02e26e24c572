/** An alert's signal around its onset: what was observed, what was expected, and where the window fired. */
import type { AlertDetail, ReadingsView } from '../../contract/api.ts'
import { useLive } from '../live.ts'
import { t } from '../texts/texts.ts'
import { Chart } from './chart.tsx'
import { formatAmount, formatNumber } from './format.ts'

const beforeMs = 10 * 60_000
const afterMs = 5 * 60_000

export function EvidenceChart({ alert }: { alert: AlertDetail }) {
  const { evidence, unit, signalName } = alert
  const isLimit = evidence.detector === 'hard-limit'
  const limits = isLimit ? [evidence.reason === 'above-limit' ? evidence.expectedMax : evidence.expectedMin] : []
  const range = isLimit
    ? t('limit', { value: formatAmount(limits[0]!, unit) })
    : t('expected', { min: formatNumber(evidence.expectedMin), max: formatAmount(evidence.expectedMax, unit) })
  const { timesMs, values } = evidence.window
  return (
    <figure>
      <figcaption>
        <h2>{t('windowThatFired')}</h2>
        <span>
          {t('observed', { value: formatAmount(evidence.observed, unit) })}, {range}
        </span>
      </figcaption>
      <Chart
        label={`${signalName}, ${t('windowThatFired')}: ${values.length}, ${t('observed', { value: formatAmount(evidence.observed, unit) })}, ${range}`}
        data={{ timesMs, values, limits, ...(isLimit ? {} : { expected: { min: evidence.expectedMin, max: evidence.expectedMax } }) }}
      />
    </figure>
  )
}

/** The same device's signals before and after, this one with its expected band, then those that moved with it. */
export function AroundOnset({ alert }: { alert: AlertDetail }) {
  const signals = [{ signal: alert.signal, name: alert.signalName }, ...alert.alsoMoving.slice(0, 3)]
  return (
    <section class="charts" aria-label={t('around')}>
      {signals.map(({ signal, name }) => (
        <Around key={signal} alert={alert} signal={signal} name={name} />
      ))}
    </section>
  )
}

function Around({ alert, signal, name }: { alert: AlertDetail; signal: string; name: string }) {
  const { firstSeenMs, durationMs, expectedMin, expectedMax, detector } = alert.evidence
  const onsetMs = Math.floor(firstSeenMs / 1000) * 1000
  const path = `devices/${encodeURIComponent(alert.deviceId)}/readings?signal=${encodeURIComponent(signal)}&from=${onsetMs - beforeMs}&to=${Math.ceil(onsetMs + durationMs + afterMs)}`
  const { data } = useLive<ReadingsView>(path, 10_000)
  const isOwn = signal === alert.signal
  return (
    <figure class="panel">
      <figcaption>
        <h2>{name}</h2>
        <span>{t('around')}</span>
      </figcaption>
      {data && data.timesMs.length > 0 && (
        <Chart
          label={`${name}, ${t('around')}`}
          data={{
            timesMs: data.timesMs,
            values: data.mean,
            bandMin: data.min,
            bandMax: data.max,
            interpolation: data.interpolation,
            markMs: onsetMs,
            ...(isOwn && detector !== 'hard-limit' ? { expected: { min: expectedMin, max: expectedMax } } : {}),
            ...(isOwn && detector === 'hard-limit'
              ? { limits: [alert.evidence.reason === 'above-limit' ? expectedMax : expectedMin] }
              : {}),
          }}
        />
      )}
    </figure>
  )
}
