/** How good the alarms are, by ISA-18.2: figures beside their targets, and who makes most of the noise. */
import type { Kpis } from '../../contract/api.ts'
import { priorities } from '../../contract/priorities.ts'
import { useLive } from '../live.ts'
import { addressOf } from '../navigation.ts'
import { formatAge, formatCount, formatNumber, formatShare } from '../parts/format.ts'
import { Pending } from '../parts/pending.tsx'
import { Priority } from '../parts/priority.tsx'
import { Table } from '../parts/table.tsx'
import { Time } from '../parts/time.tsx'
import { t } from '../texts/texts.ts'

const daysWanted = 30
/** ISA-18.2-2016 §16: about 5 % high and critical together, 15 % medium, 80 % low. */
const priorityTargets = { critical: '≤ 5 %', high: '≤ 5 %', medium: '≈ 15 %', low: '≈ 80 %' } as const

export function KpiPage() {
  const { data, problem } = useLive<Kpis>('kpis', 10_000)
  if (!data) return <Pending problem={problem} />
  return (
    <main>
      <section class="panel">
        <h1>{t('kpisOf')}</h1>
        <p class="none">
          {t('kpiSpan', { days: formatNumber(data.days), operators: data.operators })}
          {data.days < daysWanted ? ` · ${t('fewDays')}` : ''}
        </p>
        <Table label={t('kpisOf')} head={[t('measure'), t('value'), t('targetValue'), '']} rows={measures(data)} />
        <p class="buttons">
          <a href={`/api/v1/audit?from=${encodeURIComponent(data.from)}&to=${encodeURIComponent(data.to)}`} download>
            {t('exportAudit')}
          </a>
          <a href="/api/v1/kpis" download="kpis.json">
            {t('exportKpis')}
          </a>
        </p>
      </section>
      <div class="columns">
        <section class="panel">
          <h2>{t('badActors')}</h2>
          {data.badActors.length === 0 ? (
            <p class="none">{t('none')}</p>
          ) : (
            <Table
              label={t('badActors')}
              head={[t('device'), t('signal'), t('alerts'), t('share')]}
              rows={data.badActors.map(({ deviceId, signalName, annunciations, share }) => [
                <a key="device" href={addressOf.device(deviceId)}>
                  {deviceId}
                </a>,
                signalName,
                formatCount(annunciations),
                <span key="share" class="share">
                  <meter min={0} max={1} value={share} aria-label={formatShare(share)} />
                  {formatShare(share)}
                </span>,
              ])}
            />
          )}
        </section>
        <section class="panel">
          <h2>{t('priorities')}</h2>
          <Table
            label={t('priorities')}
            head={[t('priorities'), t('alerts'), t('share'), t('targetValue')]}
            rows={priorities.map((level) => [
              <Priority key="priority" level={level} />,
              formatCount(data.priorities[level]),
              formatShare(data.annunciations === 0 ? 0 : data.priorities[level] / data.annunciations),
              priorityTargets[level],
            ])}
          />
          <h2 class="follows">{t('floods')}</h2>
          {data.floods.length === 0 ? (
            <p class="none">{t('none')}</p>
          ) : (
            <ul class="history">
              {data.floods.map(({ sinceMs, untilMs, alerts }) => (
                <li key={sinceMs}>
                  {t('alertCount', { count: alerts })}, <Time ms={sinceMs} /> – {untilMs === null ? t('stillLasts') : <Time ms={untilMs} />}
                </li>
              ))}
            </ul>
          )}
        </section>
      </div>
    </main>
  )
}

function measures(data: Kpis) {
  const { ratePerOperator, medianAcknowledgeMs } = data
  const row = (name: string, value: string, target: string, isIn: boolean | undefined) => [
    name,
    value,
    target,
    isIn === undefined ? (
      ''
    ) : (
      <span key="verdict" class={isIn ? '' : 'wrong'}>
        {t(isIn ? 'inTarget' : 'offTarget')}
      </span>
    ),
  ]
  return [
    row(t('kpi.perHour'), formatNumber(ratePerOperator.perHour), '≤ 6', ratePerOperator.perHour <= 6),
    row(t('kpi.perDay'), formatNumber(ratePerOperator.perDay), '≤ 150', ratePerOperator.perDay <= 150),
    row(t('kpi.floodShare'), formatShare(data.floodShare), '< 1 %', data.floodShare < 0.01),
    row(t('kpi.peak'), formatNumber(data.peakPer10Min), '≤ 10', data.peakPer10Min <= 10),
    row(t('kpi.top10'), formatShare(data.top10Share), '≤ 5 %', data.top10Share <= 0.05),
    row(t('kpi.chattering'), formatCount(data.chattering), '0', data.chattering === 0),
    row(t('kpi.fleeting'), formatCount(data.fleeting), '0', data.fleeting === 0),
    row(t('kpi.stale'), formatCount(data.stale), '< 5', data.stale < 5),
    row(t('kpi.acknowledge'), medianAcknowledgeMs === null ? '–' : formatAge(medianAcknowledgeMs), '', undefined),
    row(t('kpi.shelved'), formatCount(data.shelved), '', undefined),
    row(t('kpi.suppressed'), formatCount(data.suppressed), '', undefined),
    row(t('kpi.outOfService'), formatCount(data.outOfService), '', undefined),
    row(t('kpi.judged'), `${formatCount(data.judgedTrue)} / ${formatCount(data.judgedFalse)}`, '', undefined),
  ]
}
