/** One alert as a row: what is known at a glance, and the one action that is needed most. */
import type { AlertItem } from '../../contract/api.ts'
import { addressOf } from '../navigation.ts'
import { preferences } from '../preferences.ts'
import { t } from '../texts/texts.ts'
import { nameOf } from './alert-actions.tsx'
import { formatAge, formatClock } from './format.ts'
import { Priority } from './priority.tsx'

export function explanationOf(alert: Pick<AlertItem, 'explanation' | 'translations'>): string {
  return preferences().language === 'de' ? alert.translations.de : alert.explanation
}

export type AlertRowProps = {
  readonly alert: AlertItem
  readonly nowMs: number
  readonly isCurrent?: boolean
  readonly isSelected?: boolean
  readonly isMember?: boolean
  /** Alerts of its incident that are not shown, or could be hidden. */
  readonly members?: { readonly count: number; readonly isOpen: boolean; readonly toggle: () => void } | undefined
  readonly onSelect?: (isSelected: boolean) => void
  readonly onAcknowledge?: () => void
  readonly isBusy?: boolean
}

export function AlertRow(props: AlertRowProps) {
  const { alert, nowMs, isCurrent = false, isSelected = false, isMember = false, members, onSelect, onAcknowledge, isBusy = false } = props
  const name = nameOf(alert)
  return (
    <div
      class="alert"
      role="listitem"
      data-priority={alert.priority}
      data-alert={alert.alertId}
      data-unacknowledged={alert.acknowledged === undefined && alert.standing === 'open'}
      data-current={isCurrent}
      data-member={isMember}
    >
      {onSelect && (
        <input
          type="checkbox"
          checked={isSelected}
          aria-label={t('select', { name })}
          onChange={(event) => onSelect(event.currentTarget.checked)}
        />
      )}
      <Priority level={alert.priority} />
      <div class="what">
        <p>
          <a href={addressOf.alert(alert.alertId)}>{alert.scope === 'plant' ? t('plant') : alert.deviceId}</a> {explanationOf(alert)}
        </p>
        <p class="meta">{factsOf(alert, nowMs).join(' · ')}</p>
      </div>
      <div class="row-actions">
        {members && members.count > 0 && (
          <button
            type="button"
            aria-expanded={members.isOpen}
            aria-label={t(members.isOpen ? 'hideMembers' : 'showMembers', { count: members.count })}
            onClick={members.toggle}
          >
            {members.isOpen ? '−' : '+'}
            {members.count}
          </button>
        )}
        {onAcknowledge && alert.acknowledged === undefined && (
          <button type="button" disabled={isBusy} aria-label={t('acknowledgeOne', { name })} onClick={onAcknowledge}>
            {t('acknowledge')}
          </button>
        )}
      </div>
    </div>
  )
}

function factsOf(alert: AlertItem, nowMs: number): string[] {
  const { shelved, outOfService, affected, assignee, occurrences } = alert
  return [
    t(`state.${alert.state}`),
    t('raisedAgo', { age: formatAge(nowMs - alert.raisedAtMs) }),
    ...(alert.site === '' ? [] : [alert.line === '' ? alert.site : `${alert.site}, ${alert.line}`]),
    ...(affected && affected.count > 1 ? [t('affectedDevices', { count: affected.count })] : []),
    ...(occurrences > 1 ? [t('occurrences', { count: occurrences })] : []),
    ...(alert.isChattering ? [t('chattering')] : []),
    ...(alert.isStale ? [t('stale')] : []),
    ...(assignee === undefined ? [] : [t('assignedTo', { name: assignee })]),
    ...(shelved ? [t('shelvedUntil', { time: formatClock(shelved.untilMs), name: shelved.by, reason: shelved.reason })] : []),
    ...(outOfService ? [t('outOfServiceBy', { name: outOfService.by, reason: outOfService.reason })] : []),
  ]
}
