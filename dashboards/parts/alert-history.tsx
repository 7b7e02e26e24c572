/** What happened to an alert, and who was told of it. */
import { useState } from 'preact/hooks'
import type { AlertDetail, Delivery } from '../../contract/api.ts'
import { errorText } from '../../contract/error-text.ts'
import { post } from '../live.ts'
import { t } from '../texts/texts.ts'
import type { TextKey } from '../texts/texts.ts'
import { Time } from './time.tsx'

export function History({ history }: { history: AlertDetail['history'] }) {
  return (
    <ol class="history">
      {history.map((event, index) => (
        <li key={index}>
          <strong>{t(`event.${event.kind}` as TextKey)}</strong>
          {event.priority === undefined ? '' : ` ${t('asPriority', { priority: t(`priority.${event.priority}`) })}`}
          {event.by === undefined ? '' : ` ${event.by === 'clock' ? t('byClock') : t('by', { name: event.by })}`}
          {event.to === undefined || event.to === '' ? '' : ` ${t('to', { name: event.to })}`}
          {event.number === undefined || event.number === '' ? '' : ` ${event.number} (${event.status})`}
          {event.isTrueAlarm === undefined ? '' : `: ${t(event.isTrueAlarm ? 'trueAlarm' : 'falseAlarm')}`}
          {event.note === undefined || event.note === '' ? '' : `: “${event.note}”`}
          {event.untilMs === undefined ? null : (
            <>
              {', '}
              {t('until', { time: '' })}
              <Time ms={event.untilMs} />
            </>
          )}
          , <Time ms={event.atMs} />
        </li>
      ))}
    </ol>
  )
}

export function Deliveries({ deliveries, refresh }: { deliveries: readonly Delivery[]; refresh: () => void }) {
  if (deliveries.length === 0) return <p class="none">{t('nothingSent')}</p>
  return (
    <ul class="history">
      {deliveries.map((delivery) => (
        <li key={`${delivery.about} ${delivery.transition} ${delivery.channel}`}>
          <strong>
            {delivery.channel}, {delivery.transition}
          </strong>
          {': '}
          {t(`delivery.${delivery.status}`, { attempts: delivery.attempts })}
          {delivery.workOrder === '' ? '' : `, ${t('workOrder')} ${delivery.workOrder}`}
          {delivery.lastError === '' ? '' : ` (${delivery.lastError})`}
          {delivery.status === 'given-up' && <SendAgain delivery={delivery} refresh={refresh} />}
        </li>
      ))}
    </ul>
  )
}

function SendAgain({ delivery, refresh }: { delivery: Delivery; refresh: () => void }) {
  const [problem, setProblem] = useState('')
  const send = () =>
    post(`deliveries/${delivery.about}/${delivery.transition}.${delivery.channel}/resend`, {}).then(refresh, (error: unknown) =>
      setProblem(errorText(error)),
    )
  return (
    <>
      {' '}
      <button type="button" onClick={() => void send()}>
        {t('sendAgain')}
      </button>
      {problem !== '' && (
        <span class="problem" role="alert">
          {problem}
        </span>
      )}
    </>
  )
}
