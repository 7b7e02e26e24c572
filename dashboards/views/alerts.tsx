/** The page that stays open through a shift: what needs somebody, worked by mouse, touch or keyboard. */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { priorities } from '../../contract/priorities.ts'
import type { Feed } from '../alert-feed.ts'
import { useAlerts } from '../alert-feed.ts'
import { grouped, matching } from '../alert-groups.ts'
import { addressOf, go } from '../navigation.ts'
import { actionWords, Outcome, useActions } from '../parts/alert-actions.tsx'
import type { ActionName } from '../parts/alert-actions.tsx'
import { AlertRow } from '../parts/alert-row.tsx'
import { formatClock, formatCount } from '../parts/format.ts'
import { VirtualList } from '../parts/virtual-list.tsx'
import { preferences } from '../preferences.ts'
import { t } from '../texts/texts.ts'
import { useNow } from '../use-now.ts'

const standings = ['open', 'shelved', 'out-of-service', 'suppressed', 'pending', 'closed'] as const
type Shown = (typeof standings)[number]

const actionsIn: Record<Shown, readonly ActionName[]> = {
  open: ['acknowledge', 'shelve', 'assign', 'comment', 'clear', 'out-of-service'],
  shelved: ['unshelve', 'comment'],
  'out-of-service': ['in-service', 'comment'],
  suppressed: ['comment'],
  pending: ['comment'],
  closed: ['reopen', 'comment'],
}

export function AlertsPage({ openFeed }: { openFeed: Feed }) {
  const [standing, setStanding] = useState<Shown>('open')
  return (
    <main class="wide">
      <h1 class="visually-hidden">{t('alerts')}</h1>
      <div class="tabs" role="group" aria-label={t('alerts')}>
        {standings.map((name) => (
          <button key={name} type="button" aria-pressed={name === standing} onClick={() => setStanding(name)}>
            {t(`standing.${name}`)}
            {name === 'open' && openFeed.data ? ` (${formatCount(openFeed.data.length)})` : ''}
          </button>
        ))}
      </div>
      {standing === 'open' ? <Worklist key="open" feed={openFeed} standing="open" /> : <OtherList key={standing} standing={standing} />}
    </main>
  )
}

function OtherList({ standing }: { standing: Exclude<Shown, 'open'> }) {
  return <Worklist feed={useAlerts(standing)} standing={standing} />
}

function Worklist({ feed, standing }: { feed: Feed; standing: Shown }) {
  const nowMs = useNow(5_000)
  const [text, setText] = useState('')
  const [priority, setPriority] = useState('')
  const [isGrouped, setGrouped] = useState(true)
  const [opened, setOpened] = useState<ReadonlySet<string>>(new Set())
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set())
  const [current, setCurrent] = useState<string | undefined>(undefined)
  const { run, ask, dialog, outcome, isBusy, isAsking } = useActions(() => {
    setSelected(new Set())
    feed.refresh()
  })
  const filter = useRef<HTMLInputElement>(null)

  const shown = useMemo(() => {
    const wanted = matching(feed.data ?? [], text, priority)
    if (isGrouped) return grouped(wanted, (incidentId) => opened.has(incidentId))
    return wanted.map((alert) => ({ alert, isMember: false, members: 0 }))
  }, [feed.data, text, priority, isGrouped, opened])
  const index = shown.findIndex(({ alert }) => alert.alertId === current)
  const chosen = shown.filter(({ alert }) => selected.has(alert.alertId)).map(({ alert }) => alert)
  // What is not shown is never acted on.
  const meant = chosen.length > 0 ? chosen : index >= 0 ? [shown[index]!.alert] : []

  useKeys(!isAsking, (key) => {
    const move = (to: number) => setCurrent(shown[Math.min(shown.length - 1, Math.max(0, to))]?.alert.alertId)
    switch (key) {
      case 'j':
        return move(index + 1)
      case 'k':
        return move(index - 1)
      case 'x':
        return current !== undefined && setSelected(toggled(selected, current))
      case 'a':
        return (
          standing === 'open' &&
          ask(
            meant.filter(({ acknowledged }) => acknowledged === undefined),
            'acknowledge',
          )
        )
      case 's':
        return standing === 'open' && ask(meant, 'shelve')
      case 'Enter':
        return index >= 0 && go(addressOf.alert(shown[index]!.alert.alertId))
      case '/':
        return filter.current?.focus()
      default:
        return undefined
    }
  })

  const act = (action: ActionName) =>
    action === 'unshelve' || action === 'in-service' ? void run(meant, action, {}) : void ask(meant, action)
  return (
    <section class="panel worklist" aria-label={t(`standing.${standing}`)}>
      {feed.flood && standing === 'open' && (
        <p class="flood" role="status">
          {t('flood', { time: formatClock(feed.flood.sinceMs), count: feed.flood.alerts })}
        </p>
      )}
      <div class="toolbar">
        <label>
          <span>{t('filter')}</span>
          <input
            ref={filter}
            type="search"
            value={text}
            placeholder={t('filterHint')}
            onInput={(event) => setText(event.currentTarget.value)}
            onKeyDown={(event) => event.key === 'Escape' && event.currentTarget.blur()}
          />
        </label>
        <select aria-label={t('anyPriority')} value={priority} onChange={(event) => setPriority(event.currentTarget.value)}>
          <option value="">{t('anyPriority')}</option>
          {priorities.map((level) => (
            <option key={level} value={level}>
              {t(`priority.${level}`)}
            </option>
          ))}
        </select>
        <label class="check">
          <input type="checkbox" checked={isGrouped} onChange={(event) => setGrouped(event.currentTarget.checked)} />
          {t('groupIncidents')}
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked={shown.length > 0 && chosen.length === shown.length}
            onChange={(event) => setSelected(new Set(event.currentTarget.checked ? shown.map(({ alert }) => alert.alertId) : []))}
          />
          {t('selectShown')}
        </label>
      </div>
      <div class="toolbar" role="group" tabIndex={0} aria-label={t('selected', { count: chosen.length })}>
        <span class="count" aria-live="polite">
          {chosen.length > 0
            ? t('selected', { count: chosen.length })
            : t('alertCount', { count: feed.data ? formatCount(shown.length) : '–' })}
        </span>
        {actionsIn[standing].map((action) => (
          <button key={action} type="button" disabled={meant.length === 0 || isBusy} onClick={() => act(action)}>
            {action === 'acknowledge' ? t('acknowledgeDots') : actionWords[action]()}
          </button>
        ))}
      </div>
      <Outcome outcome={outcome} />
      {feed.data === undefined && <p class="none">{feed.problem ?? t('loading')}</p>}
      {feed.data && shown.length === 0 && (
        <p class="none">{standing === 'open' && text === '' && priority === '' ? t('allIsWell') : t('none')}</p>
      )}
      {shown.length > 0 && (
        <VirtualList
          label={t(`standing.${standing}`)}
          items={shown}
          keyOf={({ alert }) => alert.alertId}
          current={index < 0 ? undefined : index}
          draw={({ alert, isMember, members }) => (
            <AlertRow
              alert={alert}
              nowMs={nowMs}
              isCurrent={alert.alertId === current}
              isSelected={selected.has(alert.alertId)}
              isMember={isMember}
              isBusy={isBusy}
              members={
                members > 0
                  ? { count: members, isOpen: opened.has(alert.incidentId!), toggle: () => setOpened(toggled(opened, alert.incidentId!)) }
                  : undefined
              }
              onSelect={() => setSelected(toggled(selected, alert.alertId))}
              {...(standing === 'open' ? { onAcknowledge: () => void run([alert], 'acknowledge', {}) } : {})}
            />
          )}
        />
      )}
      {dialog}
    </section>
  )
}

function toggled(set: ReadonlySet<string>, member: string): ReadonlySet<string> {
  const next = new Set(set)
  if (!next.delete(member)) next.add(member)
  return next
}

/** Single keys, unless somebody writes, a dialog asks, or the person has switched them off. */
function useKeys(isOn: boolean, onKey: (key: string) => unknown): void {
  const latest = useRef(onKey)
  latest.current = onKey
  useEffect(() => {
    if (!isOn) return
    const onKeyDown = (event: KeyboardEvent) => {
      if (!preferences().hasShortcuts || event.ctrlKey || event.metaKey || event.altKey) return
      const isElsewhere =
        event.target instanceof Element && event.target.closest('input:not([type=checkbox]), textarea, select, dialog, a, button')
      if (isElsewhere && !(event.key !== 'Enter' && event.target.matches('a, button, [type=checkbox]'))) return
      if (!'jkxas/Enter'.includes(event.key)) return
      if (event.key === '/') event.preventDefault()
      // The key that opens a dialog must not be written into it.
      else if (event.key !== 'Enter') event.preventDefault()
      latest.current(event.key)
    }
    addEventListener('keydown', onKeyDown)
    return () => removeEventListener('keydown', onKeyDown)
  }, [isOn])
}
