/** One alert: why it was raised, what it means, what to do, what has been done. */
import { useState } from 'preact/hooks'
import type { AlertDetail, AlertExplanation } from '../../contract/api.ts'
import { errorText } from '../../contract/error-text.ts'
import { post, useLive } from '../live.ts'
import { addressOf } from '../navigation.ts'
import { actionWords, Outcome, useActions } from '../parts/alert-actions.tsx'
import type { ActionName } from '../parts/alert-actions.tsx'
import { Deliveries, History } from '../parts/alert-history.tsx'
import { AlertRow, explanationOf } from '../parts/alert-row.tsx'
import { AroundOnset, EvidenceChart } from '../parts/evidence-chart.tsx'
import { formatAmount, formatCount, formatNumber, formatSeverity } from '../parts/format.ts'
import { Pending } from '../parts/pending.tsx'
import { Priority } from '../parts/priority.tsx'
import { Time } from '../parts/time.tsx'
import { t } from '../texts/texts.ts'
import { useNow } from '../use-now.ts'

export function AlertPage({ alertId }: { alertId: string }) {
  const { data: alert, problem, refresh } = useLive<AlertDetail>(`alerts/${encodeURIComponent(alertId)}`, 2_000)
  const nowMs = useNow(5_000)
  if (!alert) return <Pending problem={problem} />
  const { rationale, incident, earlier, affected, workOrder } = alert
  return (
    <main>
      <section class="panel" data-priority={alert.priority}>
        <h1>
          <Priority level={alert.priority} /> {alert.scope === 'plant' ? t('plant') : alert.deviceId}
          {alert.signalName === '' ? '' : `: ${alert.signalName}`}
        </h1>
        <p>{explanationOf(alert)}</p>
        <p class="none">
          {t(`state.${alert.state}`)}
          {alert.standing === 'open' || alert.standing === 'closed' ? '' : ` · ${t(`standing.${alert.standing}`)}`}
          {alert.occurrences > 1 ? ` · ${t('occurrences', { count: alert.occurrences })}` : ''}
          {alert.assignee === undefined ? '' : ` · ${t('assignedTo', { name: alert.assignee })}`}
          {alert.scope === undefined && (
            <>
              {' · '}
              <a href={addressOf.device(alert.deviceId)}>{t('theDeviceNow')}</a>
            </>
          )}
        </p>
        {alert.suggestedDeadband && (
          <p class="notice">
            {t('suggestedDeadband', { width: formatAmount(alert.suggestedDeadband.width, alert.suggestedDeadband.unit) })}
          </p>
        )}
        <Actions alert={alert} refresh={refresh} />
      </section>
      {alert.evidence.window.values.length > 0 && (
        <section class="panel">
          <EvidenceChart alert={alert} />
        </section>
      )}
      <section class="panel">
        <h2>{t('whyItFired')}</h2>
        <Why alert={alert} />
        <Explain alertId={alert.alertId} />
      </section>
      {alert.signal !== '' && <AroundOnset alert={alert} />}
      <div class="columns">
        <section class="panel">
          <h2>{t('whatItMeans')}</h2>
          <dl class="facts">
            <dt>{t('cause')}</dt>
            <dd>{rationale.cause}</dd>
            <dt>{t('consequence')}</dt>
            <dd>{rationale.consequence}</dd>
            <dt>{t('action')}</dt>
            <dd>
              <strong>{rationale.action}</strong>
            </dd>
            <dt>{t('respondWithin')}</dt>
            <dd>{t('minutesShort', { count: rationale.respondWithinMin })}</dd>
            {workOrder && (
              <>
                <dt>{t('workOrder')}</dt>
                <dd>
                  {workOrder.number === ''
                    ? t('workOrderAsked')
                    : t(workOrder.isOpen ? 'workOrderOpen' : 'workOrderClosed', { number: workOrder.number })}
                </dd>
              </>
            )}
            {affected && (
              <>
                <dt>{t('affected')}</dt>
                <dd>
                  {affected.deviceIds.slice(0, 20).join(', ')}
                  {affected.count > 20 ? ` ${t('andMore', { count: affected.count - 20 })}` : ''}
                </dd>
              </>
            )}
          </dl>
          <Feedback alert={alert} refresh={refresh} />
        </section>
        <section class="panel">
          <h2>{t('whatHappened')}</h2>
          <History history={alert.history} />
          <h2 class="follows">{t('serviceDepartment')}</h2>
          <Deliveries deliveries={alert.deliveries} refresh={refresh} />
        </section>
      </div>
      {incident.length > 1 && (
        <section class="panel">
          <h2>{t('incident')}</h2>
          <div class="alerts" role="list" aria-label={t('incident')}>
            {incident.map((member) => (
              <AlertRow
                key={member.alertId}
                alert={member}
                nowMs={nowMs}
                isMember={member.alertId !== (alert.incidentId ?? alert.alertId)}
              />
            ))}
          </div>
        </section>
      )}
      {earlier.length > 0 && (
        <section class="panel">
          <h2>{t('earlier')}</h2>
          <div class="alerts" role="list" aria-label={t('earlier')}>
            {earlier.map((other) => (
              <AlertRow key={other.alertId} alert={other} nowMs={nowMs} />
            ))}
          </div>
        </section>
      )}
    </main>
  )
}

const openActions: readonly ActionName[] = ['shelve', 'assign', 'comment', 'clear', 'out-of-service']
const actionsFor: Record<AlertDetail['standing'], readonly ActionName[]> = {
  open: openActions,
  pending: openActions,
  suppressed: openActions,
  shelved: ['unshelve', 'assign', 'comment'],
  'out-of-service': ['in-service', 'comment'],
  closed: ['reopen', 'comment'],
}

function Actions({ alert, refresh }: { alert: AlertDetail; refresh: () => void }) {
  const { run, ask, dialog, outcome, isBusy } = useActions(refresh)
  const [note, setNote] = useState('')
  const code = /^#acknowledge=([\w.-]+)$/.exec(location.hash)?.[1]
  return (
    <>
      {alert.acknowledged === undefined && (
        <form
          class="acknowledge"
          onSubmit={(event) => {
            event.preventDefault()
            if (code === undefined) return void run([alert], 'acknowledge', { note })
            void post(`alerts/${alert.alertId}/acknowledge-by-link`, { code, note }).then(refresh, () =>
              run([alert], 'acknowledge', { note }),
            )
          }}
        >
          {code !== undefined && <p class="notice">{t('acknowledgeByLink')}</p>}
          <label>
            {t('note')}
            <input value={note} maxLength={2000} onInput={(event) => setNote(event.currentTarget.value)} />
          </label>
          <button type="submit" class="main" disabled={isBusy}>
            {t('acknowledge')}
          </button>
        </form>
      )}
      <div class="toolbar">
        {actionsFor[alert.standing].map((action) => (
          <button
            key={action}
            type="button"
            disabled={isBusy}
            onClick={() => (action === 'unshelve' || action === 'in-service' ? void run([alert], action, {}) : void ask([alert], action))}
          >
            {actionWords[action]()}
          </button>
        ))}
      </div>
      <Outcome outcome={outcome} />
      {dialog}
    </>
  )
}

function Why({ alert }: { alert: AlertDetail }) {
  const { evidence } = alert
  const distance =
    evidence.detector === 'hard-limit'
      ? t('beyondLimit', { percent: formatNumber(100 * evidence.distance) })
      : t('timesRange', { times: formatNumber(evidence.distance), severity: formatSeverity(evidence.severity) })
  return (
    <dl class="facts">
      <dt>{t('detector')}</dt>
      <dd>
        {t(`detector.${evidence.detector}`)}, {t('version', { version: evidence.detectorVersion })}
      </dd>
      {evidence.reason !== 'no-data' && (
        <>
          <dt>{t('distance')}</dt>
          <dd>{distance}</dd>
          <dt>{t('baseline')}</dt>
          <dd>
            {t('baselineText', { count: formatCount(evidence.baselineReadings) })} <Time ms={evidence.baselineFromMs} />
          </dd>
        </>
      )}
      {evidence.learning.length > 0 && (
        <>
          <dt>{t('stillLearning')}</dt>
          <dd>{evidence.learning.map((name) => t(`detector.${name}`)).join(', ')}</dd>
        </>
      )}
      <dt>{t('firstSeen')}</dt>
      <dd>
        <Time ms={evidence.firstSeenMs} />, {t('beforeAlert', { seconds: formatNumber(evidence.durationMs / 1000) })}
        {evidence.suppressed === 0 ? '' : `; ${t('suppressedLike', { count: evidence.suppressed })}`}
      </dd>
      <dt>{t('alsoMoving')}</dt>
      <dd>
        {alert.alsoMoving.length === 0
          ? t('noOtherSignal')
          : alert.alsoMoving.map(({ name, severity }) => `${name} (${formatSeverity(severity)})`).join(', ')}
      </dd>
    </dl>
  )
}

function Explain({ alertId }: { alertId: string }) {
  const [isAsked, setAsked] = useState(false)
  const { data, problem } = useLive<AlertExplanation>(isAsked ? `alerts/${alertId}/explain` : undefined, 3_600_000)
  return (
    <p>
      {data ? (
        <span role="status">{t(data.isReproduced ? 'reproduced' : 'notReproduced')}</span>
      ) : (
        <button type="button" onClick={() => setAsked(true)}>
          {t('explain')}
        </button>
      )}
      {problem}
    </p>
  )
}

function Feedback({ alert, refresh }: { alert: AlertDetail; refresh: () => void }) {
  const [problem, setProblem] = useState('')
  const judge = (isTrueAlarm: boolean) =>
    post(`alerts/${alert.alertId}/feedback`, { isTrueAlarm }).then(refresh, (error: unknown) => setProblem(errorText(error)))
  return (
    <div class="toolbar" role="group" aria-label={t('wasItRight')}>
      <span>{t('wasItRight')}</span>
      {[true, false].map((isTrueAlarm) => (
        <button
          key={String(isTrueAlarm)}
          type="button"
          aria-pressed={alert.feedback?.isTrueAlarm === isTrueAlarm}
          onClick={() => void judge(isTrueAlarm)}
        >
          {t(isTrueAlarm ? 'trueAlarm' : 'falseAlarm')}
        </button>
      ))}
      {problem !== '' && (
        <span class="problem" role="alert">
          {problem}
        </span>
      )}
    </div>
  )
}
