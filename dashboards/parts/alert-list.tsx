import { useState } from 'preact/hooks'
import type { AlertView } from '../../contract/api.ts'
import { post } from '../live.ts'
import { addressOf } from '../navigation.ts'
import { formatAge } from './format.ts'
import { Priority } from './priority.tsx'
import { Time } from './time.tsx'

export const stateWords: Record<AlertView['state'], string> = {
  'active-unacknowledged': 'Active, not acknowledged',
  'active-acknowledged': 'Active, acknowledged',
  'returned-unacknowledged': 'Back to normal, not acknowledged',
  normal: 'Closed',
}

export function AlertList({ alerts, refresh }: { alerts: readonly AlertView[]; refresh: () => void }) {
  if (alerts.length === 0) return <p class="none">None. Every machine is within what it has been before.</p>
  return (
    <ul class="alerts">
      {alerts.map((alert) => (
        <li key={alert.alertId} class="alert" data-priority={alert.priority} data-alert={alert.alertId}>
          <Priority level={alert.priority} />
          <div>
            <p>
              <a href={addressOf.alert(alert.alertId)}>{alert.deviceId}</a> {alert.explanation}
            </p>
            <p class="meta">
              {stateWords[alert.state]} · raised {formatAge(Date.now() - alert.raisedAtMs)} ago, <Time ms={alert.raisedAtMs} />
            </p>
          </div>
          {!alert.acknowledged && <AcknowledgeButton alert={alert} refresh={refresh} />}
        </li>
      ))}
    </ul>
  )
}

function AcknowledgeButton({ alert, refresh }: { alert: AlertView; refresh: () => void }) {
  const { problem, isBusy, acknowledge } = useAcknowledge(alert.alertId, refresh)
  return (
    <div>
      <button
        type="button"
        disabled={isBusy}
        aria-label={`Acknowledge ${alert.deviceId}, ${alert.signalName}`}
        onClick={() => void acknowledge('')}
      >
        Acknowledge
      </button>
      {problem !== undefined && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
    </div>
  )
}

/** Acknowledging, and what came of it. */
export function useAcknowledge(alertId: string, refresh: () => void) {
  const [problem, setProblem] = useState<string | undefined>(undefined)
  const [isBusy, setBusy] = useState(false)
  const acknowledge = async (note: string) => {
    setBusy(true)
    try {
      await post(`alerts/${alertId}/acknowledge`, { note })
      setProblem(undefined)
      refresh()
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error))
    } finally {
      setBusy(false)
    }
  }
  return { problem, isBusy, acknowledge }
}
