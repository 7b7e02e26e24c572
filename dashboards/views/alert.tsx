/** One alert: why it was raised, what it means, what to do, what has been done. */
import { useState } from 'preact/hooks'
import type { AlertDetail } from '../../contract/api.ts'
import { useLive } from '../live.ts'
import { addressOf } from '../navigation.ts'
import { stateWords, useAcknowledge } from '../parts/alert-list.tsx'
import { Chart } from '../parts/chart.tsx'
import { formatAmount, formatNumber } from '../parts/format.ts'
import { Priority } from '../parts/priority.tsx'
import { Time } from '../parts/time.tsx'

const eventWords: Record<AlertDetail['history'][number]['kind'], string> = {
  raised: 'Raised',
  escalated: 'Escalated',
  returned: 'Back to normal',
  acknowledged: 'Acknowledged',
}

const detectorWords: Record<AlertDetail['evidence']['detector'], string> = {
  rolling: 'Rolling median of the last readings',
  level: 'Level against its own past',
  'high-pass': 'Level against the last minutes, and its own past',
  season: 'Time of day',
  jump: 'Change from one reading to the next',
  step: 'Change of the mean',
  drift: 'Drift since commissioning',
  stuck: 'Stuck sensor',
  relation: 'Relation to the other signals',
  missing: 'Missing data',
  rate: 'Rate limit of the device model',
  'hard-limit': 'Hard limit of the device model',
  silence: 'Silence',
}

export function AlertPage({ alertId }: { alertId: string }) {
  const { data: alert, problem, refresh } = useLive<AlertDetail>(`alerts/${alertId}`, 2_000)
  if (!alert) {
    return (
      <main>
        <p class="panel none">{problem ?? 'Loading …'}</p>
      </main>
    )
  }
  const { evidence, rationale, unit } = alert
  const isLimit = evidence.detector === 'hard-limit'
  const limits = isLimit ? [evidence.reason === 'above-limit' ? evidence.expectedMax : evidence.expectedMin] : []
  return (
    <main>
      <section class="panel" data-priority={alert.priority}>
        <h1>
          <Priority level={alert.priority} /> {alert.deviceId}: {alert.signalName}
        </h1>
        <p>{alert.explanation}</p>
        <p class="none">
          {stateWords[alert.state]} ·{' '}
          <a href={addressOf.device(alert.deviceId)}>
            {alert.deviceKind === '' ? 'the device' : `this ${alert.deviceKind.toLowerCase()}`} now
          </a>
        </p>
        {alert.acknowledged ? null : <Acknowledge alertId={alertId} refresh={refresh} />}
      </section>
      <section class="panel">
        <figure>
          <figcaption>
            <h2>The window that fired</h2>
            <span>
              observed {formatAmount(evidence.observed, unit)}
              {isLimit
                ? `, limit ${formatAmount(limits[0]!, unit)}`
                : `, expected ${formatNumber(evidence.expectedMin)} to ${formatAmount(evidence.expectedMax, unit)}`}
            </span>
          </figcaption>
          <Chart
            label={`${alert.signalName} in the window that fired: ${evidence.window.values.length} readings, the last ${formatAmount(evidence.observed, unit)}`}
            data={{
              timesMs: evidence.window.timesMs,
              values: evidence.window.values,
              limits,
              ...(isLimit ? {} : { expected: { min: evidence.expectedMin, max: evidence.expectedMax } }),
            }}
          />
        </figure>
        <dl class="facts">
          <dt>Detector</dt>
          <dd>
            {detectorWords[evidence.detector]}, version {evidence.detectorVersion}
          </dd>
          <dt>Distance</dt>
          <dd>
            {isLimit
              ? `${formatNumber(100 * evidence.distance)} % beyond the limit`
              : `${formatNumber(evidence.distance)} times the width of the expected range, severity ${formatNumber(evidence.severity)}`}
          </dd>
          <dt>Baseline</dt>
          <dd>
            {evidence.baselineReadings} readings since <Time ms={evidence.baselineFromMs} />
          </dd>
          {evidence.learning.length === 0 ? null : (
            <>
              <dt>Still learning</dt>
              <dd>{evidence.learning.join(', ')}</dd>
            </>
          )}
          <dt>First seen</dt>
          <dd>
            <Time ms={evidence.firstSeenMs} />, {formatNumber(evidence.durationMs / 1000)} s before the alert
            {evidence.suppressed === 0 ? '' : `; ${evidence.suppressed} like it were not told since the last`}
          </dd>
          <dt>Also moving</dt>
          <dd>
            {alert.alsoMoving.length === 0
              ? 'no other signal'
              : alert.alsoMoving.map(({ name, severity }) => `${name} (${formatNumber(severity)})`).join(', ')}
          </dd>
        </dl>
      </section>
      <div class="columns">
        <section class="panel">
          <h2>What it means</h2>
          <dl class="facts">
            <dt>Cause</dt>
            <dd>{rationale.cause}</dd>
            <dt>Consequence</dt>
            <dd>{rationale.consequence}</dd>
            <dt>Action</dt>
            <dd>
              <strong>{rationale.action}</strong>
            </dd>
            <dt>Respond within</dt>
            <dd>{rationale.respondWithinMin} min</dd>
          </dl>
        </section>
        <section class="panel">
          <h2>What happened</h2>
          <ol class="history">
            {alert.history.map((event) => (
              <li key={`${event.atMs}-${event.kind}`}>
                {eventWords[event.kind]}
                {event.priority === undefined ? '' : ` as ${event.priority}`}
                {event.by === undefined ? '' : ` by ${event.by}`}
                {event.note === undefined || event.note === '' ? '' : `: “${event.note}”`}, <Time ms={event.atMs} />
              </li>
            ))}
          </ol>
          <h2 class="follows">Service department</h2>
          {alert.deliveries.length === 0 && <p class="none">Nothing sent yet.</p>}
          <ul class="history">
            {alert.deliveries.map(({ transition, status, attempts, lastError, workOrder }) => (
              <li key={transition}>
                {status === 'delivered'
                  ? `Work order ${workOrder === '' ? 'accepted' : workOrder}`
                  : status === 'waiting'
                    ? `Waiting, ${attempts} attempts`
                    : 'Given up'}
                {lastError === '' ? '' : ` (${lastError})`}
              </li>
            ))}
          </ul>
        </section>
      </div>
    </main>
  )
}

function Acknowledge({ alertId, refresh }: { alertId: string; refresh: () => void }) {
  const [note, setNote] = useState('')
  const { problem, isBusy, acknowledge } = useAcknowledge(alertId, refresh)
  return (
    <form
      class="acknowledge"
      onSubmit={(event) => {
        event.preventDefault()
        void acknowledge(note)
      }}
    >
      <label>
        Note
        <input value={note} maxLength={2000} onInput={(event) => setNote(event.currentTarget.value)} />
      </label>
      <button type="submit" disabled={isBusy}>
        Acknowledge
      </button>
      {problem !== undefined && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
    </form>
  )
}
