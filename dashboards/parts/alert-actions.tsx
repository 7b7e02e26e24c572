/** What can be done to alerts, one or many: a dialog where something must be said, and what came of it. */
import { useState } from 'preact/hooks'
import type { AlertItem } from '../../contract/api.ts'
import { errorText } from '../../contract/error-text.ts'
import { post } from '../live.ts'
import { t } from '../texts/texts.ts'
import { Dialog } from './dialog.tsx'

export type ActionName = 'acknowledge' | 'shelve' | 'assign' | 'comment' | 'clear' | 'reopen' | 'out-of-service' | 'unshelve' | 'in-service'
/** The part of an alert that actions need to know. */
export type Acted = Pick<AlertItem, 'alertId' | 'deviceId' | 'signalName'>

/** Requests under way at once. */
const atOnce = 6

export function nameOf({ deviceId, signalName }: Acted): string {
  return signalName === '' ? deviceId : `${deviceId}, ${signalName}`
}

/** Does the same to each of them. @returns what went wrong, by alert */
async function actOn(alerts: readonly Acted[], action: ActionName, body: unknown): Promise<string[]> {
  const problems: string[] = []
  const waiting = [...alerts]
  const worker = async () => {
    for (let alert = waiting.shift(); alert; alert = waiting.shift()) {
      try {
        await post(`alerts/${alert.alertId}/${action}`, body)
      } catch (error) {
        problems.push(t('failedFor', { name: nameOf(alert), problem: errorText(error) }))
      }
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return problems
}

const durations = [
  ['30', 'minutes30'],
  ['120', 'hours2'],
  ['480', 'hours8'],
  ['1440', 'hours24'],
] as const

/** Actions on alerts, the dialog that is open, and the last outcome. */
export function useActions(refresh: () => void) {
  const [asking, setAsking] = useState<{ action: ActionName; alerts: readonly Acted[] } | undefined>(undefined)
  const [outcome, setOutcome] = useState<{ done: number; problems: readonly string[] } | undefined>(undefined)
  const [isBusy, setBusy] = useState(false)
  const run = async (alerts: readonly Acted[], action: ActionName, body: unknown) => {
    setBusy(true)
    const problems = await actOn(alerts, action, body)
    setOutcome({ done: alerts.length - problems.length, problems })
    setBusy(false)
    refresh()
  }
  const ask = (alerts: readonly Acted[], action: ActionName) => alerts.length > 0 && setAsking({ action, alerts })
  const dialog = asking && (
    <ActionDialog
      action={asking.action}
      title={asking.alerts.length === 1 ? nameOf(asking.alerts[0]!) : t('selected', { count: asking.alerts.length })}
      onClose={() => setAsking(undefined)}
      onConfirm={(body) => void run(asking.alerts, asking.action, body)}
    />
  )
  return { run, ask, dialog, outcome, isBusy, isAsking: asking !== undefined }
}

export function Outcome({ outcome }: { outcome: { done: number; problems: readonly string[] } | undefined }) {
  if (!outcome) return null
  const { problems } = outcome
  if (problems.length === 0) return null
  return (
    <p class="problem" role="alert">
      {problems.slice(0, 3).join(' · ')}
      {problems.length > 3 ? ` · ${t('andMore', { count: problems.length - 3 })}` : ''}
    </p>
  )
}

export const actionWords: Record<ActionName, () => string> = {
  acknowledge: () => t('acknowledge'),
  shelve: () => t('shelve'),
  assign: () => t('assign'),
  comment: () => t('comment'),
  clear: () => t('clear'),
  reopen: () => t('reopen'),
  'out-of-service': () => t('outOfService'),
  unshelve: () => t('unshelve'),
  'in-service': () => t('inService'),
}

type ActionDialogProps = { action: ActionName; title: string; onConfirm: (body: unknown) => void; onClose: () => void }

function ActionDialog({ action, title, onConfirm, onClose }: ActionDialogProps) {
  const word = actionWords[action]().replace(' …', '')
  const text = (values: FormData, name: string) => String(values.get(name) ?? '')
  const bodies: Partial<Record<ActionName, (values: FormData) => unknown>> = {
    acknowledge: (values) => ({ note: text(values, 'note') }),
    clear: (values) => ({ note: text(values, 'note') }),
    shelve: (values) => ({ reason: text(values, 'reason'), minutes: Number(text(values, 'minutes')) }),
    reopen: (values) => ({ reason: text(values, 'reason') }),
    'out-of-service': (values) => ({ reason: text(values, 'reason') }),
    assign: (values) => ({ to: text(values, 'to') }),
    comment: (values) => ({ text: text(values, 'text') }),
  }
  const needsReason = action === 'shelve' || action === 'reopen' || action === 'out-of-service'
  return (
    <Dialog title={`${word}: ${title}`} confirm={word} onClose={onClose} onConfirm={(values) => onConfirm(bodies[action]?.(values) ?? {})}>
      {(action === 'acknowledge' || action === 'clear') && (
        <label>
          {t('note')}
          <input name="note" maxLength={2_000} />
        </label>
      )}
      {needsReason && (
        <label>
          {t('reason')}
          <input name="reason" required maxLength={2_000} />
        </label>
      )}
      {action === 'shelve' && (
        <label>
          {t('forHowLong')}
          <select name="minutes">
            {durations.map(([minutes, key]) => (
              <option key={minutes} value={minutes}>
                {t(key)}
              </option>
            ))}
          </select>
        </label>
      )}
      {action === 'assign' && (
        <label>
          {t('assignTo')}
          <input name="to" maxLength={128} />
        </label>
      )}
      {action === 'comment' && (
        <label>
          {t('commentText')}
          <textarea name="text" required maxLength={2_000} rows={4} />
        </label>
      )}
    </Dialog>
  )
}
